"""The loss on what a frozen network reads in the estimated image."""

import pytest
import torch
from torch import nn

from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import Prediction
from pitikit.losses.consistency import ConsistencyLoss
from pitikit.registry import LOSSES, MODELS


@MODELS.register_module()
class CountingReader(nn.Module):
    """Logits of three classes; ``seen`` has the rows of each call."""

    def __init__(self, classes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.Conv2d(8, classes, 1))
        self.seen = []

    def forward(self, image):
        self.seen.append(len(image))
        return self.layers(image)


READER = dict(type="CountingReader")


def estimate(t=(5, 100, 900), dropped=None, **members):
    generator = torch.Generator().manual_seed(1)
    schedule, t = NoiseSchedule("linear"), torch.tensor(t)
    x0 = torch.rand(len(t), 3, 8, 8, generator=generator) * 2 - 1
    noise = torch.randn(x0.shape, generator=generator)
    eps = (noise + 0.3 * torch.randn(x0.shape, generator=generator)).requires_grad_(True)
    prediction = Prediction(schedule.add_noise(x0, t, noise), schedule.at(t), eps)
    members = members or {"label": torch.randint(0, 3, (len(t), 16, 16), generator=generator, dtype=torch.uint8)}
    return prediction, schedule.target(x0, t, noise)._replace(members=members, dropped=dropped or {})


def test_the_value_is_the_distance_of_what_is_read_in_the_clamped_estimate():
    prediction, target = estimate()
    loss = LOSSES.build(dict(type="ConsistencyLoss", network=READER, max_t=None))
    loss.prepare()
    value = loss(prediction, target)
    assert loss.needs == ("label",)
    logits = CountingReader().eval()(prediction.x0.clamp(-1, 1))
    torch.testing.assert_close(value, loss.agreement.distance(logits, target.members["label"]))
    value.sum().backward()
    assert (prediction.eps.grad.flatten(1).abs().sum(1) > 0).all()


def test_rows_that_are_gated_off_or_dropped_do_not_pass_through_the_network():
    prediction, target = estimate(dropped={"condition": torch.tensor([False, True, False])})
    loss = ConsistencyLoss(READER, max_t=500)
    value = loss(prediction, target)
    assert value[0] > 0 and value[1] == value[2] == 0
    assert loss.network.seen == [1]
    closed = ConsistencyLoss(READER, start=1)
    assert closed(prediction, target).tolist() == [0, 0, 0] and closed.network is None
    assert closed(prediction, target)[0] > 0


def test_a_part_of_the_condition_counts_where_that_part_was_seen():
    seen, label = torch.tensor([False, False, False]), torch.zeros(3, 16, 16)
    dropped = {"condition": seen, "condition.ids": torch.tensor([True, False, False])}
    prediction, target = estimate(t=(5, 5, 5), dropped=dropped, **{"condition.ids": label, "label": label})
    assert ConsistencyLoss(READER, source="condition.ids")(prediction, target)[:2].bool().tolist() == [False, True]
    assert ConsistencyLoss(READER)(prediction, target).bool().all()


def test_the_network_is_frozen_and_part_of_nothing_that_is_saved():
    loss = ConsistencyLoss(READER)
    assert loss.network is None
    loss.prepare()
    loss.train()
    assert not any(module.training for module in loss.network.modules())
    before = [value.clone() for value in loss.network.buffers()]
    loss(*estimate()).sum().backward()
    assert not list(loss.parameters()) and list(loss.state_dict()) == ["gate.iteration"]
    assert all(map(torch.equal, before, loss.network.buffers()))
    assert loss.to(torch.float64).network.layers[0].weight.dtype == torch.float64


def test_a_module_that_is_given_stays_as_it_was():
    network = CountingReader()
    loss = ConsistencyLoss(network)
    assert not list(loss.children())[1:] and len(list(loss.named_modules())) == 2  # itself and its gate
    loss.prepare()
    assert len(list(network.parameters())) == 6 and network.training


def test_an_absent_file_stops_a_training_at_its_start():
    loss = ConsistencyLoss(dict(type="SceneSegmenter", weights="nowhere.safetensors"))
    with pytest.raises(FileNotFoundError, match="nowhere"):
        loss.prepare()


def test_under_autocast_the_value_is_float32():
    prediction, target = estimate()
    loss = ConsistencyLoss(READER, max_t=None)
    exact = loss(prediction, target)
    with torch.autocast("cpu", torch.bfloat16):
        value = loss(prediction, target)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, exact, atol=0.05, rtol=0.05)


@pytest.mark.parametrize(
    ("target", "classes", "members"),
    [
        ("depth", 1, dict(depth=torch.rand(3, 16, 16) + 1)),
        ("normals", 3, dict(condition=torch.rand(3, 3, 16, 16))),
        ("edges", 1, dict(condition=torch.randint(-1, 2, (3, 1, 16, 16)).float())),
    ],
)
def test_other_targets(target, classes, members):
    prediction, truth = estimate(**members)
    loss = ConsistencyLoss(dict(type="CountingReader", classes=classes), target, max_t=None)
    value = loss(prediction, truth)
    value.sum().backward()
    assert loss.needs == tuple(members) and (value > 0).all() and prediction.eps.grad.isfinite().all()


def test_options_are_checked_when_it_is_made():
    with pytest.raises(ValueError, match="ConsistencyLoss: target='masks'"):
        ConsistencyLoss(READER, "masks")
    with pytest.raises(TypeError, match="ConsistencyLoss.options: unknown argument 'balanced'"):
        ConsistencyLoss(READER, options=dict(balanced=1.0))


def test_it_is_tried_on_an_image_before_a_training():
    ConsistencyLoss(READER).try_on(torch.zeros(1, 3, 8, 8))
    with pytest.raises(RuntimeError):
        ConsistencyLoss(nn.Conv2d(4, 3, 1)).try_on(torch.zeros(1, 3, 8, 8))
