"""Schedules, respacing and the maths of one step, against the released code."""

import numpy as np
import pytest
import torch

from pitikit.diffusion.samplers import DDIMSampler, DDPMSampler, NoiseLevel
from pitikit.diffusion.schedule import NoiseSchedule, betas, posterior_variance, spaced_timesteps
from pitikit.diffusion.timesteps import LossSecondMoment
from pitikit.diffusion.types import Prediction
from pitikit.losses.denoising import (
    EpsMSE,
    VariationalBound,
    discretized_log_likelihood,
    normal_kl,
    prior_bits,
)
from pitikit.networks.unet import timestep_embedding

NAMES = ("squaredcos_cap_v2", "linear")
RESPACINGS = {
    "[100]": 100, "[250]": "250", "[fast27]": "fast27", "[ddim50]": "ddim50",
    "[10,10,8]": [10, 10, 8], "[10]": "10",
}  # fmt: skip

DOUBLE = dict(rtol=1e-12)


def coefficients(schedule):
    """The float64 values that the released diffusion keeps, by its names."""
    alpha_bar, before, added = schedule.alpha_bar, schedule.alpha_bar_prev, schedule.betas
    return {
        "betas": added,
        "alphas_cumprod": alpha_bar,
        "posterior_variance": posterior_variance(alpha_bar, before, added),
        "posterior_log_variance_clipped": schedule.min_log_var,
        "posterior_mean_coef1": added * before.sqrt() / (1 - alpha_bar),
        "posterior_mean_coef2": (1 - before) * (1 - added).sqrt() / (1 - alpha_bar),
    }


@pytest.mark.parametrize("name", NAMES)
def test_schedule(reference, compare, name):
    expected = reference(f"diffusion_schedule_{name}")
    schedule = NoiseSchedule(name)
    compare.close("betas by the formula", betas(name, 1000), expected["raw_betas"], rtol=1e-12)
    compare.close("alpha_bar", schedule.alpha_bar, expected["raw_alphas_cumprod"], rtol=1e-12)
    for what, values in coefficients(schedule).items():
        compare.close(what, values, expected[f"raw_{what}"], **DOUBLE)
    for respacing, steps in RESPACINGS.items():
        timesteps = schedule.spaced(steps)
        assert timesteps == expected.value(f"{respacing}timestep_map").tolist()
        for what, values in coefficients(schedule.subset(timesteps)).items():
            compare.close(f"{respacing}{what}", values, expected[f"{respacing}{what}"], **DOUBLE)


def test_respacing(stored_json, compare):
    found = stored_json("spaced_timesteps.json")["timesteps"]
    cases = {
        '"100"': (1000, "100"), '"250"': (1000, "250"), '"fast27"': (1000, "fast27"),
        '"ddim50"': (1000, "ddim50"), '"ddim10"': (1000, "ddim10"), '"ddim25"': (1000, "ddim25"),
        '"10"': (1000, "10"), '"27"': (1000, 27), '"10,10,8"': (1000, "10,10,8"),
        "[10, 10, 8]": (1000, [10, 10, 8]), "[1000]": (1000, [1000]), '""': (1000, ""),
        'n=4000 "250"': (4000, "250"), "n=300 [10,15,20]": (300, [10, 15, 20]),
        'n=1000 "25" round-half check': (1000, 25),
    }  # fmt: skip
    assert set(cases) == set(found)
    for case, arguments in cases.items():
        assert spaced_timesteps(*arguments) == found[case], case
    assert len(spaced_timesteps(1000, "ddim7")) == 7
    for steps, total in (("ddim333", 1000), (20, 10)):
        with pytest.raises(ValueError):
            spaced_timesteps(total, steps)


def test_timestep_embedding(reference, compare):
    expected = reference("timestep_embedding")
    t = torch.from_numpy(expected.value("t"))
    # exp differs in the last bit between builds, and so does the angle: at t = 999 by 6e-5.
    for dim in (192, 63):
        compare.close(f"dim {dim}", timestep_embedding(t, dim), expected[f"dim{dim}"], atol=7e-5)


