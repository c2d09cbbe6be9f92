"""What tells two files of weights apart."""

import hashlib

from pitikit.evaluation.weight_files import file_sha256


def test_hash_of_more_than_a_block(tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "f").write_bytes(data)
    assert file_sha256(tmp_path / "f") == hashlib.sha256(data).hexdigest()
