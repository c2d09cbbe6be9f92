"""Losses through pretrained networks: levels, gating, and what they leave alone."""

import pytest
import torch

from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import Prediction
from pitikit.losses import perceptual
from pitikit.losses.backbones import AbsentWeightsError, as_buffers, layer_indices
from pitikit.losses.perceptual import LPIPSLoss, PerceptualLoss, ReleasedPerceptualLoss
from pitikit.registry import LOSSES


@pytest.fixture(autouse=True)
def random_vgg(monkeypatch):
    """A narrow VGG with random weights in place of the real one."""

    def build(network, deepest, weights):
        torch.manual_seed(0)
        layers, width = [], 3
        last = layer_indices(network)[deepest]
        convs = {place for name, place in layer_indices(network).items() if name.startswith("conv")}
        relus = {place for name, place in layer_indices(network).items() if name.startswith("relu")}
        for place in range(last + 1):
            if place in convs:
                layers.append(torch.nn.Conv2d(width, 4, 3, padding=1))
                width = 4
            else:
                layers.append(torch.nn.ReLU() if place in relus else torch.nn.MaxPool2d(2))
        return as_buffers(torch.nn.Sequential(*layers))

    monkeypatch.setattr(perceptual, "vgg_features", build)


def estimate(t=(5, 100, 900), error=0.3):
    generator = torch.Generator().manual_seed(1)
    schedule, t = NoiseSchedule("linear"), torch.tensor(t)
    x0 = torch.rand(len(t), 3, 16, 16, generator=generator) * 2 - 1
    noise = torch.randn(x0.shape, generator=generator)
    eps = (noise + error * torch.randn(x0.shape, generator=generator)).requires_grad_(True)
    prediction = Prediction(schedule.add_noise(x0, t, noise), schedule.at(t), eps)
    return prediction, schedule.target(x0, t, noise)


def test_a_level_counts_by_its_weight():
    prediction, target = estimate()
    parts = [PerceptualLoss(levels={level: 1.0}, start=0)(prediction, target) for level in ("conv1_2", "relu2_2")]
    both = PerceptualLoss(levels=dict(conv1_2=0.5, relu2_2=2.0), start=0)(prediction, target)
    torch.testing.assert_close(both, 0.5 * parts[0] + 2 * parts[1])
    assert (both > 0).all()


@pytest.mark.parametrize("distance", ["rms", "l1", "mse"])
def test_distances(distance):
    loss = PerceptualLoss(levels=dict(conv2_1=1.0), distance=distance, start=0)
    a, b = torch.rand(2, 2, 3, 16, 16) * 2 - 1
    difference = (loss.features(a)["conv2_1"] - loss.features(b)["conv2_1"]).flatten(1)
    expected = dict(l1=difference.abs().mean(1), mse=difference.square().mean(1))
    expected["rms"] = expected["mse"].sqrt()
    torch.testing.assert_close(loss.distance(a, b), expected[distance])
    same = a.clone().requires_grad_(True)
    loss.distance(same, a).sum().backward()
    assert same.grad.isfinite().all()


def test_the_estimate_is_clamped():
    prediction, target = estimate()
    clamped = prediction.with_x0(prediction.x0.clamp(-1, 1))
    assert prediction.x0.abs().max() > 1
    loss = PerceptualLoss(start=0)
    torch.testing.assert_close(loss(prediction, target), loss(clamped, target))


def test_it_waits_and_leaves_large_timesteps_out():
    prediction, target = estimate()
    loss = PerceptualLoss(start=1, max_t=100)
    assert loss(prediction, target).tolist() == [0, 0, 0]
    value = loss(prediction, target)
    assert (value[:2] > 0).all() and value[2] == 0
    value.sum().backward()
    assert (prediction.eps.grad[2] == 0).all() and (prediction.eps.grad[:2] != 0).any()
    everywhere = PerceptualLoss(start=0)(prediction, target)
    torch.testing.assert_close(value[:2], everywhere[:2])


def test_all_samples_left_out_cost_nothing():
    prediction, target = estimate(t=(800, 900))
    loss = PerceptualLoss(start=0, max_t=10)
    assert loss(prediction, target).tolist() == [0, 0] and loss.network is None


def test_the_released_form():
    loss = LOSSES.build(dict(type="ReleasedPerceptualLoss"))
    assert (loss.weight, loss.vgg, loss.levels, loss.kind, loss.gate.start) == (
        0.004, "vgg19", {"conv2_2": 1.0}, "mse", 100,
    )  # fmt: skip
    assert isinstance(ReleasedPerceptualLoss(weight=1.0, start=0).distance(*torch.rand(2, 1, 3, 16, 16)), torch.Tensor)


def test_nothing_of_the_network_is_trained_or_saved():
    loss = PerceptualLoss(start=5)
    loss.prepare()
    assert not list(loss.parameters())
    assert list(loss.state_dict()) == ["gate.iteration"]
    assert not loss.train().network.training
    PerceptualLoss(start=5).load_state_dict(loss.state_dict())


def test_absent_weights_are_told_when_asked_for(monkeypatch, tmp_path):
    def absent(network, deepest, weights):
        raise AbsentWeightsError(f"no weights of {network} are here")

    monkeypatch.setattr(perceptual, "vgg_features", absent)
    loss = PerceptualLoss()
    with pytest.raises(AbsentWeightsError, match="vgg19"):
        loss.prepare()
    with pytest.raises(FileNotFoundError):
        LPIPSLoss(weights=str(tmp_path / "none.pth")).prepare()


@pytest.mark.parametrize(
    ("kind", "arguments", "message"),
    [
        (PerceptualLoss, dict(levels=dict(relu6_1=1.0)), "vgg19 has no 'relu6_1'; did you mean 'relu5_1'|'relu1_1'"),
        (PerceptualLoss, dict(network="vgg16", levels=dict(conv3_4=1.0)), "vgg16 has no 'conv3_4'"),
        (PerceptualLoss, dict(levels={}), "expected some"),
        (PerceptualLoss, dict(distance="l3"), "distance='l3'"),
        (LPIPSLoss, dict(network="vgg19"), "network='vgg19': expected 'vgg16' or 'alexnet'"),
    ],
)
def test_impossible_arguments(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        kind(**arguments)


def test_lpips(shared):
    loss = LPIPSLoss(network="alexnet", weights=shared / "weights" / "alexnet_features.safetensors", start=0)
    a = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    near, far = (a + 0.05 * torch.randn_like(a)).requires_grad_(True), -a
    value = loss.distance(near, a)
    assert value.shape == (2,) and (0 < value).all() and (value < loss.distance(far, a)).all()
    value.sum().backward()
    assert near.grad.abs().sum() > 0
    assert loss.distance(a, a).abs().max() < 1e-6


def test_samples_count_by_the_image_that_is_left():
    prediction, target = estimate()
    plain, weighted = (PerceptualLoss(start=0, alpha_power=p)(prediction, target) for p in (0.0, 2.0))
    torch.testing.assert_close(weighted, plain * prediction.alpha_bar.flatten().square().float())
