"""Guidance by a second network."""

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import nn

from pitikit.diffusion.guidance import (
    CFG,
    Autoguidance,
    ClassifierGuidance,
    ConsistencyGuidance,
    GuidanceInputs,
    Interval,
    ScaleSchedule,
    needs_of,
    with_inputs,
)
from pitikit.diffusion.samplers import DDIMSampler
from tests.diffusion.predictions import COND, NULL, SCHEDULE, inputs, wrapped


class Classifier(nn.Module):
    """Logits of every pixel, (B, 4, H, W), or with ``whole`` of the image, (B, 4)."""

    def __init__(self, whole=False):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.whole = nn.Conv2d(3, 4, 3, padding=1), whole

    def forward(self, image):
        logits = self.layer(image.tanh())
        return logits.mean((2, 3)) if self.whole else logits


LABEL = torch.randint(0, 4, (2, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def log_p(network, x_t, t, label, ignore=255):
    x0 = COND(x_t, t).x0
    logits = network(x0).log_softmax(1)
    if logits.ndim == 2:
        return logits.gather(1, label.long()[:, None]).sum()
    counted = label != ignore
    found = logits.gather(1, label.where(counted, 0).long()[:, None])[:, 0] * counted
    return (found.flatten(1).sum(1) / counted.flatten(1).sum(1)).sum()


@pytest.mark.parametrize("whole", [False, True])
def test_classifier_guidance_is_its_formula(whole):
    x_t, t = (value.double() if value.is_floating_point() else value for value in inputs())
    network = Classifier(whole).double()
    label = torch.tensor([1, 3]) if whole else LABEL.clone()
    if not whole:
        label[0, :3] = 255
    guidance = with_inputs(ClassifierGuidance(network, 0.7), GuidanceInputs(label))
    with torch.no_grad():
        made = wrapped(guidance)(x_t, t)
    # The gradient by differences, in a random direction.
    direction = torch.randn(x_t.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    step = 1e-5
    rise = (log_p(network, x_t + step * direction, t, label) - log_p(network, x_t - step * direction, t, label)) / (
        2 * step
    )
    moved = (COND(x_t, t).eps - made.eps) / (0.7 * (1 - SCHEDULE.at(t)).sqrt())
    assert float((moved * direction).sum()) == pytest.approx(float(rise.detach()), rel=1e-5)
    assert not made.eps.requires_grad and not made.x0.requires_grad and not made.var_frac.requires_grad
    assert torch.equal(made.var_frac, COND(x_t, t).var_frac) and torch.equal(made.x_t, x_t)


def test_each_row_is_moved_by_its_own_label_alone():
    x_t, t = inputs()
    network = Classifier()
    made = wrapped(with_inputs(ClassifierGuidance(network), GuidanceInputs(LABEL)))(x_t, t)
    other = LABEL.clone()
    other[1] = (other[1] + 1) % 4
    changed = wrapped(with_inputs(ClassifierGuidance(network), GuidanceInputs(other)))(x_t, t)
    assert torch.equal(made.eps[0], changed.eps[0]) and not torch.equal(made.eps[1], changed.eps[1])
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_label_map_of_another_size_is_brought_to_that_of_the_logits():
    x_t, t = inputs()
    network = Classifier()
    large = LABEL.repeat_interleave(4, 1).repeat_interleave(4, 2)
    made, same = (
        wrapped(with_inputs(ClassifierGuidance(network), GuidanceInputs(label)))(x_t, t).eps for label in (LABEL, large)
    )
    assert torch.equal(made, same)


def test_it_goes_around_classifier_free_guidance_and_scale_zero_is_none():
    x_t, t = inputs()
    network = Classifier()
    free = wrapped(CFG(2.0))
    ready = with_inputs(ClassifierGuidance(network, 50.0), GuidanceInputs(LABEL))
    both = wrapped(ready, free)(x_t, t)
    assert (both.eps - free(x_t, t).eps).abs().max() > 1e-4 and both.null is not None
    assert not both.null.eps.requires_grad
    none = ClassifierGuidance(network, 0.0)
    assert wrapped(with_inputs(none, GuidanceInputs())) is COND


def test_the_likelihood_of_the_label_rises():
    network = Classifier()
    found = []
    for scale in (0.0, 200.0):
        sampler = DDIMSampler(10, ClassifierGuidance(network, scale))
        noise = type("Draw", (), {"randn": lambda self, shape: inputs()[0]})()
        made = sampler(COND, noise, (3, 8, 8), inputs=GuidanceInputs(LABEL))
        found.append(-F.cross_entropy(network(made), LABEL.long()).item())
    assert found[1] > found[0] + 0.05


def test_a_row_without_a_label_is_not_moved():
    x_t, t = inputs()
    label = LABEL.clone()
    label[1] = 255
    made = wrapped(with_inputs(ClassifierGuidance(Classifier(), 50.0), GuidanceInputs(label)))(x_t, t)
    assert torch.equal(made.eps[1], COND(x_t, t).eps[1]) and not torch.equal(made.eps[0], COND(x_t, t).eps[0])


def test_labels_that_do_not_fit():
    x_t, t = inputs()
    with pytest.raises(ValueError, match="ClassifierGuidance: got no label, expected class ids .B, h, w.: keep="):
        with_inputs(ClassifierGuidance(Classifier()), GuidanceInputs())
    for label in (LABEL[:1], torch.tensor([1, 2])):
        with pytest.raises(ValueError, match="ClassifierGuidance: got a label .*, expected class ids for logits"):
            wrapped(with_inputs(ClassifierGuidance(Classifier()), GuidanceInputs(label)))(x_t, t)
    for scale in ("abc", float("nan")):
        with pytest.raises(ValueError, match="ClassifierGuidance: scale=.*: expected a finite number"):
            ClassifierGuidance(Classifier(), scale)


@pytest.mark.parametrize(
    ("target", "channels", "members"),
    [
        ("label", 4, dict(label=LABEL)),
        ("depth", 1, dict(depth=torch.rand(2, 8, 8) + 1)),
        ("normals", 3, dict(condition=F.normalize(torch.rand(2, 3, 8, 8), dim=1))),
        ("edges", 1, dict(condition=torch.randint(-1, 2, (2, 1, 8, 8)).float())),
    ],
)
def test_consistency_guidance_moves_against_the_distance_of_any_target(target, channels, members):
    x_t, t = inputs()
    torch.manual_seed(0)
    network = nn.Conv2d(3, channels, 3, padding=1)
    guidance = ConsistencyGuidance(network, target, 0.5)
    assert needs_of(guidance) == needs_of(Interval(guidance)) == tuple(members) and needs_of(CFG(2.0)) == ()
    made = wrapped(with_inputs(guidance, GuidanceInputs(members=members)))(x_t, t)
    x = x_t.clone().requires_grad_()
    distance = guidance.agreement.distance(network(COND(x, t).x0), *members.values())
    (gradient,) = torch.autograd.grad(distance.sum(), x)
    sigma = (1 - SCHEDULE.at(t)).sqrt().float()
    torch.testing.assert_close(made.eps, COND(x_t, t).eps + 0.5 * sigma * gradient)
    with pytest.raises(ValueError, match=f"ConsistencyGuidance: got no {guidance.agreement.source}, expected"):
        with_inputs(guidance, GuidanceInputs())
    assert needs_of(ConsistencyGuidance(network, target, 0.0)) == ()


def test_a_classifier_s_is_that_by_labels():
    x_t, t = inputs()
    network, given = Classifier(), GuidanceInputs(LABEL)
    made = wrapped(with_inputs(ConsistencyGuidance(network, "label", 3.0), given))(x_t, t)
    assert torch.equal(made.eps, wrapped(with_inputs(ClassifierGuidance(network, 3.0), given))(x_t, t).eps)
    balanced = ConsistencyGuidance(network, "label", 3.0, options=dict(balance=1.0))
    assert not torch.equal(made.eps, wrapped(with_inputs(balanced, given))(x_t, t).eps)
    with pytest.raises(TypeError, match="ConsistencyGuidance.options: unknown argument 'balnce'"):
        ConsistencyGuidance(network, options=dict(balnce=1))


@pytest.fixture
def weights(tmp_path):
    save_file({"a": torch.zeros(1)}, tmp_path / "weak.safetensors")
    return str(tmp_path / "weak.safetensors")


def test_autoguidance_moves_away_from_the_weak_model(weights):
    x_t, t = inputs()
    ready = with_inputs(Autoguidance(weights, 3.0), GuidanceInputs(weak=lambda path: NULL))
    made, strong, weak = wrapped(ready)(x_t, t), COND(x_t, t), NULL(x_t, t)
    torch.testing.assert_close(made.eps, weak.eps + 3 * (strong.eps - weak.eps))
    assert torch.equal(made.var_frac, strong.var_frac) and made.null is None
    within = wrapped(with_inputs(Interval(Autoguidance(weights, 3.0), 1e5), GuidanceInputs(weak=lambda path: NULL)))(
        x_t, t
    )
    assert torch.equal(within.eps, strong.eps)
    scheduled = wrapped(with_inputs(ScaleSchedule(Autoguidance(weights, 3.0)), GuidanceInputs(weak=lambda path: NULL)))(
        x_t, t
    )
    assert not torch.equal(scheduled.eps, made.eps)


def test_autoguidance_of_scale_one_needs_no_weak_model(weights):
    guidance = Autoguidance(weights, 1.0)
    assert wrapped(with_inputs(guidance, GuidanceInputs())) is COND
    with pytest.raises(ValueError, match="Autoguidance: got no weak model"):
        with_inputs(Interval(Autoguidance(weights)), GuidanceInputs())


def test_the_weak_model_is_that_of_the_file(weights):
    made = []
    with_inputs(Autoguidance(weights), GuidanceInputs(weak=lambda path: made.append(path) or NULL))
    assert made == [weights]


def test_a_sampler_with_two_scales_takes_none_from_a_call(weights):
    sampler = DDIMSampler(3, Autoguidance(weights, 2.0))
    assert sampler.changed(scale=3.0).guidance[0].scale == 3.0
    both = DDIMSampler(3, [CFG(2.0), Autoguidance(weights, 2.0)])
    with pytest.raises(ValueError, match="scale=3.0: got CFG and Autoguidance, which have one each; set it in the con"):
        both.changed(scale=3.0)


def test_the_file_of_the_weak_model_is_missed_at_once(weights):
    assert len(Autoguidance(weights).sha256) == 64
    with pytest.raises(FileNotFoundError, match="Autoguidance: weights='nowhere.pth': no such file"):
        Autoguidance("nowhere.pth")
