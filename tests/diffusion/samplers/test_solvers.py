"""Solvers: independent formulae in float64, and their order on Gaussian data whose score is known."""

import math

import numpy as np
import pytest
import torch

from pitikit.diffusion.noise import NoiseSource
from pitikit.diffusion.samplers import (
    DDIMSampler,
    DDPMSampler,
    DPMSolverSampler,
    HeunSampler,
    NoiseLevel,
    SamplingState,
    UniPCSampler,
)
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import BoundDenoiser, Conditioning, Prediction
from pitikit.registry import SAMPLERS
from tests.diffusion.gaussian import errors, exact, marginal, sampled, schedule

PROCESS = schedule()
OPTIONS = dict(clip_x0=False, spacing="log_snr", log_snr_min=None)
DETERMINISTIC = {
    "ddim": (lambda n: DDIMSampler(n, **OPTIONS), 1),
    "2m": (lambda n: DPMSolverSampler(n, **OPTIONS), 2),
    "1m": (lambda n: DPMSolverSampler(n, order=1, **OPTIONS), 1),
    "unipc": (lambda n: UniPCSampler(n, **OPTIONS), 3),
    "unipc-1": (lambda n: UniPCSampler(n, order=1, **OPTIONS), 2),
    "heun": (lambda n: HeunSampler(n, **OPTIONS), 2),
}
STOCHASTIC = {
    "ddpm-small": (lambda n: DDPMSampler(n, variance="small", **OPTIONS), 1),
    "ddpm-large": (lambda n: DDPMSampler(n, variance="large", **OPTIONS), 1),
    "ddpm-learned": (lambda n: DDPMSampler(n, **OPTIONS), 1),
    "ddim-1": (lambda n: DDIMSampler(n, eta=1.0, **OPTIONS), 1),
    "2m-sde": (lambda n: DPMSolverSampler(n, eta=1.0, **OPTIONS), 2),
    "2m-half": (lambda n: DPMSolverSampler(n, eta=0.5, **OPTIONS), 2),
    "1m-sde": (lambda n: DPMSolverSampler(n, order=1, eta=1.0, **OPTIONS), 1),
}


def root(matrix):
    values, vectors = torch.linalg.eigh(matrix)
    return vectors * values.sqrt() @ vectors.T


@pytest.mark.parametrize("name", list(DETERMINISTIC))
def test_mean_and_covariance_converge_at_the_order_of_the_solver(name):
    make, order = DETERMINISTIC[name]
    found = [errors(make(steps + 1), PROCESS) for steps in (32, 64, 128)]
    assert all(mean < 1e-12 for mean, _ in found)
    rates = [math.log2(a / b) for (_, a), (_, b) in zip(found, found[1:], strict=False)]
    assert rates == pytest.approx([order] * 2, abs=0.15)
    assert found[-1][1] < 0.03


@pytest.mark.parametrize("name", list(DETERMINISTIC))
def test_the_way_of_each_sample_converges_from_plain_noise_too(name):
    make, order = DETERMINISTIC[name]
    mean, covariance = marginal(PROCESS.alpha_bar[-1])
    end_mean, end_covariance = marginal(PROCESS.alpha_bar[0])
    # The flow of the exact score: all covariances have the same axes.
    flow = root(end_covariance) @ torch.linalg.inv(root(covariance))
    mapped, centres = [], []
    for steps in (32, 64, 128):
        made_mean, _, first = sampled(make(steps + 1), PROCESS)
        mapped.append(float((first - flow).norm()))
        # Noise has mean 0, which is not that of the noisiest x_t.
        centres.append(float((made_mean - first @ mean - (end_mean - flow @ mean)).norm()))
    for distances in (mapped, centres):
        rates = [math.log2(a / b) for a, b in zip(distances, distances[1:], strict=False)]
        assert rates == pytest.approx([order] * 2, abs=0.2)


@pytest.mark.parametrize("name", list(STOCHASTIC))
def test_the_distribution_of_what_is_drawn_converges(name):
    make, order = STOCHASTIC[name]
    found = [errors(make(steps + 1), PROCESS, steps + 1) for steps in (32, 64, 128)]
    assert all(mean < 1e-12 for mean, _ in found)
    rates = [math.log2(a / b) for (_, a), (_, b) in zip(found, found[1:], strict=False)]
    assert rates == pytest.approx([order] * 2, abs=0.15)


