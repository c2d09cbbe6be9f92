import numpy as np
import pytest

from pitikit.networks.caffe_files import read_caffe_layers
from tests.networks.caffe_writing import caffemodel

LAYERS = {
    "conv1_1": [np.arange(216, dtype=np.float32).reshape(8, 3, 3, 3), np.arange(8, dtype=np.float32)],
    "relu": [],
    "fuse": [np.full((1, 5, 1, 1), 0.2, np.float32), np.zeros(1, np.float32)],
}


@pytest.mark.parametrize("old", [False, True])
def test_both_forms_are_read(tmp_path, old):
    path = tmp_path / "x.caffemodel"
    path.write_bytes(caffemodel(LAYERS, old))
    layers = read_caffe_layers(path)
    assert list(layers) == ["conv1_1", "fuse"]
    weight, bias = layers["conv1_1"]
    assert np.array_equal(weight, LAYERS["conv1_1"][0]) and np.array_equal(bias.reshape(-1), np.arange(8))


def test_a_part_of_a_file(tmp_path):
    path = tmp_path / "x.caffemodel"
    path.write_bytes(caffemodel(LAYERS)[:-100])
    with pytest.raises(ValueError, match=r"got no \.caffemodel \(the file ends early\)"):
        read_caffe_layers(path)


@pytest.mark.parametrize("data", [b"<html>not found</html>", b"", b"\xff" * 40])
def test_another_file(tmp_path, data):
    path = tmp_path / "x.caffemodel"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="expected a"):
        read_caffe_layers(path)