@pytest.fixture(scope="module")
def inputs():
    generator = torch.Generator().manual_seed(201)
    shape = (4, 3, 16, 16)
    x_start = torch.rand(shape, generator=generator) * 2 - 1
    x_start[:, :, :2], x_start[:, :, 2:4] = -1, 1
    noise = torch.randn(shape, generator=generator)
    output = torch.randn(4, 6, 16, 16, generator=generator) * 0.8
    return x_start, noise, output, torch.randn(shape, generator=generator)


@pytest.mark.slow
def test_inputs_of_the_operations(whole, inputs):
    expected = whole("diffusion_ops")
    for name, ours in zip(("x_start", "noise", "model_output", "step_noise"), inputs, strict=True):
        np.testing.assert_allclose(ours.numpy(), expected.value(name), atol=1e-6)


class Noise:
    """Gives what it was given."""

    def __init__(self, noise):
        self.noise = noise

    def randn(self, shape):
        return self.noise


TIGHT = dict(atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("respacing", ["1000", "250", "fast27"])
@pytest.mark.parametrize("name", NAMES)
def test_operations(reference, compare, inputs, name, respacing):
    found = reference("diffusion_ops")
    prefix = f"{name}/{respacing}/"
    expected = {key.removeprefix(prefix): v for key, v in found.items() if key.startswith(prefix)}
    x0, noise, output, step_noise = inputs
    schedule = NoiseSchedule(name)
    schedule = schedule.subset(schedule.spaced(respacing))
    t = torch.from_numpy(expected["t"][0])
    alpha_bar = schedule.at(t)
    target = schedule.target(x0, t, noise)
    before = target.alpha_bar_prev

    x_t = schedule.add_noise(x0, t, noise)
    compare.close("x_t", x_t, expected["x_t"], **TIGHT)
    raw = Prediction(x_t, alpha_bar, output[:, :3], (output[:, 3:] + 1) / 2)
    compare.close("x0 of eps", raw.x0, expected["pred_xstart_from_eps"], **TIGHT)
    compare.close("eps of x0", raw.with_x0(x0).eps, expected["eps_from_xstart"], **TIGHT)
    compare.close("posterior mean", raw.posterior_mean(before, x0), expected["q_post_mean"],
                  **TIGHT)  # fmt: skip
    variance = posterior_variance(alpha_bar, before).flatten()
    compare.close("posterior variance", variance, expected["q_post_var"], **TIGHT)
    log_variance = target.min_log_var.flatten()
    compare.close("posterior log variance", log_variance, expected["q_post_logvar"], **TIGHT)

    clipped = raw.with_x0(raw.x0.clamp(-1, 1))
    compare.close("clipped x0", clipped.x0, expected["pmv_clip1_pred_xstart"], **TIGHT)
    compare.close("mean", clipped.posterior_mean(before), expected["pmv_clip1_mean"], **TIGHT)
    ddpm = DDPMSampler(steps=10)
    learned = schedule.log_variance(t, raw.var_frac)
    compare.close("log variance", learned, expected["pmv_clip1_log_variance"], **TIGHT)
    compare.close("variance", learned.exp(), expected["pmv_clip1_variance"], **TIGHT)
    # The last step adds no noise, and so needs no variance.
    of_steps = ddpm.log_variance(clipped, alpha_bar, before)
    torch.testing.assert_close(of_steps[t > 0], learned[t > 0].float(), rtol=1e-5, atol=1e-5)

    def step(sampler):
        """One row at a time, because the end of sampling is a matter of the whole batch."""
        results = []
        for row in range(4):
            at = slice(row, row + 1)
            one = Prediction(x_t[at], alpha_bar[at], clipped.eps[at], raw.var_frac[at],
                             clipped.x0[at])  # fmt: skip
            levels = NoiseLevel(t[at], alpha_bar[at]), NoiseLevel(t[at] - 1, before[at])
            results.append(sampler.step(x_t[at], *levels, lambda *_: one, None, Noise(step_noise[at])))  # noqa: B023
        return torch.cat(results)

    compare.close("DDPM step", step(ddpm), expected["p_sample"], **TIGHT)
    for eta in (0.0, 0.5):
        ours, stored = step(DDIMSampler(steps=10, eta=eta)), expected[f"ddim_eta{eta}"]
        compare.close(f"DDIM step, eta {eta}", ours, stored, atol=2e-6, rtol=1e-5)

    after = torch.cat([schedule.alpha_bar[1:], torch.zeros(1, dtype=torch.float64)])[t].view(-1, 1, 1, 1)
    levels = NoiseLevel(t, alpha_bar), NoiseLevel(t + 1, after)
    inverted = DDIMSampler(steps=10).step(x_t, *levels, lambda *_: clipped, None, Noise(step_noise))
    compare.close("DDIM inversion", inverted, expected["ddim_reverse"], atol=4e-6, rtol=1e-5)

    mse, bound = EpsMSE()(raw, target), VariationalBound()(raw, target)
    compare.close("mse", mse, expected["loss_mse"], rtol=1e-5)
    # The bound of the first step is the logarithm of a difference of two values near 1.
    compare.close("bound", bound, expected["loss_vb"], rtol=1e-4)
    compare.close("loss", mse + bound, expected["loss_loss"], rtol=1e-5)
    bits = bound * 1000 / len(schedule)
    compare.close("bound in bits", bits, expected["vb_terms_bpd"], rtol=1e-4)
    compare.close("bound of the prior", prior_bits(x0, float(schedule.alpha_bar[-1])), expected["prior_bpd"], atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_fixed_variances(reference, compare, inputs, name):
    expected = reference("diffusion_ops")
    schedule = NoiseSchedule(name)
    x0, noise, output, _ = inputs
    t = torch.from_numpy(expected.value(f"{name}/1000/t"))
    target = schedule.target(x0, t, noise)
    pred = Prediction(schedule.add_noise(x0, t, noise), schedule.at(t), output[:, :3])
    for kind in ("small", "large"):
        ours = schedule.log_variance(t, kind=kind).flatten()
        stored = expected[f"{name}/alt_fixed_{kind}/pmv_log_variance"][0][:, 0, 0, 0]
        compare.close(kind, ours, stored, **TIGHT)
        of_steps = DDPMSampler(steps=10, variance=kind).log_variance(pred, schedule.at(t), target.alpha_bar_prev)
        torch.testing.assert_close(of_steps.flatten()[t > 0], ours[t > 0].float(), rtol=1e-5, atol=1e-5)
    with pytest.raises(ValueError, match="expected var_frac"):
        schedule.log_variance(t)


def test_divergence_and_likelihood(reference, compare):
    expected = reference("diffusion_ops")
    given = [torch.from_numpy(expected.value(f"kl_in{index}")) for index in range(4)]
    mean1, log_var1, mean2, log_var2 = given
    ours = normal_kl(mean1, log_var1 * 0.5, mean2, log_var2 * 0.5)
    compare.close("divergence", ours, expected["normal_kl"], **TIGHT)
    x = torch.linspace(-1, 1, 256).view(1, 1, 16, 16)
    means = mean1[:1, :1].tile(2, 2).tanh()
    log_scales = log_var1[:1, :1].tile(2, 2) - 2
    likelihood = discretized_log_likelihood(x, means, log_scales)
    compare.close("likelihood", likelihood, expected["disc_ll"], atol=1e-4, rtol=1e-4)


def test_second_moment_sampler(reference, compare):
    expected = reference("second_moment_resampler")
    sampler = LossSecondMoment(steps=20)
    uniform = sampler.weights() / sampler.weights().sum()
    initial = expected.value("weights_initial")
    compare.close("initial", uniform, initial / initial.sum(), rtol=1e-12)
    timesteps = torch.from_numpy(expected.value("timesteps"))
    losses = torch.from_numpy(expected.value("losses"))
    for batch in range(60):
        sampler.update(timesteps[batch], losses[batch])
        key = f"weights_after_{batch + 1}_batches"
        if key in expected:
            weights = sampler.weights()
            stored = expected.value(key)
            compare.close(key, weights / weights.sum(), stored / stored.sum(), rtol=1e-12)
    assert sampler.counts.tolist() == expected.value("counts").tolist()
    compare.close("history", sampler.losses, expected["history"], rtol=1e-12)
    p = sampler.weights() / sampler.weights().sum()
    t = torch.from_numpy(expected.value("sample_indices"))
    compare.close("loss weights", 1 / (20 * p[t]), expected["sample_weights"], rtol=1e-6)