# ---- independent formulae, in NumPy and in the variables of their papers

SCHEDULE = NoiseSchedule()
SHAPE = (3, 4, 4)
STEPS = (5, 200, 410, 700, 880, 990)


def clean(x, t):
    """x0 of a network that is not linear: (B, 3, 4, 4) arrays."""
    return np.tanh(x * 0.7 + 0.2 * np.sin(5 * x) + t / 3000)


class Curved(BoundDenoiser):
    """The same as a denoiser."""

    def __call__(self, x_t, t):
        calls.append(int(t[0]))
        alpha_bar = self.schedule.at(t)
        x0 = torch.from_numpy(clean(x_t.numpy(), int(t[0])))
        return Prediction(x_t, alpha_bar, torch.zeros_like(x_t)).with_x0(x0)


calls = []
CURVED = Curved(None, SCHEDULE, Conditioning(torch.zeros(2, 1, 1), torch.zeros(2, 1)))


class Doubles(NoiseSource):
    """Noise in float64."""

    def randn(self, shape):
        return super().randn(shape).double()


def levels():
    share = np.append(SCHEDULE.alpha_bar.numpy()[list(STEPS)][::-1], 1.0)
    return STEPS[::-1], np.sqrt(share), np.sqrt(1 - share)


def multistep(x, draw, order, eta):
    """k-diffusion's form, on x / alpha and with sigma / alpha."""
    timesteps, alpha, sigma = levels()
    noise = sigma / alpha
    x, old, h_last = x / alpha[0], None, None
    for i, t in enumerate(timesteps):
        denoised = clean(x * alpha[i], t)
        if noise[i + 1] == 0:
            return denoised
        h = np.log(noise[i] / noise[i + 1])
        mixed = denoised
        if order == 2 and old is not None:
            mixed = denoised + (denoised - old) / (2 * h_last / h)
        x = noise[i + 1] / noise[i] * np.exp(-h * eta) * x + (1 - np.exp(-h - h * eta)) * mixed
        if eta:
            x = x + draw() * noise[i + 1] * np.sqrt(1 - np.exp(-2 * h * eta))
        old, h_last = denoised, h
    raise AssertionError("the last level is the image")


def heun(x):
    timesteps, alpha, sigma = levels()
    noise = sigma / alpha
    x = x / alpha[0]
    for i, t in enumerate(timesteps):
        slope = (x - clean(x * alpha[i], t)) / noise[i]
        euler = x + (noise[i + 1] - noise[i]) * slope
        if noise[i + 1] == 0:
            return euler
        second = (euler - clean(euler * alpha[i + 1], timesteps[i + 1])) / noise[i + 1]
        x = x + (noise[i + 1] - noise[i]) * (slope + second) / 2
    raise AssertionError("the last level is the image")


def unipc(x, order):
    """Algorithms 1 and 2, with the systems of their coefficients solved for any order."""
    timesteps, alpha, sigma = levels()
    with np.errstate(divide="ignore"):
        lam = np.log(alpha / sigma)
    outputs, start = [], None
    for i, t in enumerate(timesteps):
        outputs.append(clean(x, t))
        if i:
            x = _unified(outputs, start, i - 1, min(order, i), True, alpha, sigma, lam)
        if i + 1 == len(timesteps):
            return outputs[-1]
        start = x
        x = _unified(outputs, x, i, min(order, i + 1), False, alpha, sigma, lam)
    raise AssertionError("the last level is the image")


def _unified(outputs, x, i, order, correct, alpha, sigma, lam):
    h = lam[i + 1] - lam[i]
    ratios = [(lam[i - k] - lam[i]) / h for k in range(1, order)]
    differences = [(outputs[i - k] - outputs[i]) / r for k, r in zip(range(1, order), ratios, strict=True)]
    if correct:
        ratios, differences = [*ratios, 1.0], [*differences, outputs[i + 1] - outputs[i]]
    scale = np.expm1(-h)
    phi, right = scale / -h - 1, []
    for k in range(1, len(ratios) + 1):
        right.append(phi * math.factorial(k) / scale)
        phi = phi / -h - 1 / math.factorial(k + 1)
    if not correct and order == 2:
        weights = [0.5]  # As the authors' code has it.
    elif correct and order == 1:
        weights = [0.5]
    else:
        powers = [[ratio**k for ratio in ratios] for k in range(len(ratios))]
        weights = np.linalg.solve(np.array(powers), right) if powers else []
    change = sum(w * d for w, d in zip(weights, differences, strict=True))
    return sigma[i + 1] / sigma[i] * x - alpha[i + 1] * scale * (outputs[i] + change)


