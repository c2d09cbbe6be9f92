"""Gaussian data, of which the exact prediction is known, and samplings of it as linear maps. For tests."""

import torch

from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import BoundDenoiser, Conditioning, Prediction

SHAPE = (3, 1, 1)
MEAN = torch.tensor([0.3, -0.2, 0.5], dtype=torch.float64)
_ROOT = torch.tensor([[0.6, 0.2, 0.0], [0.1, 0.4, -0.3], [0.0, 0.2, 0.3]], dtype=torch.float64)
COVARIANCE = _ROOT @ _ROOT.T
#: Log-SNR of the first and the last timestep.
LOW, HIGH = -3.0, 3.0


def schedule(timesteps=513):
    """A process of evenly spaced log-SNR."""
    log_snr = torch.linspace(HIGH, LOW, timesteps, dtype=torch.float64)
    return NoiseSchedule(alpha_bar=torch.sigmoid(2 * log_snr))


def marginal(alpha_bar):
    """Mean (3,) and covariance (3, 3) of x_t."""
    share = float(alpha_bar)
    return share**0.5 * MEAN, share * COVARIANCE + (1 - share) * torch.eye(3, dtype=torch.float64)


class Exact(BoundDenoiser):
    """The exact prediction of the noise in x_t."""

    def __call__(self, x_t, t):
        alpha_bar = self.schedule.at(t)
        mean, covariance = marginal(alpha_bar.flatten()[0])
        eps = (x_t.flatten(1) - mean) @ torch.linalg.inv(covariance) * (1 - alpha_bar.flatten()[0]).sqrt()
        return Prediction(x_t, alpha_bar, eps.view_as(x_t), torch.zeros_like(x_t))


def exact(process, rows):
    """The denoiser of ``rows`` samples."""
    return Exact(None, process, Conditioning(torch.zeros(rows, 1, 1), torch.zeros(rows, 1)))


class UnitDraws:
    """Row 0 draws zeros; of the others each has one draw of one channel that is 1: columns of the map to images."""

    def __init__(self, draws):
        self.draws, self.count = draws, 0

    def randn(self, shape):
        drawn = torch.zeros(1 + 3 * self.draws, 3, dtype=torch.float64)
        place = 1 + 3 * self.count
        drawn[place : place + 3] = torch.eye(3, dtype=torch.float64)
        self.count += 1
        return drawn.view(-1, *shape)


def sampled(sampler, process, draws=1):
    """Mean and covariance of what a sampler makes before its last step, and the map (3, 3) of the first noise.

    Started at the exact distribution at the noisiest timestep that it visits.
    """
    states = []
    rows = 1 + 3 * draws
    timesteps = sampler.timesteps(process)
    sampler(exact(process, rows), UnitDraws(draws), SHAPE, callback=lambda i, t, x, p: states.append(x))
    before = states[-2].flatten(1)
    shift, columns = before[0], (before[1:] - before[0]).view(draws, 3, 3)
    first = columns[0].T
    mean, covariance = marginal(process.alpha_bar[timesteps[-1]])
    spread = first @ covariance @ first.T + sum(each.T @ each for each in columns[1:])
    return first @ mean + shift, spread, first


def errors(sampler, process, draws=1):
    """Distances of mean and covariance from those of the true distribution at the last timestep."""
    mean, covariance, _ = sampled(sampler, process, draws)
    true_mean, true_covariance = marginal(process.alpha_bar[sampler.timesteps(process)[0]])
    return float((mean - true_mean).norm()), float((covariance - true_covariance).norm())
