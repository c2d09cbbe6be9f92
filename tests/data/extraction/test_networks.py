import pickle

import cv2
import numpy as np
import pytest
import torch

from pitikit.data.errors import LoaderError
from pitikit.data.extraction import HEDEdges, PiDiNetEdges, build_extractor
from pitikit.data.extraction.networks import EdgeNetwork, thin
from pitikit.data.reading import read_ids, read_image
from pitikit.evaluation.geometry_estimator import GeometryEstimator
from pitikit.evaluation.segmenter import SceneSegmenter
from pitikit.files import file_sha256
from pitikit.networks.hed import HED
from pitikit.networks.pidinet import PiDiNet
from pitikit.scenes import render_scene
from pitikit.weights import save_weights
from tests.networks.caffe_writing import caffemodel


def ridge(angle, size=64):
    """A soft line through the middle."""
    rows, columns = np.mgrid[:size, :size] - (size - 1) / 2
    distance = columns * np.sin(angle) - rows * np.cos(angle)
    return np.exp(-(distance**2) / 18).astype(np.float32)


@pytest.mark.parametrize("angle", np.linspace(0, np.pi, 9)[:-1])
def test_a_soft_line_becomes_one_of_a_pixel(angle):
    line = thin(ridge(angle)) > 0.5
    # At the rim the curvature is not known.
    line[[0, 1, -2, -1]] = line[:, [0, 1, -2, -1]] = False
    rows, columns = np.mgrid[:64, :64] - 31.5
    assert np.abs(columns * np.sin(angle) - rows * np.cos(angle))[line].max() <= 1
    across = min(line.sum(axis=0)[8:-8].max(), line.sum(axis=1)[8:-8].max())
    assert line.sum() >= 50 and across <= 2
    # Without gaps: dilated by a pixel, it is one piece.
    assert cv2.connectedComponents(cv2.dilate(line.astype(np.uint8), np.ones((3, 3))))[0] == 2


def test_flat_areas_have_no_ridge():
    assert not thin(np.full((16, 16), 0.7, np.float32)).any()


class Known(EdgeNetwork):
    """Gives a probability that was made before."""

    def probability(self, image):
        return ridge(0.3)


def test_threshold_and_thinning():
    image = np.zeros((64, 64, 3), np.uint8)
    thick, thin_line = Known(threshold=0.5, thin=False)(image), Known(threshold=0.5)(image)
    assert set(np.unique(thick)) == {0, 255} and (thick > 0).sum() > 3 * (thin_line > 0).sum()
    assert (Known(threshold=0.9, thin=False)(image) > 0).sum() < (thick > 0).sum()
    with pytest.raises(ValueError, match="threshold=127"):
        Known(threshold=127)


def test_settings_and_weights_are_facts(tmp_path):
    path = tmp_path / "tiny.safetensors"
    save_weights(path, PiDiNet(8, 4).state_dict())
    extractor = PiDiNetEdges(path, threshold=0.3, thin=False)
    assert extractor.facts == dict(
        extractor="pidinet", weights="tiny.safetensors", weights_sha256=file_sha256(path), threshold=0.3, thin=False
    )
    assert extractor(np.zeros((32, 40, 3), np.uint8)).shape == (32, 40)


def test_the_network_is_built_at_the_first_use(tmp_path, monkeypatch):
    path = tmp_path / "tiny.safetensors"
    save_weights(path, PiDiNet(8, 4).state_dict())
    with monkeypatch.context() as patch:
        patch.setattr("pitikit.data.extraction.networks.read_tensors", None)
        patch.setattr("pitikit.data.extraction.networks.file_sha256", None)
        extractor = PiDiNetEdges(path)
    image = np.random.default_rng(0).integers(0, 256, (32, 40, 3), dtype=np.uint8)
    edges = extractor(image)
    # What is made within an inference could never be trained, or moved, outside.
    assert not any(each.is_inference() for each in extractor.network.parameters())
    again = pickle.loads(pickle.dumps(PiDiNetEdges(path)))
    again.load()
    assert (again(image) == edges).all()


def test_weights_of_something_else_are_found_by_load(tmp_path):
    path = tmp_path / "other.safetensors"
    save_weights(path, {"x": torch.zeros(1)})
    with pytest.raises(ValueError, match="PiDiNet"):
        PiDiNetEdges(path).load()


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 40)])
def test_images_of_a_few_pixels(tmp_path, shape):
    path = tmp_path / "tiny.safetensors"
    save_weights(path, PiDiNet(8, 4).state_dict())
    assert PiDiNetEdges(path)(np.zeros((*shape, 3), np.uint8)).shape == shape


