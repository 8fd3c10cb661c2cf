"""Whether other users could have written a library that is about to be loaded."""

import os
import pathlib
import stat

try:
    import grp
    import pwd
except ImportError:  # Windows
    grp = pwd = None


def why_untrusted(path):
    """Returns why other users could have written or exchanged a file, or None if they could not.

    The file and every folder above it, also those that symbolic links lead through, must belong to
    the user, to root or to the owner of `/`, and nobody else may write them. Exceptions are sticky
    folders such as `/tmp`, where only owners exchange what is theirs, and the group that has the
    user's name and no other member. What does not exist yet is left out.

    Args:
        path: `pathlib.Path` of a file or folder.

    Returns:
        A clause without a full stop that names the file or folder, or None.
    """
    if pwd is None:
        return None
    trusted = {0, os.geteuid(), os.stat("/").st_uid}  # the last: root, seen from a user namespace
    for each in _along(path):
        status = os.lstat(each)
        if status.st_uid not in trusted:
            return f"{each} belongs to {_user(status.st_uid)}"
        sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
        if stat.S_ISLNK(status.st_mode) or sticky:
            continue
        if status.st_mode & stat.S_IWOTH:
            return f"every user may write {each}: chmod o-w {each}"
        if status.st_mode & stat.S_IWGRP and not _is_private(status.st_gid):
            return f"the group {_group(status.st_gid)} may write {each}: chmod g-w {each}"
    return None


def _along(path):
    """Yields what exists of a path, the file first, then of what symbolic links in it point to."""
    waiting, seen = (
        [pathlib.Path(os.path.realpath(path)), pathlib.Path(os.path.abspath(path))],
        set(),
    )
    while waiting:
        whole = waiting.pop()
        for each in (whole, *whole.parents):
            if each not in seen and os.path.lexists(each):
                seen.add(each)
                if each.is_symlink():
                    target = os.path.join(each.parent, os.readlink(each))
                    waiting.append(pathlib.Path(os.path.abspath(target)))
                yield each


def _is_private(gid):
    """Whether a group has the user's name and no other member: many systems give such a one."""
    try:
        group, user = grp.getgrgid(gid), pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return False
    return group.gr_name == user and set(group.gr_mem) <= {user}


def _user(uid):
    try:
        return f"the user {pwd.getpwuid(uid).pw_name} ({uid})"
    except KeyError:
        return f"the user {uid}"


def _group(gid):
    try:
        return f"{grp.getgrgid(gid).gr_name} ({gid})"
    except KeyError:
        return str(gid)
