"""Noise schedules, their respacing, and the Gaussian posterior (Ho et al. 2020; Nichol & Dhariwal 2021)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pitikit.arguments import nearest
from pitikit.diffusion.spacing import Spacing, Steps, spaced_timesteps, spread_timesteps
from pitikit.diffusion.types import Target, log_snr, mixed_log_variance
from pitikit.registry import SCHEDULES

__all__ = ["VARIANCES", "NoiseSchedule", "Spacing", "Steps", "betas", "posterior_variance", "spaced_timesteps"]

#: Variances of a step: predicted, the posterior's, or beta.
VARIANCES = ("learned", "small", "large")


def betas(name: str, steps: int) -> np.ndarray:
    """Noise variances, float64 (steps,).

    ``linear``: 1e-4 to 0.02, scaled by 1000 / steps (Ho et al. 2020).
    ``squaredcos_cap_v2``: alpha_bar = cos^2((t + 0.008) / 1.008 * pi / 2), each beta at most 0.999
    (Nichol & Dhariwal 2021, eq. 17).
    """
    if steps < 1:
        raise ValueError(f"steps: expected at least 1, found {steps}")
    if name == "linear":
        scale = 1000 / steps
        return np.linspace(scale * 1e-4, scale * 0.02, steps, dtype=np.float64)
    if name == "squaredcos_cap_v2":
        # math.cos, not numpy's: the two differ in the last bit, and the reference numbers are compared at 1e-12.
        curve = [math.cos((i / steps + 0.008) / 1.008 * math.pi / 2) ** 2 for i in range(steps + 1)]
        return np.array([min(1 - after / before, 0.999) for before, after in zip(curve, curve[1:], strict=False)])
    raise ValueError(f"schedule name={name!r} is unknown; {nearest(name, ['linear', 'squaredcos_cap_v2'])}")


@SCHEDULES.register_module()
class NoiseSchedule:
    """The share of the image that is left at each timestep: x_t = sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) eps.

    Args:
        name: 'squaredcos_cap_v2' (GLIDE's base) or 'linear' (its upsampler).
        steps: number of timesteps, 1000 in every released model.
        alpha_bar: given instead of ``name``: a float64 (steps,) decreasing curve.

    Attributes:
        betas: float64 (T,), variance that each timestep adds.
        alpha_bar: float64 (T,), the product of ``1 - betas`` up to each timestep: of a given curve, too, as the
            released code computes it, because near its end the two differ in the tenth digit. Kept in float64
            throughout: see :class:`~pitikit.diffusion.types.Prediction`.
        alpha_bar_prev: float64 (T,), one timestep nearer to the image, 1 at the first.
        min_log_var, max_log_var: float64 (T,), the posterior's log variance (clipped) and log beta.
    """

    def __init__(self, name: str = "squaredcos_cap_v2", steps: int = 1000, alpha_bar: Tensor | None = None) -> None:
        added = betas(name, steps) if alpha_bar is None else _betas_of(torch.as_tensor(alpha_bar, dtype=torch.float64))
        # NumPy's product, which goes step by step: torch's differs in the last bits.
        alpha_bar = torch.from_numpy(np.cumprod(1.0 - added))
        self.betas = torch.from_numpy(added)
        self.alpha_bar = alpha_bar
        self.alpha_bar_prev = torch.cat([alpha_bar.new_ones(1), alpha_bar[:-1]])
        variance = posterior_variance(alpha_bar, self.alpha_bar_prev, self.betas)
        # The first variance is 0, whose logarithm is infinite: the second replaces it, as in the released code.
        self.min_log_var = torch.cat([variance[1:2], variance[1:]]).log() if len(variance) > 1 else variance.log()
        self.max_log_var = self.betas.log()
        self._copies: dict[tuple[str, torch.device], Tensor] = {}

    def __len__(self) -> int:
        return len(self.alpha_bar)

    def at(self, t: Tensor) -> Tensor:
        """alpha_bar of timesteps ``t`` (B,), as (B, 1, 1, 1) float64 on the device of ``t``."""
        return self._gather("alpha_bar", t)

    def network_time(self, t: Tensor) -> Tensor:
        """Timesteps ``t`` (B,) as a network takes them: counted as if there were 1000, float where needed.

        The released code does the same, so that a decoder of 1000 steps works on a schedule of another length.
        """
        return t if len(self) == 1000 else t * (1000.0 / len(self))

    def add_noise(self, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
        """Draw x_t from q(x_t | x0): (B, C, H, W) at timesteps ``t`` (B,)."""
        alpha_bar = self.at(t)
        return alpha_bar.sqrt().to(x0.dtype) * x0 + (1 - alpha_bar).sqrt().to(x0.dtype) * noise

    def spaced(self, steps: Steps, spacing: Spacing = "linspace", log_snr_min: float | None = None) -> list[int]:
        """Timesteps visited by a sampling of ``steps``, ascending; see :func:`~pitikit.diffusion.spacing`."""
        return spread_timesteps(log_snr(self.alpha_bar).numpy(), steps, spacing, log_snr_min)

    def subset(self, timesteps: Sequence[int]) -> NoiseSchedule:
        """The process that visits only ``timesteps`` (ascending), with the betas that follow from it."""
        return NoiseSchedule(alpha_bar=self.alpha_bar[list(timesteps)])

    def log_variance(self, t: Tensor, var_frac: Tensor | None = None, kind: str = "learned") -> Tensor:
        """Log variance of p(x_prev | x_t) at timesteps ``t`` (B,), float64, broadcastable to (B, 3, H, W).

        Args:
            t: timesteps of this process.
            var_frac: (B, 3, H, W), where it lies between the posterior's and log beta; for 'learned'.
            kind: as :class:`~pitikit.diffusion.samplers.DDPMSampler`'s ``variance``. 'large' has the posterior's
                variance at the first timestep, as released.

        Raises:
            ValueError: another ``kind``, or 'learned' without ``var_frac``.
        """
        if kind not in VARIANCES:
            raise ValueError(f"kind={kind!r}: expected 'learned', 'small' or 'large'")
        low, high = self._gather("min_log_var", t), self._gather("max_log_var", t)
        if kind == "learned":
            if var_frac is None:
                raise ValueError("kind='learned': expected var_frac, a prediction of the variance")
            return mixed_log_variance(var_frac.double(), low, high)
        return low if kind == "small" else torch.where(t.view(-1, 1, 1, 1) == 0, low, high)

    def target(self, x0: Tensor, t: Tensor, noise: Tensor) -> Target:
        """The truth for a loss at the timesteps ``t`` (B,)."""
        return Target(
            x0,
            noise,
            t,
            self._gather("alpha_bar_prev", t),
            self._gather("min_log_var", t),
            self._gather("max_log_var", t),
            len(self),
        )

    def _gather(self, name: str, t: Tensor) -> Tensor:
        # Copied to a device once: a copy waits for all pending work of the device.
        if (name, t.device) not in self._copies:
            self._copies[name, t.device] = getattr(self, name).to(t.device)
        return self._copies[name, t.device][t.long()].view(-1, 1, 1, 1)


def _betas_of(alpha_bar: Tensor) -> np.ndarray:
    in_range = bool(((alpha_bar > 0) & (alpha_bar < 1)).all())
    if alpha_bar.ndim != 1 or not in_range or bool((alpha_bar.diff() >= 0).any()):
        raise ValueError("alpha_bar: expected one dimension, values within (0, 1), strictly decreasing")
    return (1 - alpha_bar / torch.cat([alpha_bar.new_ones(1), alpha_bar[:-1]])).numpy()


def posterior_variance(alpha_bar: Tensor, alpha_bar_prev: Tensor, beta: Tensor | None = None) -> Tensor:
    """Variance of q(x_prev | x_t, x0) (Ho et al. 2020, eq. 7), 0 where ``alpha_bar_prev`` is 1.

    ``beta`` follows from the two unless it is given.
    """
    beta = 1 - alpha_bar / alpha_bar_prev if beta is None else beta
    return beta * (1 - alpha_bar_prev) / (1 - alpha_bar)
