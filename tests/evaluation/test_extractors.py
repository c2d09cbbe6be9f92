"""Extractors by name: their weights, found, fetched or missing, and what identifies their features."""

import hashlib
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch_fidelity import feature_extractor_clip, feature_extractor_inceptionv3, feature_extractor_vgg16

from pitikit.evaluation.dino import DinoV2
from pitikit.evaluation.extractors import (
    EXTRACTORS,
    AbsentWeightsError,
    Extractor,
    build_extractor,
    find_extractor,
    how_to_get,
)

DINO = "dinov2-vit-s-14"


def save_dino(path, scale=0.1):
    network = DinoV2(64, 1)
    for value in network.parameters():
        value.data = torch.full(value.shape, scale)
    path.parent.mkdir(exist_ok=True)
    torch.save(network.state_dict(), path)
    return path


def test_addresses_and_checksums_are_torch_fidelitys():
    for name, source in EXTRACTORS.items():
        if source.kind in ("clip", "cmmd"):
            known = "clip-vit-l-14-336px" if name == "cmmd" else name
            assert source.url == feature_extractor_clip.MODEL_URLS[known]
            assert source.sha256 == feature_extractor_clip.MODEL_METADATA[known]["hash"]
            assert source.hub == f"{known}-{source.sha256}.pt"
    assert EXTRACTORS["inception"].url == feature_extractor_inceptionv3.URL_INCEPTION_V3
    assert all(source.sha256 and source.url.startswith("https://") for source in EXTRACTORS.values())
    assert feature_extractor_vgg16.FeatureExtractorVGG16.get_default_feature_layer_for_metric("prc") == "fc2_relu"


def test_weights_are_found_by_their_names(nowhere, monkeypatch):
    with pytest.raises(AbsentWeightsError, match="no weights of DINOv2 ViT-S/14.*dinov2_vits14_pretrain.*--download"):
        find_extractor(DINO)
    with pytest.raises(AbsentWeightsError, match=r"no weights of DINOv2 ViT-S/14 \(weights='no\.pth'; looked for "):
        find_extractor(DINO, "no.pth")
    path = save_dino(nowhere / "weights" / "dinov2_vits14_pretrain.pth")
    assert find_extractor(DINO).resolve() == path
    # What is there is not fetched.
    assert find_extractor(DINO, "download").resolve() == path
    monkeypatch.setenv("PITIKIT_WEIGHTS", str(path.parent))
    monkeypatch.chdir(nowhere.parent)
    assert find_extractor(DINO) == path
    hub = nowhere / "hub" / "checkpoints" / "weights-inception-2015-12-05-6726825d.pth"
    hub.parent.mkdir(parents=True)
    hub.touch()
    assert find_extractor("inception") == hub
    with pytest.raises(ValueError, match="'dino2': no such extractor; did you mean"):
        find_extractor("dino2")
    assert "PITIKIT_WEIGHTS" in how_to_get("cmmd")


def test_a_download_is_compared_with_its_checksum(nowhere, monkeypatch):
    path = save_dino(nowhere / "published" / "file.pth")
    sums = {"right": hashlib.sha256(path.read_bytes()).hexdigest(), "wrong": "0" * 64}
    for kind, digits in sums.items():
        source = replace(EXTRACTORS[DINO], url=path.as_uri(), sha256=digits, hub=f"{kind}.pth")
        monkeypatch.setitem(EXTRACTORS, DINO, source)
        if kind == "wrong":
            with pytest.raises(AbsentWeightsError, match="cannot be fetched: invalid hash value"):
                find_extractor(DINO, "download")
        else:
            assert find_extractor(DINO, "download") == nowhere / "hub" / "checkpoints" / "right.pth"
            assert find_extractor(DINO) == nowhere / "hub" / "checkpoints" / "right.pth"
    assert [each.name for each in (nowhere / "hub" / "checkpoints").iterdir()] == ["right.pth"]


def test_the_key_has_the_weights_and_the_facts_name_them(nowhere):
    paths = [save_dino(nowhere / f"{scale}.pth", scale) for scale in (0.1, 0.2)]
    first, second = (build_extractor(DINO, path, device="cpu") for path in paths)
    again = build_extractor(DINO, paths[0], device="cpu")
    assert first.key == again.key != second.key
    assert first.facts == dict(
        network="DINOv2 ViT-S/14", weights_sha256=hashlib.sha256(paths[0].read_bytes()).hexdigest()
    )
    assert first.label == "DINOv2" and not first.network.training
    torch.save({"a": torch.zeros(2)}, nowhere / "other.pth")
    for name in (DINO, "clip-vit-b-32", "inception", "vgg16", "cmmd"):
        with pytest.raises(ValueError, match=r"other\.pth: not "):
            build_extractor(name, nowhere / "other.pth")


class Sum(nn.Module):
    def forward(self, images):
        assert images.dtype == torch.uint8
        return (images.float().sum((2, 3)),)


def test_sizes_and_batches_change_no_feature():
    images = [torch.full((3, side, side), 1.0 + i) for i, side in enumerate((4, 4, 4, 6, 6, 4))]
    expected = torch.tensor([[16.0], [32], [48], [144], [180], [96]]).expand(6, 3)
    for batch in (1, 2, 16):
        assert torch.equal(Extractor(Sum(), "", "", {}, batch, "cpu")(images), expected)
    assert len(Extractor(Sum(), "", "", {}, device="cpu")([])) == 0


def test_a_device_that_is_not_there_is_an_error():
    with pytest.raises(ValueError, match="device='gpu' cannot be used"):
        Extractor(nn.Identity(), "key", "", {}, device="gpu")
