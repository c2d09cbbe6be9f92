"""The two terms of the denoising objective, apart from any network."""

import math

import pytest
import torch

from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import Prediction
from pitikit.losses.denoising import EpsMSE, VariationalBound, discretized_log_likelihood, normal_kl

T = torch.tensor([0, 1, 400, 999])


@pytest.fixture
def case():
    """Schedule, target and a network's output with gradients, (4, 6, 8, 8)."""
    generator = torch.Generator().manual_seed(0)
    schedule = NoiseSchedule("squaredcos_cap_v2")
    x0 = (torch.randint(0, 256, (4, 3, 8, 8), generator=generator) / 127.5) - 1
    noise = torch.randn(4, 3, 8, 8, generator=generator)
    output = torch.cat([noise, torch.zeros_like(noise)], 1) + 0.3 * torch.randn(4, 6, 8, 8, generator=generator)
    x_t = schedule.add_noise(x0, T, noise)
    return schedule, schedule.target(x0, T, noise), x_t, output.requires_grad_(True)


def prediction(case, output=None):
    schedule, _, x_t, given = case
    return Prediction.from_output(given if output is None else output, x_t, schedule.at(T))


def test_mse_is_the_mean_square_of_each_sample(case):
    target, output = case[1], case[3]
    found = EpsMSE()(prediction(case), target)
    expected = [(output[row, :3] - target.noise[row]).pow(2).mean().item() for row in range(4)]
    assert found.tolist() == pytest.approx(expected, rel=1e-6)


def test_mse_teaches_the_noise_only(case):
    EpsMSE()(prediction(case), case[1]).sum().backward()
    gradient = case[3].grad
    assert (gradient[:, 3:] == 0).all() and (gradient[:, :3] != 0).all()


def test_v_weight(case):
    schedule, target = case[:2]
    plain, weighted = EpsMSE()(prediction(case), target), EpsMSE(v_weight=5.0)(prediction(case), target)
    factors = (weighted / plain).tolist()
    at = [float(schedule.alpha_bar[t]) for t in T]
    assert factors == pytest.approx([min(5.0, 1 / a) for a in at], rel=1e-5)
    assert factors[0] == pytest.approx(1, abs=1e-3) and 1.5 < factors[2] < 2.5 and factors[3] == pytest.approx(5)


def test_uncapped_v_weight_is_the_error_of_v(case):
    schedule, target, x_t, output = case
    rows = slice(0, 3)
    pred = Prediction(x_t[rows], schedule.at(T[rows]), output[rows, :3])
    part = target._replace(noise=target.noise[rows])
    # v = sqrt(alpha_bar) eps - sqrt(1 - alpha_bar) x0 (Salimans & Ho 2022).
    a, b = schedule.at(T[rows]).sqrt(), (1 - schedule.at(T[rows])).sqrt()
    error = (a * pred.eps - b * pred.x0) - (a * part.noise - b * target.x0[rows])
    found = EpsMSE(v_weight=1e9)(pred, part)
    torch.testing.assert_close(found.double(), error.pow(2).flatten(1).mean(1).double(), rtol=1e-3, atol=1e-6)


def test_v_weight_below_one():
    with pytest.raises(ValueError, match="v_weight=0.5: expected at least 1"):
        EpsMSE(v_weight=0.5)


def test_variational_bound_teaches_the_variance_only(case):
    VariationalBound()(prediction(case), case[1]).sum().backward()
    gradient = case[3].grad
    assert (gradient[:, :3] == 0).all()
    assert (gradient[:, 3:] != 0).all()


def test_variational_bound_counts_in_bits_and_by_the_length_of_the_schedule(case):
    schedule, target = case[:2]
    exact = torch.cat([target.noise, -torch.ones_like(target.noise)], 1)
    zero = VariationalBound()(prediction(case, exact), target)
    # The true mean with the posterior's own variance: no divergence.
    assert zero[1:].tolist() == pytest.approx([0, 0, 0], abs=1e-4)
    wide = VariationalBound()(prediction(case, -exact + 2 * torch.cat([target.noise, 0 * target.noise], 1)), target)
    ratio = (target.min_log_var - target.max_log_var).flatten().double()
    expected = 0.5 * (-1 - ratio + ratio.exp()) / math.log(2)
    assert wide[1:].tolist() == pytest.approx(expected[1:].tolist(), rel=1e-3, abs=1e-5)
    double = VariationalBound()(prediction(case), target._replace(steps=2000))
    assert (double / VariationalBound()(prediction(case), target)).tolist() == pytest.approx([2] * 4)


def test_variational_bound_has_its_least_at_the_true_spread(case):
    target = case[1]
    off = 0.05 * torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(2))
    fractions = torch.linspace(-1, 1, 21)
    values = torch.stack(
        [
            VariationalBound()(
                prediction(case, torch.cat([target.noise + off, torch.full_like(off, float(f))], 1)), target
            )
            for f in fractions
        ]
    )
    assert values.isfinite().all()
    # A small error of the mean asks for little more than the posterior's variance, at every timestep but the last.
    assert (values[:, 2].argmin() < 5) and (values[0, 2] < values[-1, 2])


def test_without_a_variance(case):
    with pytest.raises(ValueError, match="predicts no variance"):
        VariationalBound()(prediction(case, case[3][:, :3]), case[1])


def test_weight_and_name():
    assert (EpsMSE(weight=0.5).weight, EpsMSE().name, VariationalBound(name="kl").name) == (0.5, "mse", "kl")


def test_kl_against_torch():
    generator = torch.Generator().manual_seed(1)
    m1, v1, m2, v2 = torch.randn(4, 50, generator=generator, dtype=torch.float64)
    one, two = (torch.distributions.Normal(m, (0.5 * v).exp()) for m, v in ((m1, v1), (m2, v2)))
    torch.testing.assert_close(normal_kl(m1, v1, m2, v2), torch.distributions.kl_divergence(one, two))


def test_likelihoods_of_all_values_sum_to_one():
    levels = torch.arange(256, dtype=torch.float64) / 127.5 - 1
    for mean, scale in ((0.0, 0.1), (0.9, 0.3), (-1.0, 0.02), (0.3, 2.0)):
        log = discretized_log_likelihood(levels, torch.tensor(mean).double(), torch.tensor(scale).double().log())
        assert float(log.exp().sum()) == pytest.approx(1, abs=1e-6)
