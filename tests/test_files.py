"""Files are whole or absent, also on a full disk, and damaged ones are named."""

import errno
import os

import numpy as np
import pytest
import tensorflow as tf

from bayes_by_hypernet import files


def _full(*_, **__):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


class TestWrite:
    def test_round_trips_leave_no_other_file(self, tmp_path):
        folder = tmp_path / "with space and ä"
        folder.mkdir()
        files.write_json(folder / "a.json", {"name": "ü", "values": [1, None]})
        files.write_arrays(folder / "b.npz", {"x": np.arange(3)}, compressed=True)
        assert files.read_json(folder / "a.json") == {"name": "ü", "values": [1, None]}
        np.testing.assert_array_equal(files.read_arrays(folder / "b.npz", ["x"])["x"], [0, 1, 2])
        assert {path.name for path in folder.iterdir()} == {"a.json", "b.npz"}

    def test_a_full_disk_keeps_the_old_file_and_says_path_and_bytes(self, tmp_path, monkeypatch):
        files.write_text(tmp_path / "a.txt", "old")
        monkeypatch.setattr(os, "fsync", _full)
        with pytest.raises(files.StorageError, match="a.txt.*disk is full.*needs 5 bytes.*Make"):
            files.write_text(tmp_path / "a.txt", "newer")
        assert (tmp_path / "a.txt").read_text() == "old"
        assert list(tmp_path.iterdir()) == [tmp_path / "a.txt"]

    def test_room_is_looked_at_before(self, tmp_path, monkeypatch):
        monkeypatch.setattr(files, "free_bytes", lambda folder: 10**6)
        files.check_room(tmp_path / "new" / "a", 900_000)
        with pytest.raises(files.StorageError, match="needs 1,000,001 bytes, 1,000,000 are free"):
            files.check_room(tmp_path / "new" / "a", 1_000_001)

    def test_other_reasons_are_told_apart(self, tmp_path):
        with pytest.raises(files.StorageError, match="folder is gone"):
            files.write_text(tmp_path / "none" / "a.txt", "")
        with pytest.raises(files.StorageError, match="Is a directory"):
            files.write_text(tmp_path, "")
        with pytest.raises(files.StorageError, match="read-only"), files.writing(tmp_path):
            raise tf.errors.FailedPreconditionError(None, None, "x; Read-only file system")
        with pytest.raises(tf.errors.InternalError), files.writing(tmp_path):
            raise tf.errors.InternalError(None, None, "no error of the disk")

    def test_a_link_stays_one(self, tmp_path):
        (tmp_path / "a").write_text("old")
        (tmp_path / "link").symlink_to(tmp_path / "a")
        files.write_text(tmp_path / "link", "new")
        assert (tmp_path / "link").is_symlink() and (tmp_path / "a").read_text() == "new"


class TestNewFolder:
    def test_takes_the_old_ones_place_when_it_is_complete(self, tmp_path):
        (tmp_path / "a").mkdir()
        (tmp_path / "a" / "mark").touch()
        with pytest.raises(KeyboardInterrupt), files.new_folder(tmp_path / "a", "mark") as folder:
            (folder / "half").touch()
            raise KeyboardInterrupt
        assert [path.name for path in tmp_path.rglob("*")] == ["a", "mark"]
        with files.new_folder(tmp_path / "a", "mark") as folder:
            (folder / "new").touch()
        assert [path.name for path in tmp_path.rglob("*")] == ["a", "new"]

    def test_never_deletes_a_folder_of_other_things(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "mine").touch()
        for path in (tmp_path, "", "."):
            with pytest.raises(files.StorageError, match="holds other files"):
                with files.new_folder(path, "mark"):
                    pass
        assert (tmp_path / "mine").exists()

    def test_a_file_in_its_place_is_named(self, tmp_path):
        (tmp_path / "a").touch()
        with pytest.raises(files.StorageError, match="must be a folder and is a file"):
            with files.new_folder(tmp_path / "a", "mark"):
                pass


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"3", b"\xff\x00"])
def test_damaged_json_is_named(content, tmp_path):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(files.DamagedFileError, match="a.json' is damaged"):
        files.read_json(tmp_path / "a.json")


@pytest.mark.parametrize("damage", ["empty", "cut", "text", "folder", "other", "npy"])
def test_damaged_arrays_are_named(damage, tmp_path):
    path = tmp_path / "a.npz"
    files.write_arrays(path, {"x": np.arange(1000), "y": np.zeros(2)})
    content = path.read_bytes()
    path.unlink()
    if damage == "folder":
        path.mkdir()
    elif damage == "other":
        files.write_arrays(path, {"z": np.zeros(2)})
    elif damage == "npy":
        with open(path, "wb") as file:
            np.save(file, np.zeros(2))
    else:
        path.write_bytes({"empty": b"", "cut": content[:600], "text": b"no archive"}[damage])
    with pytest.raises(files.DamagedFileError, match="a.npz' is damaged"):
        files.read_arrays(path, ["x"])
