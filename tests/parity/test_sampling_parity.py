"""Whole samplings, with the random numbers of the released code replayed in their order."""

from functools import cache

import pytest
import torch

from pitikit.diffusion.guidance import CFG
from pitikit.diffusion.samplers import DDIMSampler, DDPMSampler
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import BoundDenoiser

# A port that is sound moves single values by up to 8e-3, their mean by 7e-5.
FINAL = dict(atol=2e-2, mean=2e-4)
MIDWAY = 5e-3

# Sampler and seed of the noise.
GUIDED = {
    "sampling_ddpm_10_cfg1.3": (DDPMSampler, dict(steps="10"), 1.3, 310),
    "sampling_ddim10_eta0.0_cfg1.3": (DDIMSampler, dict(steps="ddim10", eta=0.0), 1.3, 320),
    "sampling_ddim10_eta0.5_cfg2.0": (DDIMSampler, dict(steps="ddim10", eta=0.5), 2.0, 320),
    "sampling_ddpm_10_cfg2.0": (DDPMSampler, dict(steps="10"), 2.0, 311),
    "sampling_ddpm_fast27_cfg1.3": (DDPMSampler, dict(steps="fast27"), 1.3, 310),
    "sampling_ddpm_fast27_cfg2.0": (DDPMSampler, dict(steps="fast27"), 2.0, 311),
}


@pytest.fixture(scope="module")
def sample(model, draw_inputs, replayed_noise):
    """``sample(case)``: the image after each step, computed once for all the tests."""

    @cache
    def run(case):
        if case == "sampling_sr64_fast27":
            network, seed, doubled = model("sr_small_64_from_16"), 330, False
            _, condition, low_res = draw_inputs(302, 2, low=16)
            sampler = DDPMSampler(steps="fast27", temperature=0.997)
        else:
            network, doubled = model("base_small_coco"), True
            kind, arguments, scale, seed = GUIDED[case]
            _, condition, low_res = draw_inputs(301, 2)
            sampler = kind(guidance=CFG(scale), **arguments)
        schedule = NoiseSchedule("linear" if low_res is not None else "squaredcos_cap_v2")
        with torch.no_grad():
            bound = BoundDenoiser(network.decode, schedule, network.encode(condition, low_res))
            null = BoundDenoiser(network.decode, schedule, network.null(2, low_res)) if sampler.needs_null else None
        images = []
        final = sampler(
            bound, replayed_noise(seed, 2, doubled), (3, 64, 64), null,
            callback=lambda index, t, x, prediction: images.append(x),
        )  # fmt: skip
        assert torch.equal(final, images[-1])
        return images

    return run


def check(numbers, images, compare):
    compare.close("final", images[-1], numbers["final"], **FINAL)
    done = numbers["steps_done_at_saved_x"][0] if "steps_done_at_saved_x" in numbers else [1]
    compare.close("x_mid0", images[done[0] - 1], numbers["x_mid0"], atol=MIDWAY)


@pytest.mark.parametrize("case", [*list(GUIDED)[:3], "sampling_sr64_fast27"])
def test_sampling(reference, sample, compare, case):
    check(reference(case), sample(case), compare)


@pytest.mark.slow
@pytest.mark.parametrize("case", list(GUIDED)[3:])
def test_more_sampling(whole, sample, compare, case):
    check(whole(case), sample(case), compare)
