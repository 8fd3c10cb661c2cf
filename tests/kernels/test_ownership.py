"""A library that other users could have written is refused, and the sentence says what to do."""

import os
import stat

import pytest

from bayes_by_hypernet import cache
from bayes_by_hypernet.kernels import library, ownership

OTHER = 54321  # no user of this machine
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")


@pytest.fixture
def file(tmp_path):
    folder = tmp_path / "cache" / "ops"
    cache.make_folder(folder)
    path = folder / "library.so"
    path.touch(0o600)
    return path


class TestWhyUntrusted:
    def test_trusts_what_is_the_users_alone(self, file):
        assert ownership.why_untrusted(file) is None
        assert ownership.why_untrusted(file.with_name("not-there-yet.so")) is None

    @pytest.mark.parametrize("which", ["file", "folder", "parent"])
    @pytest.mark.parametrize("mode, who", [(0o777, "every user"), (0o770, "the group")])
    def test_refuses_what_others_may_write(self, which, mode, who, file, monkeypatch):
        monkeypatch.setattr(ownership, "_is_private", lambda gid: False)
        place = {"file": file, "folder": file.parent, "parent": file.parents[1]}[which]
        place.chmod(mode)
        reason = ownership.why_untrusted(file)
        assert who in reason and f"{place}: chmod" in reason

    def test_allows_sticky_folders_and_the_users_own_group(self, file, monkeypatch):
        file.parent.chmod(0o1777)
        assert ownership.why_untrusted(file) is None
        file.parent.chmod(0o770)
        monkeypatch.setattr(ownership, "_is_private", lambda gid: True)
        assert ownership.why_untrusted(file) is None

    @needs_root
    @pytest.mark.parametrize("which", ["file", "folder", "parent"])
    def test_refuses_what_belongs_to_others(self, which, file):
        place = {"file": file, "folder": file.parent, "parent": file.parents[1]}[which]
        os.chown(place, OTHER, -1)
        assert ownership.why_untrusted(file) == f"{place} belongs to the user {OTHER}"

    def test_looks_at_both_ends_of_symbolic_links(self, file, tmp_path):
        link = tmp_path / "link"
        link.symlink_to(file.parent)
        assert ownership.why_untrusted(link / file.name) is None
        file.parents[1].chmod(0o777)
        assert str(file.parents[1]) in ownership.why_untrusted(link / file.name)
        file.parents[1].chmod(0o700)
        open_folder = tmp_path / "open"
        open_folder.mkdir()
        (open_folder / "link").symlink_to(file.parent)
        open_folder.chmod(0o777)
        assert str(open_folder) in ownership.why_untrusted(open_folder / "link" / file.name)


class TestLibrary:
    def test_is_made_for_the_user_alone(self, new_process, compiler):
        before = os.umask(0)
        try:
            path = library.load().path
        finally:
            os.umask(before)
        assert stat.S_IMODE(path.stat().st_mode) == 0o755
        for folder in (path.parent, cache.cache_dir()):
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700

    @pytest.mark.parametrize("which", ["library", "folder"])
    def test_is_not_loaded_where_others_may_write(self, which, new_process, compiler):
        path = library.load().path
        (path if which == "library" else path.parent).chmod(0o777)
        new_process()
        assert library.load() is None
        reason = library.status().reason
        assert "other users could have written it" in reason and "BBH_CACHE_DIR" in reason
        assert "chmod o-w" in reason and path.exists() and compiler.num_libraries == 1

    def test_is_not_compiled_into_a_folder_of_others(self, new_process, compiler):
        cache.cache_dir().mkdir(mode=0o700)
        cache.cache_dir().chmod(0o777)
        assert library.load() is None
        assert "every user may write" in library.status().reason and not compiler.calls
