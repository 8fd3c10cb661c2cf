import gzip
import hashlib
import os
import socket
import struct
import subprocess
import sys

import numpy as np
import pytest

from bayes_by_hypernet import data
from bayes_by_hypernet.data import embedded, embedded_colour, network, notmnist
from bayes_by_hypernet.data.prepared import PreparedSet


@pytest.fixture(autouse=True)
def _no_network_and_an_empty_cache(monkeypatch, tmp_path):
    monkeypatch.setattr(network, "is_reachable", lambda url: False)
    monkeypatch.setenv("BBH_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("BBH_NOTMNIST_DIR", raising=False)
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)


@pytest.fixture
def small_embedded(monkeypatch):
    """Makes the embedded set small."""
    load, load_letters = embedded.load, embedded.load_letters
    monkeypatch.setattr(embedded, "load", lambda seed=42: load(20, 10, 10, 10, seed))
    monkeypatch.setattr(embedded, "load_letters", lambda: load_letters(10))


def _write_idx_files(folder, monkeypatch, num=7):
    """Writes a tiny notMNIST, whose checksums then count as the right ones."""
    folder.mkdir()
    images = np.random.default_rng(0).integers(0, 256, (num, 28, 28), np.uint8)
    labels = np.arange(num, dtype=np.uint8) % 10
    checksums = {}
    for name, array in ((notmnist.IMAGES, images), (notmnist.LABELS, labels)):
        shape = struct.pack(f">{array.ndim}I", *array.shape)
        content = bytes([0, 0, 8, array.ndim]) + shape + array.tobytes()
        checksums[name] = hashlib.sha256(content).hexdigest()
        (folder / f"{name}.gz").write_bytes(gzip.compress(content))
    monkeypatch.setattr(notmnist, "CHECKSUMS", checksums)
    monkeypatch.setattr(notmnist, "NUM_EXAMPLES", num)
    return images, labels


class TestResolve:
    def test_unknown_name(self):
        with pytest.raises(ValueError, match=r"one of \('auto', 'mnist', 'embedded'\).*'svhn'"):
            data.resolve("svhn")
        with pytest.raises(ValueError, match=r"one of \('auto', 'cifar5', 'embedded', .*'mnist'"):
            data.resolve("mnist", real="cifar5")

    def test_embedded_is_no_fallback(self):
        assert data.resolve("embedded") == ("embedded", "embedded_letters", None)

    def test_mnist_never_substitutes(self, tmp_path):
        with pytest.raises(FileNotFoundError) as error:
            data.load("mnist", data_dir=tmp_path)
        for part in (str(tmp_path), f"tfds build mnist --data_dir={tmp_path}", "=embedded"):
            assert part in str(error.value)

    def test_auto_falls_back_and_says_so(self, monkeypatch, tmp_path, small_embedded):
        monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
        dataset = data.load()
        assert (dataset.name, dataset.outlier_name) == ("embedded", "embedded_letters")
        assert dataset.fallback_reason == data.resolve().fallback_reason
        assert str(tmp_path) in dataset.fallback_reason
        assert "tfds build mnist" in dataset.fallback_reason

    def test_failed_download_counts_as_missing(self, monkeypatch, tmp_path):
        import tensorflow_datasets as tfds

        def broken(*_, **__):
            raise ConnectionError("cut off")

        monkeypatch.setattr(network, "is_reachable", lambda url: True)
        monkeypatch.setattr(tfds, "builder", broken)
        with pytest.raises(FileNotFoundError, match="preparing it failed: cut off"):
            data.resolve("mnist", tmp_path)

    @pytest.mark.parametrize("name", ["auto", "mnist"])
    def test_letters_stand_in_for_missing_notmnist(self, name, monkeypatch):
        monkeypatch.setattr(PreparedSet, "prepare", lambda self, data_dir: None)
        resolved = data.resolve(name)
        assert resolved[:2] == ("mnist", "embedded_letters")
        for part in ("Rendered letters", notmnist.IMAGES, "--notmnist_dir", "BBH_NOTMNIST_DIR"):
            assert part in resolved.fallback_reason

    def test_a_given_notmnist_dir_must_hold_the_files(self, monkeypatch, tmp_path):
        monkeypatch.setattr(PreparedSet, "prepare", lambda self, data_dir: None)
        with pytest.raises(FileNotFoundError, match=f"not in {tmp_path}.*--notmnist_dir"):
            data.resolve("auto", notmnist_dir=tmp_path)

    def test_cifar5_falls_back_to_digits_in_colour(self, monkeypatch, tmp_path, small_embedded):
        monkeypatch.setattr(embedded_colour, "NUM_TRAIN", 7)
        dataset = data.load(data_dir=tmp_path, real="cifar5")
        assert (dataset.name, dataset.outlier_name) == data.resolve("embedded", real="cifar5")[:2]
        assert "tfds build cifar10" in dataset.fallback_reason
        assert data.load(dataset.name, real="cifar5").fallback_reason is None
        with pytest.raises(FileNotFoundError, match="tfds build cifar10.*--dataset=embedded"):
            data.load("cifar5", data_dir=tmp_path, real="cifar5")

    def test_import_is_light(self):
        code = (
            "import sys, types, importlib.util as u; "
            "p = types.ModuleType('bayes_by_hypernet'); p.__path__ = [sys.argv[1]]; "
            "sys.modules['bayes_by_hypernet'] = p; import bayes_by_hypernet.data; "
            "print([m for m in ('tensorflow', 'tensorflow_datasets') if m in sys.modules])"
        )
        package = os.path.dirname(os.path.dirname(data.__file__))
        command = [sys.executable, "-c", code, package]
        assert subprocess.run(command, capture_output=True, check=True).stdout.strip() == b"[]"


