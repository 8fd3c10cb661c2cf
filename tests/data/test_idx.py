import gzip
import hashlib
import struct

import numpy as np
import pytest

from bayes_by_hypernet.data import idx, network

_ARRAY = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
_CONTENT = bytes([0, 0, 8, 3]) + struct.pack(">III", 2, 3, 4) + _ARRAY.tobytes()
_CHECKSUM = hashlib.sha256(_CONTENT).hexdigest()


class TestIdx:
    @pytest.mark.parametrize("suffix", ["", ".gz"])
    def test_reads_plain_and_compressed(self, suffix, tmp_path):
        path = tmp_path / f"images{suffix}"
        path.write_bytes(gzip.compress(_CONTENT) if suffix else _CONTENT)
        assert idx.find(tmp_path, "images") == path
        np.testing.assert_array_equal(idx.read(path, _CHECKSUM), _ARRAY)

    def test_find_returns_none_where_nothing_is(self, tmp_path):
        assert idx.find(tmp_path / "nowhere", "images") is None

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "must be an IDX file of unsigned bytes"),
            (b"\x89PNG" + _CONTENT, "must be an IDX file.*89 50 4e"),
            (b"\0\0\x0d" + _CONTENT[3:], "must be an IDX file.*00 00 0d"),
            (_CONTENT[:-1], r"must hold the 24 bytes of the shape \(2, 3, 4\).*23 bytes"),
            (_CONTENT + b"\0", "25 bytes"),
            (_CONTENT[:9], "header of 16 bytes. Received: 9 bytes"),
        ],
    )
    def test_rejects_other_formats_and_sizes(self, content, message, tmp_path):
        path = tmp_path / "images"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            idx.read(path)

    def test_rejects_another_file_by_its_checksum(self, tmp_path):
        path = tmp_path / "images"
        path.write_bytes(_CONTENT[:-1] + b"\x63")
        with pytest.raises(ValueError, match=f"images is damaged.*{_CHECKSUM}"):
            idx.read(path, _CHECKSUM)

    def test_rejects_truncated_gzip(self, tmp_path):
        path = tmp_path / "images.gz"
        path.write_bytes(gzip.compress(_CONTENT)[:-12])
        with pytest.raises(ValueError, match="is not a whole gzip file"):
            idx.read(path)

    def test_rejects_what_grows_beyond_the_limit(self, tmp_path, monkeypatch):
        monkeypatch.setattr(idx, "_MAX_BYTES", 1000)
        path = tmp_path / "images.gz"
        path.write_bytes(gzip.compress(bytes(10**7)))
        with pytest.raises(ValueError, match="images.gz must hold at most 1,000 bytes"):
            idx.read(path)


def test_a_download_beyond_the_limit_stops(tmp_path, monkeypatch):
    monkeypatch.setattr(network, "_MAX_BYTES", 1000)
    (tmp_path / "long").write_bytes(bytes(2000))
    with pytest.raises(OSError, match="more than 1,000 bytes"):
        network.download((tmp_path / "long").as_uri(), tmp_path / "here")
