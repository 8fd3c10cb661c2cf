import numpy as np
import pytest

from bayes_by_hypernet.data import cache


@pytest.fixture
def arrays():
    return {"images": np.arange(10000, dtype=np.uint8), "labels": np.arange(3)}


class TestCache:
    def test_round_trip_leaves_no_other_file(self, arrays, tmp_path):
        path = tmp_path / "new" / "arrays.npz"
        cache.save_arrays(path, arrays)
        loaded = cache.load_arrays(path)
        assert loaded.keys() == arrays.keys()
        np.testing.assert_array_equal(loaded["images"], arrays["images"])
        assert list(path.parent.iterdir()) == [path]

    def test_missing_file_is_none(self, tmp_path):
        assert cache.load_arrays(tmp_path / "none.npz") is None

    @pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "text"])
    def test_damage_is_found_and_said(self, damage, arrays, tmp_path, caplog):
        path = tmp_path / "arrays.npz"
        cache.save_arrays(path, arrays)
        content = bytearray(path.read_bytes())
        if damage == "flipped":
            content[5000] ^= 1
        damaged = {"truncated": content[:6000], "empty": b"", "text": b"no archive"}
        path.write_bytes(damaged.get(damage, content))
        with caplog.at_level("WARNING"):
            assert cache.load_arrays(path) is None
        assert f"{str(path)!r} is damaged" in caplog.text

    def test_a_failed_write_keeps_the_old_file(self, arrays, tmp_path, monkeypatch):
        path = tmp_path / "arrays.npz"
        cache.save_arrays(path, arrays)

        def interrupted(file, **_):
            file.write(b"half")
            raise KeyboardInterrupt

        monkeypatch.setattr(np, "savez", interrupted)
        with pytest.raises(KeyboardInterrupt):
            cache.save_arrays(path, arrays)
        assert cache.load_arrays(path) is not None
        assert list(tmp_path.iterdir()) == [path]

    def test_a_folder_that_cannot_be_written_is_only_a_warning(self, arrays, tmp_path, caplog):
        (tmp_path / "file").write_text("in the way")
        with caplog.at_level("WARNING"):
            cache.save_arrays(tmp_path / "file" / "arrays.npz", arrays)
        assert "Could not write the cache file" in caplog.text
        assert "BBH_CACHE_DIR" in caplog.text

    def test_the_first_of_two_processes_publishes(self, tmp_path):
        for content in ("first", "second"):
            folder = tmp_path / "staging"
            folder.mkdir()
            (folder / "data").write_text(content)
            cache.publish_folder(folder, tmp_path / "sets" / "1.0.0")
            if content == "second":
                assert folder.is_dir()
        assert (tmp_path / "sets" / "1.0.0" / "data").read_text() == "first"