class TestNotMNIST:
    def test_prepares_from_idx_files_and_keeps_their_order(self, monkeypatch, tmp_path):
        images, labels = _write_idx_files(tmp_path / "idx", monkeypatch)
        notmnist.prepare(tmp_path / "idx")
        examples = notmnist.load()
        np.testing.assert_array_equal(
            np.rint(255 * examples.images[..., 0]).astype(np.uint8), images
        )
        np.testing.assert_array_equal(examples.labels, labels)
        assert not list((tmp_path / "cache").glob(".partial-*"))
        notmnist.prepare()  # from now on without the files

    def test_environment_names_the_folder(self, monkeypatch, tmp_path):
        _write_idx_files(tmp_path / "idx", monkeypatch)
        monkeypatch.setenv("BBH_NOTMNIST_DIR", str(tmp_path / "idx"))
        notmnist.prepare()
        assert len(notmnist.load()) == 7

    def test_another_content_fails_by_its_checksum(self, monkeypatch, tmp_path):
        checksums = dict(notmnist.CHECKSUMS)
        _write_idx_files(tmp_path / "idx", monkeypatch)
        monkeypatch.setattr(notmnist, "CHECKSUMS", checksums)
        with pytest.raises(ValueError, match=r"idx3-ubyte.gz is damaged or another one.*SHA-256"):
            notmnist.prepare(tmp_path / "idx")

    def test_downloads_where_a_server_answers(self, monkeypatch, tmp_path):
        _write_idx_files(tmp_path / "idx", monkeypatch)
        monkeypatch.setattr(network, "is_reachable", lambda url: True)
        monkeypatch.setattr(notmnist, "_SOURCE", (tmp_path / "idx").as_uri())
        notmnist.prepare()
        assert len(notmnist.load()) == 7

    def test_damaged_preparation_says_what_to_do(self, monkeypatch, tmp_path):
        _write_idx_files(tmp_path / "idx", monkeypatch)
        notmnist.prepare(tmp_path / "idx")
        [record] = (tmp_path / "cache").rglob("*.tfrecord*")
        record.write_bytes(record.read_bytes()[:100])
        with pytest.raises(ValueError, match="damaged.*Delete the folder"):
            notmnist.load()


class TestNetwork:
    def test_silent_server_is_not_waited_for(self, monkeypatch):
        monkeypatch.undo()
        with socket.create_server(("127.0.0.1", 0)) as server:  # accepts and never answers
            url = f"http://127.0.0.1:{server.getsockname()[1]}/"
            # Returns at all: the server would keep it for ever.
            assert not network.is_reachable(url, timeout=0.3)

    def test_file_that_exists_is_reachable(self, monkeypatch, tmp_path):
        monkeypatch.undo()
        (tmp_path / "file").touch()
        assert network.is_reachable((tmp_path / "file").as_uri())
        assert not network.is_reachable((tmp_path / "missing").as_uri())


@pytest.mark.real_data
class TestRealData:
    def test_mnist_with_notmnist(self, real_data_dirs):
        before = _modification_times(real_data_dirs)
        dataset = data.load("mnist", *real_data_dirs)
        assert (dataset.name, dataset.outlier_name) == ("mnist", "notmnist")
        assert dataset.fallback_reason is None
        sizes = [len(s) for s in (dataset.train, dataset.validation, dataset.test)]
        assert sizes == [55000, 5000, 10000]
        assert dataset.outliers.shape == (10000, 28, 28, 1)
        every = np.concatenate([dataset.validation.labels, dataset.train.labels])
        # The published counts and pixel mean of the 60,000 training images.
        counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        assert np.bincount(every).tolist() == counts
        mean = (55000 * dataset.train.images.mean(dtype=np.float64)) / 60000
        mean += (5000 * dataset.validation.images.mean(dtype=np.float64)) / 60000
        assert abs(mean - 0.13066) < 1e-5  # published to five digits
        assert _modification_times(real_data_dirs) == before, "shared data was written to"

    def test_cifar5(self, real_data_dirs):
        data_dir, _ = real_data_dirs
        if not (data_dir / "cifar10").exists():
            pytest.skip(f"no CIFAR-10 in {data_dir}")
        dataset = data.load("cifar5", data_dir, real="cifar5")
        assert (dataset.name, dataset.outlier_name) == ("cifar5", "cifar5_others")
        assert dataset.validation is None and dataset.fallback_reason is None
        assert np.bincount(dataset.train.labels).tolist() == 5 * [5000]
        assert np.bincount(dataset.test.labels).tolist() == 5 * [1000]
        assert dataset.train.images.shape == (25000, 32, 32, 3)
        assert dataset.outliers.shape == (5000, 32, 32, 3)
        # The published channel means are of all ten classes; five of them come near.
        means = dataset.train.images.mean(axis=(0, 1, 2), dtype=np.float64)
        np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=0.03)


def _modification_times(folders):
    return {path: path.stat().st_mtime_ns for folder in folders for path in folder.rglob("*")}