def test_more_classes_than_a_byte_holds():
    extractor = build_extractor(dict(type="segmenter", network=SceneSegmenter(classes=list(map(str, range(256))))))
    with pytest.raises(LoaderError, match="256 classes; expected 255 at most"):
        extractor(np.zeros((16, 16, 3), np.uint8))


@pytest.mark.parametrize("given", [3, ["canny"], None])
def test_neither_a_name_nor_a_config(given):
    with pytest.raises(TypeError, match="extractor: got .* expected a name such as 'canny'"):
        build_extractor(given)


def test_hed_reads_the_file_of_its_authors(tmp_path):
    torch.manual_seed(0)
    network = HED((4, 4, 4, 4, 4)).eval()
    layers = {name: [child.weight, child.bias] for name, child in network.named_children()}
    path = tmp_path / "hed_pretrained_bsds.caffemodel"
    path.write_bytes(caffemodel({k: [each.detach().numpy() for each in v] for k, v in layers.items()}))
    extractor = HEDEdges(path)
    image = np.random.default_rng(0).integers(0, 256, (24, 30, 3), dtype=np.uint8)
    with torch.inference_mode():
        expected = network(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)[0, 0].numpy()
    assert np.allclose(extractor.probability(image), expected, atol=1e-6)
    assert extractor.facts["extractor"] == "hed"


def test_weights_that_are_not_there_are_named(monkeypatch):
    monkeypatch.delenv("PITIKIT_WEIGHTS", raising=False)
    for name, source in (("pidinet", "converted form"), ("hed", "hed_pretrained_bsds.caffemodel, of the page")):
        with pytest.raises(FileNotFoundError, match=f"no such file; looked for .*PITIKIT_WEIGHTS.*{source}"):
            build_extractor(name)


def test_a_named_segmenter_gives_labels_and_has_classes():
    torch.manual_seed(0)
    network = SceneSegmenter(classes=["a", "b", "c"])
    extractor = build_extractor(dict(type="segmenter", network=network))
    labels = extractor(np.zeros((40, 48, 3), np.uint8))
    assert labels.shape == (40, 48) and labels.dtype == np.uint8 and labels.max() < 3
    assert extractor.member == "mask" and extractor.loader == dict(type="LoadMask", num_classes=3)
    assert extractor.classes == ("a", "b", "c") and extractor.facts["size"] == 64


def test_the_shipped_segmenter_on_a_scene():
    scene = render_scene(0, 5, 64)
    config = dict(type="SceneSegmenter", weights="weights/scenes_segmenter.safetensors")
    labels = build_extractor(dict(type="segmenter", network=config))(scene.image)
    assert (labels == scene.label).mean() > 0.7


def test_geometry_by_a_named_network():
    torch.manual_seed(0)
    network = GeometryEstimator()
    image = np.zeros((48, 64, 3), np.uint8)
    depth = build_extractor(dict(type="depth", network=network))(image)
    normals = build_extractor(dict(type="normals", network=network))(image)
    assert depth.shape == (48, 64) and (depth > 0).all()
    assert normals.shape == (48, 64, 3) and np.allclose(np.linalg.norm(normals, axis=-1), 1, atol=1e-4)


def test_pidinet_on_photographs(shared, monkeypatch):
    """The released weights find the borders between labels, which random pixels are rarely near."""
    monkeypatch.setenv("PITIKIT_WEIGHTS", str(shared / "weights"))
    for name in ("pidinet_bsds_converted_cnn.safetensors", "pidinet_tiny_bsds_converted_cnn.safetensors"):
        extractor = build_extractor(dict(type="pidinet", weights=name))
        near, anywhere = [], []
        for path in sorted((shared / "data/cocostuff_samples256/val/images").iterdir())[:3]:
            edges = extractor(read_image(path)) > 0
            ids = read_ids(path.parents[1] / "labels" / f"{path.stem}.png")
            border = np.zeros(ids.shape, np.uint8)
            border[:, 1:] |= ids[:, 1:] != ids[:, :-1]
            border[1:] |= ids[1:] != ids[:-1]
            close = cv2.dilate(border, np.ones((7, 7))) > 0
            assert 0.01 < edges.mean() < 0.12
            near.append(close[edges].mean())
            anywhere.append(close.mean())
        assert np.mean(near) > 1.5 * np.mean(anywhere)
