"""Networks with weights by the rule of the released numbers."""

import gzip
import json

import numpy as np
import pytest
import torch

from pitikit.kernels.accelerate import accelerate
from pitikit.models.denoiser import Denoiser
from pitikit.networks.decoders import GlideUNet
from pitikit.networks.encoders import SemanticEncoder

ATOL = 2e-4
# Configuration, input seed, batch, condition channels, side of low_res, timesteps.
CASES = {
    "base_small_coco": (101, 2, 3, None, (37, 912)),
    "base_small_edge": (102, 2, 1, None, (37, 912)),
    "base_small_depthnormal": (103, 2, 6, None, (37, 912)),
    "sr_small_64_from_16": (104, 2, 3, 16, (37, 912)),
    "sr_small_128": (105, 2, 3, 64, (37, 912)),
    "base_full_coco": (111, 1, 3, None, (912,)),
    "sr_full_256_coco": (112, 1, 3, 64, (37,)),
}
SMALL = dict(channels=64, multipliers=(1, 1, 1, 2), res_blocks=1)
LARGE = dict(image_size=256, multipliers=(1, 1, 2, 2, 4, 4), res_blocks=2, low_res=True)
LISTS = {
    "small_base64_coco": (3, SMALL),
    "small_sr64_coco": (3, dict(SMALL, low_res=True)),
    "small_sr128_coco": (3, dict(SMALL, image_size=128, multipliers=(1, 1, 1, 1, 2), low_res=True)),
    "piti_base64_coco": (3, {}),
    "piti_base64_coco-edge": (1, {}),
    "piti_base64_depth-normal": (6, {}),
    "piti_upsample256_coco": (3, LARGE),
    "piti_upsample256_coco-edge": (1, LARGE),
    "piti_upsample256_depth-normal": (6, LARGE),
}
TOTALS = {"piti_base64_coco": 338_015_302, "piti_upsample256_depth-normal": 351_350_566}


@pytest.mark.parametrize("name", LISTS)
def test_names_and_shapes(repo, name):
    lists = gzip.decompress((repo / "tests/data/released_keys.json.gz").read_bytes())
    channels, decoder = LISTS[name]
    with torch.device("meta"):
        model = Denoiser(SemanticEncoder(channels), GlideUNet(**decoder))
    found = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert found == json.loads(lists)[name]
    if name in TOTALS:
        assert sum(p.numel() for p in model.parameters()) == TOTALS[name]


def test_weights_rule(stored_json, model, compare):
    weights = model("base_small_coco").state_dict()
    for name, expected in stored_json("weights_rule_check.json")["checks"].items():
        found = weights[name]
        assert list(found.shape) == expected["shape"]
        compare.close(name, found.flatten()[:4], expected["first4"], atol=1e-6)
        assert found.double().sum().item() == pytest.approx(expected["sum"], abs=1e-3)
        assert found.double().square().sum().item() == pytest.approx(expected["sumsq"], rel=1e-6)


def check(name, numbers, network, draw_inputs, compare):
    seed, batch, channels, low, t = CASES[name]
    x, condition, low_res = draw_inputs(seed, batch, channels, network.decoder.image_size, low)
    cond = network.encode(condition, low_res)
    null = network.null(batch, low_res)

    def close(what, ours):
        if what in numbers:
            compare.close(what, ours, numbers[what], atol=ATOL)

    with torch.no_grad():
        close("out", network.decode(x, torch.tensor(t), cond))
        projection = network.decoder.transformer_proj
        # The released encoder's second output is what the decoder projects.
        assert projection.in_features == cond.pooled.shape[1]
        close("xf_proj", cond.pooled)
        close("xf_out", cond.tokens)
        for key, given in (("out_scaled100", "t_scaled100"), ("out_4000", "t_4000")):
            if key in numbers:
                other = torch.from_numpy(numbers.value(given))
                close(key, network.decode(x, other, cond))
        if "out_null" in numbers:
            close("out_null", network.decode(x, torch.tensor(t), null))
        close("xf_proj_null", null.pooled[:1])
    for what, tensor in (("xf_out_stats", cond.tokens), ("xf_out_null_stats", null.tokens[:1])):
        if what in numbers:
            compare.close(what, statistics(tensor)[:5], numbers.value(what)[:5], atol=ATOL)


def statistics(tensor):
    values = tensor.double().numpy()
    return np.array([values.mean(), values.std(), np.abs(values).mean(), values.min(), values.max(), 0])


@pytest.mark.parametrize("name", [name for name in CASES if "small" in name])
def test_forward(reference, model, draw_inputs, compare, name):
    check(name, reference(f"forward_{name}"), model(name), draw_inputs, compare)


@pytest.mark.slow
@pytest.mark.parametrize("accelerated", [False, True])
@pytest.mark.parametrize("name", [name for name in CASES if "full" in name])
def test_full_size_forward(whole, model, draw_inputs, compare, name, accelerated):
    network = model(name)
    if accelerated:
        # The encoder is shared with other tests.
        accelerate(network.decoder)
    check(name, whole(f"forward_{name}"), network, draw_inputs, compare)
