"""Every sampler with every guidance, on a base model, an upsampler and a cascade."""

import copy

import pytest
import torch

from pitikit.diffusion.guidance import Autoguidance, CFGPlusPlus, ClassifierGuidance
from pitikit.diffusion.noise import NoiseSource
from pitikit.diffusion.samplers import SamplingRequest, build_sampler
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import BoundDenoiser, Conditioning
from pitikit.registry import GUIDANCES, SAMPLERS, registered
from pitikit.weights import save_weights
from tests.models.tiny_cascade import DECODER, UPSAMPLER, cascade

STEPS = 3
CFG = dict(type="CFG", scale=2.0)
OWN = {
    "ddpm": dict(type="DDPMSampler"),
    "ddim": dict(type="DDIMSampler"),
    "ddim-1": dict(type="DDIMSampler", eta=1.0),
    "2m": dict(type="DPMSolverSampler"),
    "2m-sde": dict(type="DPMSolverSampler", eta=1.0, spacing="log_snr"),
    "unipc": dict(type="UniPCSampler", spacing="trailing"),
    "heun": dict(type="HeunSampler"),
}
FOREIGN = {"sa": dict(type="DiffusersSampler", scheduler="SASolverScheduler")}
INTERVAL = dict(low=0.5, high=30.0)
GUIDED = {
    "none": None,
    "cfg": CFG,
    "normalized": dict(type="NormalizedCFG", scale=2.0),
    "rescaled": dict(type="RescaledCFG", scale=2.0),
    "zero-star": dict(type="CFGZeroStar", scale=2.0),
    "apg": dict(type="APG", scale=2.0, norm=5.0),
    "plus-plus": dict(type="CFGPlusPlus"),
    "interval": dict(type="Interval", guidance=CFG, **INTERVAL),
    "schedule": dict(type="ScaleSchedule", guidance=dict(type="Interval", guidance=CFG, **INTERVAL)),
    "threshold": [CFG, dict(type="DynamicThreshold", percentile=0.9)],
    "classifier": dict(type="ClassifierGuidance", scale=1.0),
    "consistency": dict(type="ConsistencyGuidance", scale=1.0, options=dict(balance=1.0)),
    "auto": dict(type="Autoguidance", scale=2.0),
    "all": [dict(type="ClassifierGuidance", scale=1.0), dict(type="APG", scale=2.0), dict(type="DynamicThreshold")],
}
SEEDS = [5, 6]
CONDITION = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1)) * 2 - 1
LABEL = torch.randint(0, 4, (2, 32, 32), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def test_no_component_is_left_out():
    kinds = {config["type"] for config in {**OWN, **FOREIGN}.values()}
    ours = {name for name, kind in registered(SAMPLERS).items() if kind.__module__.startswith("pitikit.")}
    assert ours == kinds
    named = [
        each for config in GUIDED.values() if config for each in (config if isinstance(config, list) else [config])
    ]
    ours = {name for name, kind in registered(GUIDANCES).items() if kind.__module__.startswith("pitikit.")}
    # Of models of several conditions: guidance/test_dual.py and guidance/test_parts.py.
    assert ours - {"DualCFG", "PartsCFG"} == {each["type"] for each in named}


@pytest.fixture(scope="module")
def model():
    """A cascade of 8 to 16 pixels: in its upsampler, attention over all of them is the most of the work."""
    small = dict(UPSAMPLER["denoiser"], decoder=dict(DECODER, image_size=16, low_res=True))
    return cascade(upsampler=dict(UPSAMPLER, denoiser=small))


@pytest.fixture(scope="module")
def weak(model, tmp_path_factory):
    """Files of a weaker base and a weaker upsampler."""
    folder = tmp_path_factory.mktemp("weak")
    return {
        name: str(
            save_weights(folder / f"{name}.safetensors", {k: 0.9 * v for k, v in part.denoiser.state_dict().items()})
        )
        for name, part in model.parts.items()
    }


class Classifier(torch.nn.Conv2d):
    """A network in float32, whatever it is given."""

    def forward(self, image):
        return super().forward(image.float())


@pytest.fixture(scope="module")
def classifier():
    torch.manual_seed(0)
    return Classifier(3, 4, 3, padding=1)


class Doubles(NoiseSource):
    """Noise in float64."""

    def randn(self, shape):
        return super().randn(shape).double()


@pytest.fixture(scope="module")
def doubled(model):
    """The base model in float64."""
    return copy.deepcopy(model.base).double()


@pytest.fixture
def make(classifier, weak):
    """``make(sampler, guidance, part)``: the sampler of a part."""

    def complete(guidance, part):
        if isinstance(guidance, list):
            return [complete(each, part) for each in guidance]
        if guidance is not None and guidance["type"] in ("ClassifierGuidance", "ConsistencyGuidance"):
            return {**guidance, "network": classifier}
        if guidance is not None and guidance["type"] == "Autoguidance":
            return {**guidance, "weights": weak[part]}
        return guidance

    def build(sampler, guidance, part):
        if sampler == "sa":
            pytest.importorskip("diffusers")
        config = {**OWN, **FOREIGN}[sampler]
        return build_sampler({**config, "steps": STEPS, "guidance": complete(GUIDED[guidance], part)})

    return build


def pairs():
    """All of them; slow is a pair whose guidance goes with DDIM and 2M-SDE, and whose sampler with the usual ones."""
    for sampler in [*OWN, *FOREIGN]:
        for guidance in GUIDED:
            usual = sampler in ("ddim", "2m-sde") or guidance in ("none", "cfg", "interval", "plus-plus", "all")
            yield pytest.param(sampler, guidance, marks=[] if usual else pytest.mark.slow)


@pytest.mark.parametrize(("sampler", "guidance"), list(pairs()))
def test_every_sampler_with_every_guidance(sampler, guidance, make, model, doubled, monkeypatch):
    if guidance == "plus-plus" and not sampler.startswith("ddim"):
        with pytest.raises(ValueError, match="expected a sampler that adds that back"):
            make(sampler, guidance, "base")
        return
    base, upsampler = (make(sampler, guidance, part) for part in model.parts)
    request = SamplingRequest(SEEDS, base, label=LABEL, upsampler=SamplingRequest(sampler=upsampler))
    made = model.sample(CONDITION, request)
    assert made.images.shape == (2, 3, 16, 16) and made.images.isfinite().all()
    # The upsampler alone: the same bytes into it, the same image.
    assert torch.equal(model.sample(CONDITION, request, made.low_res).images, made.images)

    monkeypatch.setattr("pitikit.models.translator.NoiseSource", Doubles)

    def small(seeds, rows=slice(None), sampler=base):
        one = SamplingRequest(seeds, sampler, label=LABEL[rows])
        return doubled.sample(CONDITION[rows].double(), one).images

    both = small(SEEDS)
    assert both.dtype == torch.float64 and torch.equal(small(SEEDS), both)
    # A row depends on its own seed and on no other row.
    torch.testing.assert_close(small(SEEDS[1:], slice(1, 2))[0], both[1], atol=1e-5, rtol=0)
    other = small([7, 6])
    torch.testing.assert_close(other[1], both[1], atol=1e-5, rtol=0)
    assert (other[0] - both[0]).abs().max() > 1e-3
    if guidance != "none":
        assert (small(SEEDS, sampler=make(sampler, "none", "base")) - both).abs().max() > 1e-5


@pytest.mark.parametrize(
    "sampler, guidance, calls",
    [
        ("ddpm", "none", STEPS),
        ("ddpm", "cfg", 2 * STEPS),
        ("heun", "none", 2 * STEPS - 1),
        ("heun", "cfg", 2 * (2 * STEPS - 1)),
        ("unipc", "apg", 2 * STEPS),
        ("2m", "auto", 2 * STEPS),
        ("2m", "classifier", STEPS),
        ("ddim", "all", 2 * STEPS),
        # 995 is above the interval, 498 within, 0 below.
        ("2m", "interval", STEPS + 1),
        ("2m", "schedule", STEPS + 1),
    ],
)
def test_network_calls_are_counted_by_rows(sampler, guidance, calls, make, model):
    made = model.base.sample(CONDITION, SamplingRequest(SEEDS, make(sampler, guidance, "base"), label=LABEL))
    assert made.calls == 2 * calls
    own = SamplingRequest(sampler=make("ddim", "cfg", "upsampler"))
    both = SamplingRequest(SEEDS, make(sampler, guidance, "base"), label=LABEL, upsampler=own)
    assert model.sample(CONDITION, both).calls == 2 * (calls + 2 * STEPS)


@pytest.mark.parametrize("sampler", list(OWN))
def test_no_value_is_needed_on_the_host_while_sampling(sampler, monkeypatch):
    def need(self, *_):
        raise AssertionError("a GPU would have to finish everything before it could answer")

    schedule = NoiseSchedule()

    def decode(x_t, t, cond):
        return torch.cat([x_t.sin(), x_t.cos()], dim=1)

    def sample():
        bound = BoundDenoiser(decode, schedule, Conditioning(torch.zeros(1, 2, 1), torch.zeros(1, 2)))
        null = BoundDenoiser(decode, schedule, Conditioning(torch.ones(1, 2, 1), torch.ones(1, 2)))
        return chosen(bound, NoiseSource([0]), (3, 4, 4), null)

    for guidance in ("cfg", "apg", "rescaled"):
        chosen = build_sampler({**OWN[sampler], "steps": 4, "guidance": GUIDED[guidance]})
        expected = sample()
        for name in ("__bool__", "__float__", "__int__", "item", "tolist"):
            monkeypatch.setattr(torch.Tensor, name, need)
        found = sample()
        monkeypatch.undo()
        assert torch.equal(found, expected)


def test_a_classifier_leaves_no_gradients_behind(model, classifier):
    sampler = build_sampler(dict(type="DDIMSampler", steps=2, guidance=ClassifierGuidance(classifier)))
    made = model.base.sample(CONDITION, SamplingRequest(SEEDS, sampler, label=LABEL)).images
    assert not made.requires_grad and all(p.grad is None for p in model.parameters())
    with pytest.raises(ValueError, match="ClassifierGuidance: got no label"):
        model.base.sample(CONDITION, SamplingRequest(SEEDS, sampler))


def test_the_weak_model_is_no_part_of_the_model(model, weak):
    names = set(model.base.state_dict())
    sampler = build_sampler(dict(type="DDIMSampler", steps=2, guidance=Autoguidance(weak["base"])))
    model.base.sample(CONDITION, SamplingRequest(SEEDS, sampler))
    assert set(model.base.state_dict()) == names
    network = model.base.weak_denoiser(weak["base"])
    assert network is model.base.weak_denoiser(weak["base"]) and network is not model.base.denoiser
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, 0.9 * model.base.denoiser.state_dict()[name])


def test_weights_of_another_network_are_no_weak_model(model, weak):
    sampler = build_sampler(dict(type="DDIMSampler", steps=2, guidance=Autoguidance(weak["upsampler"])))
    with pytest.raises(ValueError, match="upsampler.safetensors does not fit the model: .*size mismatch for decoder"):
        model.base.sample(CONDITION, SamplingRequest(SEEDS, sampler))


@pytest.mark.parametrize("steps", [0, 1001, -1])
def test_steps_that_cannot_be_had_are_named(steps, model):
    for config in OWN.values():
        sampler = build_sampler({**config, "steps": steps})
        with pytest.raises(ValueError, match=f"{config['type']}: steps={steps}: "):
            model.base.sample(CONDITION, SamplingRequest(SEEDS, sampler))
    assert CFGPlusPlus.needs_null