@pytest.mark.parametrize(
    "sampler, formula",
    [
        (DPMSolverSampler(STEPS), lambda x, draw: multistep(x, draw, 2, 0)),
        (DPMSolverSampler(STEPS, order=1), lambda x, draw: multistep(x, draw, 1, 0)),
        (DPMSolverSampler(STEPS, eta=1.0), lambda x, draw: multistep(x, draw, 2, 1)),
        (DPMSolverSampler(STEPS, order=1, eta=0.3), lambda x, draw: multistep(x, draw, 1, 0.3)),
        (UniPCSampler(STEPS), lambda x, draw: unipc(x, 2)),
        (UniPCSampler(STEPS, order=1), lambda x, draw: unipc(x, 1)),
        (HeunSampler(STEPS), lambda x, draw: heun(x)),
    ],
    ids=["2m", "1m", "2m-sde", "1m-part", "unipc", "unipc-1", "heun"],
)
def test_a_sampling_is_that_of_its_formula(sampler, formula):
    made = sampler(CURVED, Doubles([3, 4]), SHAPE)
    noise = Doubles([3, 4])
    expected = formula(noise.randn(SHAPE).numpy(), lambda: noise.randn(SHAPE).numpy())
    np.testing.assert_allclose(made.numpy(), expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(
    "sampler, count",
    [(DPMSolverSampler(STEPS), 6), (UniPCSampler(STEPS), 6), (HeunSampler(STEPS), 11)],
    ids=["2m", "unipc", "heun"],
)
def test_how_often_the_network_is_called(sampler, count):
    calls.clear()
    sampler(CURVED, Doubles([3, 4]), SHAPE)
    assert len(calls) == count and set(calls) == set(STEPS)


def test_solvers_begin_below_the_cliff_of_the_cosine_schedule():
    for sampler in (DPMSolverSampler(10), UniPCSampler(10), HeunSampler(10)):
        assert sampler.timesteps(SCHEDULE)[-1] == 995
        sampler.log_snr_min = None
        assert sampler.timesteps(SCHEDULE)[-1] == 999
    assert HeunSampler(10).timesteps(SCHEDULE) == SCHEDULE.spaced(10, "karras", -5.1)


def test_the_last_step_gives_the_predicted_image_whatever_is_drawn():
    x, t = torch.randn(2, *SHAPE), torch.tensor([3, 3])
    now = NoiseLevel(t, SCHEDULE.at(t))
    image = NoiseLevel(t - 4, torch.ones(2, 1, 1, 1, dtype=torch.float64))
    prediction = Prediction.from_output(x.sin(), x, now.alpha_bar)
    for sampler in (DPMSolverSampler(4), DPMSolverSampler(4, eta=1.0), UniPCSampler(4), HeunSampler(4)):
        state = SamplingState(SCHEDULE, (3,))
        assert torch.equal(
            sampler.step(x, now, image, lambda *_: prediction, state, NoiseSource([0, 1])), prediction.x0
        )


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_few_steps_will_do(steps):
    for kind in (DPMSolverSampler, UniPCSampler, HeunSampler):
        made = kind(steps, log_snr_min=None)(exact(PROCESS, 2), Doubles([0, 1]), (3, 1, 1))
        assert made.isfinite().all() and made.dtype == torch.float64


@pytest.mark.parametrize(
    "config, message",
    [
        (dict(type="DPMSolverSampler", order=3), "DPMSolverSampler: order=3: expected 1 or 2"),
        (dict(type="UniPCSampler", order=0), "UniPCSampler: order=0"),
        (dict(type="DPMSolverSampler", eta=-1.0), "DPMSolverSampler: eta: got -1.0"),
        (dict(type="DPMSolver"), "did you mean 'DPMSolverSampler'"),
        (dict(type="HeunSampler", spacing="karas"), "did you mean 'karras'"),
    ],
)
def test_bad_arguments_are_named(config, message):
    with pytest.raises((ValueError, TypeError, KeyError), match=message):
        SAMPLERS.build(config)
