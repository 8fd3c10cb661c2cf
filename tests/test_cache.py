from pathlib import Path

import pytest

from bayes_by_hypernet.cache import cache_dir


def test_folder_follows_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("BBH_CACHE_DIR", str(tmp_path))
    assert cache_dir() == tmp_path


def test_without_the_variable_it_is_below_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    default = Path(tmp_path, ".cache", "bayes_by_hypernet")
    monkeypatch.setenv("BBH_CACHE_DIR", "")
    assert cache_dir() == default
    monkeypatch.delenv("BBH_CACHE_DIR")
    assert cache_dir() == default


def test_without_a_home_folder_the_variable_is_named(monkeypatch):
    def unknown(path):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("BBH_CACHE_DIR", raising=False)
    monkeypatch.setattr(Path, "expanduser", unknown)
    with pytest.raises(OSError, match="Set BBH_CACHE_DIR to a folder"):
        cache_dir()
