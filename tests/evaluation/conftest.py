"""Weights and networks that several tests need."""

import socket

import pytest
import torch
from torch import nn

from pitikit.evaluation import set_metric
from pitikit.evaluation.extractors import AbsentWeightsError, Extractor, find_extractor
from pitikit.evaluation.inception import FILE_NAME
from pitikit.registry import METRICS


@pytest.fixture(scope="session")
def inception(request):
    try:
        return find_extractor("inception")
    except AbsentWeightsError:
        path = request.getfixturevalue("shared") / "weights" / FILE_NAME
    if not path.is_file():
        pytest.skip(f"no {FILE_NAME}: name its folder in PITIKIT_WEIGHTS")
    return path


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path_factory):
    """Features are kept in a folder of the test."""
    monkeypatch.setenv("PITIKIT_CACHE", str(tmp_path_factory.mktemp("cache")))


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No weights anywhere, and no network."""

    def refuse(*_, **__):
        raise AssertionError("something was about to be downloaded")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr("pitikit.resources.ROOT", tmp_path)
    monkeypatch.delenv("PITIKIT_WEIGHTS", raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


class Tiny(nn.Module):
    """Five features of an image, so that no weights are needed; it counts the images."""

    seen = 0

    def forward(self, images):
        self.seen += len(images)
        x = images.float() / 255
        return torch.cat(
            [x.mean((2, 3)), x.std((2, 3))[:, :1], (x[..., 1:] - x[..., :-1]).abs().mean((1, 2, 3))[:, None]], 1
        )


@pytest.fixture
def tiny_network():
    return Tiny()


@pytest.fixture
def tiny(nowhere, monkeypatch, tiny_network):
    """Builds a metric of sets with the network replaced."""

    def extractor(name, weights, batch, device):
        return Extractor(
            tiny_network, f"tiny {name}", set_metric.source_of(name).label, {"network": "tiny"}, batch, "cpu"
        )

    def build(kind="FID", **arguments):
        with monkeypatch.context() as patch:
            patch.setattr(set_metric, "build_extractor", extractor)
            return METRICS.build(dict(type=kind, **arguments))

    return build
