"""Losses of the denoising objective (Ho et al. 2020; Nichol & Dhariwal 2021)."""

from __future__ import annotations

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from pitikit.diffusion.types import Prediction, Target, mixed_log_variance
from pitikit.registry import LOSSES


class Loss(nn.Module):
    """A training loss per sample.

    Args:
        weight: factor on the value.
        name: how the logs call it.

    Attributes:
        needs: members of the batch that the loss finds in ``target.members``, such as 'label' (the pipeline keeps it:
            ``PackInputs(keep=['label'])``) or 'condition'; see :func:`~pitikit.diffusion.conditions.member_of`.
    """

    needs: tuple[str, ...] = ()

    def __init__(self, weight: float = 1.0, name: str = "") -> None:
        super().__init__()
        self.weight = weight
        self.name = name or type(self).__name__.lower()

    def watch(self, denoiser: nn.Module) -> None:
        """Register hooks on the denoiser that is trained, for a loss on its activations; called once."""

    def prepare(self) -> None:
        """Read the files that the loss needs, or fail; called once before a training."""

    @abstractmethod
    def forward(self, pred: Prediction, target: Target) -> Tensor:
        """(B,), the unweighted loss of each sample."""


@LOSSES.register_module()
class EpsMSE(Loss):
    """Mean squared error of the noise estimate (Ho et al. 2020, eq. 14).

    Args:
        v_weight: None for equal weights, the released objective. A number: each sample is weighted by
            1 / alpha_bar, at most that number; 1 / alpha_bar alone would be the error of v (Salimans & Ho 2022,
            "SNR + 1"). It favours the noisy timesteps, which decide the structure of the images of a short training.
    """

    def __init__(self, weight: float = 1.0, name: str = "mse", v_weight: float | None = None) -> None:
        super().__init__(weight, name)
        if v_weight is not None and v_weight < 1:
            raise ValueError(f"v_weight={v_weight}: expected at least 1, the weight of a clean image")
        self.v_weight = v_weight

    def forward(self, pred: Prediction, target: Target) -> Tensor:
        """(B,), mean over channels and pixels."""
        error = (target.noise - pred.eps).square().flatten(1).mean(dim=1)
        if self.v_weight is None:
            return error
        return error * (1 / pred.alpha_bar).flatten().clamp(max=self.v_weight).to(error.dtype)


@LOSSES.register_module()
class VariationalBound(Loss):
    """The variational bound of one step, times T / 1000; it teaches the variance only.

    The mean is detached, as in the released RESCALED_MSE objective (Nichol & Dhariwal 2021, sec. 3.1).
    """

    def __init__(self, weight: float = 1.0, name: str = "vb") -> None:
        super().__init__(weight, name)

    def forward(self, pred: Prediction, target: Target) -> Tensor:
        """(B,), in bits per dimension times T / 1000.

        Raises:
            ValueError: the network predicts no variance.
        """
        if pred.var_frac is None:
            raise ValueError("VariationalBound: the decoder predicts no variance; remove the loss or use 6 channels")
        dtype = pred.x_t.dtype
        detached = Prediction(pred.x_t, pred.alpha_bar, pred.eps.detach())
        low, high = target.min_log_var.to(dtype), target.max_log_var.to(dtype)
        log_var = mixed_log_variance(pred.var_frac, low, high)
        true_mean = detached.posterior_mean(target.alpha_bar_prev, target.x0)
        mean = detached.posterior_mean(target.alpha_bar_prev)
        kl = normal_kl(true_mean, low, mean, log_var).flatten(1).mean(dim=1)
        nll = -discretized_log_likelihood(target.x0, mean, 0.5 * log_var).flatten(1).mean(dim=1)
        bits = torch.where(target.t == 0, nll, kl) / math.log(2.0)
        return bits * (target.steps / 1000)


def normal_kl(
    mean1: Tensor | float, log_var1: Tensor | float, mean2: Tensor | float, log_var2: Tensor | float
) -> Tensor:
    """KL divergence of two diagonal normal distributions, elementwise, in nats."""
    mean1, log_var1, mean2, log_var2 = map(torch.as_tensor, (mean1, log_var1, mean2, log_var2))
    squared = (mean1 - mean2).square() * torch.exp(-log_var2)
    return 0.5 * (-1.0 + log_var2 - log_var1 + torch.exp(log_var1 - log_var2) + squared)


def prior_bits(x0: Tensor, alpha_bar: float) -> Tensor:
    """Information about images (B, 3, H, W) left in x_T: KL(q(x_T | x0) || N(0, 1)), (B,), bits a dimension.

    ``alpha_bar`` is that of the last timestep.
    """
    kl = normal_kl(math.sqrt(alpha_bar) * x0, math.log(1 - alpha_bar), 0.0, 0.0)
    return kl.flatten(1).mean(dim=1) / math.log(2.0)


def _normal_cdf(x: Tensor) -> Tensor:
    # The tanh approximation of the released code; torch.special.ndtr would move the bound in the fifth digit.
    return 0.5 * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x**3)))


def discretized_log_likelihood(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Log probability, in nats, of 8-bit values under a normal distribution (Ho et al. 2020, eq. 13).

    Args:
        x: values in [-1, 1], a multiple of 1/127.5 each.
        mean, log_scale: of the normal distribution, broadcastable to ``x``.
    """
    centred = x - mean
    inverse = torch.exp(-log_scale)
    upper = _normal_cdf(inverse * (centred + 1 / 255))
    lower = _normal_cdf(inverse * (centred - 1 / 255))
    floor = 1e-12
    edge_high = (1 - lower).clamp_min(floor).log()
    density = torch.where(x > 0.999, edge_high, (upper - lower).clamp_min(floor).log())
    return torch.where(x < -0.999, upper.clamp_min(floor).log(), density)
