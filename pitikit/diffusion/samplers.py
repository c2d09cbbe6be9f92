"""Samplers: one loop for all; a sampler is its ``step``."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from pitikit.diffusion.guidance import build_guidance
from pitikit.diffusion.schedule import VARIANCES, NoiseSchedule, Steps, posterior_variance
from pitikit.diffusion.types import Conditioning, ConditionPair, Denoise, Prediction, mixed_log_variance
from pitikit.registry import SAMPLERS

Decode = Callable[[Tensor, Tensor, Conditioning], Tensor]
"""``(x_t, t (B,), conditioning) -> (B, 3 or 6, H, W)``: eps and, with 6 channels, the variance."""

# A bar for a sampling shorter than this only flickers.
PROGRESS_FROM_STEPS = 20


def steps_of(strength: float, steps: int) -> int:
    """How many of ``steps`` a ``strength`` of 0 to 1 stands for: at least one, unless it is 0."""
    return max(round(strength * steps), int(strength > 0))


class StepCallback(Protocol):
    """Called after every step, for previews or statistics."""

    def __call__(self, index: int, t: int, x: Tensor, prediction: Prediction) -> None:
        """``index`` counts from 0; ``t`` is the timestep left behind; ``x`` (B, 3, H, W) the image after the step."""
        ...


class Noise(Protocol):
    """Where a sampler draws from, such as :class:`~pitikit.diffusion.noise.NoiseSource`."""

    def randn(self, shape: Sequence[int]) -> Tensor:
        """The next standard normal draw of every sample: (B, *shape)."""
        ...


class _Silence:
    """What the last step is given: nothing is left to add, so nothing needs to be drawn."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def randn(self, shape: Sequence[int]) -> Tensor:
        """Zeros (B, *shape)."""
        return self.x.new_zeros(len(self.x), *shape)


class Sampler(ABC):
    """Turns noise into images.

    Args:
        steps: how many timesteps, or which: see :func:`pitikit.diffusion.schedule.spaced_timesteps`.
        guidance: config or object, or a list of them composed from inner to outer; None for no guidance.
        clip_x0: clamp the predicted clean image to [-1, 1] at every step.
        temperature: factor on the initial noise; the released upsampler uses 0.997.

    Raises:
        ValueError: a ``temperature`` below 0, or not finite.
    """

    def __init__(self, steps: Steps = 50, guidance: Any = None, clip_x0: bool = True, temperature: float = 1.0) -> None:
        self.steps = steps
        self.guidance = build_guidance(guidance)
        self.clip_x0 = clip_x0
        self.temperature = _amount("temperature", temperature)

    @property
    def needs_null(self) -> bool:
        """Whether the pair must bring a null condition."""
        return any(g.needs_null for g in self.guidance)

    @torch.no_grad()
    def __call__(
        self,
        decode: Decode,
        schedule: NoiseSchedule,
        pair: ConditionPair,
        noise: Noise,
        shape: Sequence[int],
        callback: StepCallback | None = None,
        progress: bool = False,
        start: Tensor | None = None,
        strength: float = 1.0,
    ) -> Tensor:
        """Sample.

        Args:
            decode: ``(x_t, t, conditioning) -> (B, 6, H, W)``.
            schedule: the process that the decoder was trained on.
            pair: condition and null, B rows each.
            noise: one seed per row.
            shape: (3, H, W) of a sample.
            callback: called after every step.
            progress: show a bar, if there are at least 20 steps.
            start: images (B, 3, H, W) in [-1, 1] to begin from instead of pure noise (SDEdit, Meng et al. 2022): they
                are noised, and the last steps make images like them.
            strength: with ``start``, the share of the steps that is made, see :func:`steps_of`; 1 leaves little of the
                image, 0 all of it.

        Returns:
            (B, 3, H, W), within [-1, 1] when ``clip_x0``.

        Raises:
            ValueError: ``strength`` out of range.
        """
        if not 0 <= strength <= 1:
            raise ValueError(f"strength={strength}: expected 0 to 1")
        timesteps = schedule.spaced(self.steps)

        def unguided(x_t: Tensor, t: Tensor, given: ConditionPair) -> Prediction:
            output = decode(x_t, schedule.network_time(t), given.cond)
            return Prediction.from_output(output, x_t, schedule.at(t))

        denoise: Denoise = unguided
        for guidance in self.guidance:
            denoise = guidance.wrap(denoise)
        x = noise.randn(shape) * self.temperature
        alpha_bars = schedule.alpha_bar[timesteps].to(x.device)
        order = list(enumerate(timesteps))[::-1]
        if start is not None:
            order = order[len(order) - steps_of(strength, len(order)) :]
            if not order:
                return start
            noised_to = torch.full((len(x),), order[0][1], device=x.device)
            x = schedule.add_noise(start, noised_to, x)
        bar = tqdm(order, desc="sampling", unit="step", disable=not progress or len(order) < PROGRESS_FROM_STEPS)
        for done, (index, t) in enumerate(bar):
            prediction = denoise(x, torch.full((len(x),), t, device=x.device), pair)
            if self.clip_x0:
                prediction = prediction.with_x0(prediction.x0.clamp(-1, 1))
            # No step to a noisier place exists after the last one: alpha_bar_prev is 1 there, by definition.
            alpha_bar_prev = alpha_bars[index - 1] if index else alpha_bars.new_tensor(1.0)
            source = noise if index else _Silence(x)
            x = self.step(prediction, prediction.alpha_bar, alpha_bar_prev.expand(len(x), 1, 1, 1), source)
            if callback is not None:
                callback(done, t, x, prediction)
        return x

    @abstractmethod
    def step(self, pred: Prediction, alpha_bar: Tensor, alpha_bar_prev: Tensor, noise: Noise) -> Tensor:
        """One step towards the image.

        Args:
            pred: the guided and clipped prediction at x_t.
            alpha_bar, alpha_bar_prev: (B, 1, 1, 1) float64, here and after the step (1 at the last one).
            noise: to draw from; at the last step it gives zeros.

        Returns:
            (B, 3, H, W), the image after the step.
        """


def build_sampler(sampler: Any) -> Sampler:
    """A sampler from its config; one that is built already passes through.

    Raises:
        TypeError: something that is no :class:`Sampler`.
    """
    built = SAMPLERS.build(sampler)
    if not isinstance(built, Sampler):
        name = built.__name__ if isinstance(built, type) else type(built).__name__
        raise TypeError(f"sampler: {name} is none; expected one derived from pitikit.diffusion.samplers.Sampler")
    return built


def _amount(name: str, value: float) -> float:
    if not 0 <= value < math.inf:
        raise ValueError(f"{name}={value}: expected a finite number, 0 or more")
    return value


@SAMPLERS.register_module()
class DDPMSampler(Sampler):
    """Ancestral sampling (Ho et al. 2020, alg. 2).

    Args:
        variance: 'learned' (Nichol & Dhariwal 2021, eq. 15, as in the released models), 'small' (the
            posterior's) or 'large' (beta).
    """

    def __init__(
        self,
        steps: Steps = 250,
        guidance: Any = None,
        clip_x0: bool = True,
        temperature: float = 1.0,
        variance: str = "learned",
    ) -> None:
        super().__init__(steps, guidance, clip_x0, temperature)
        if variance not in VARIANCES:
            raise ValueError(f"variance={variance!r}: expected 'learned', 'small' or 'large'")
        self.variance = variance

    def step(self, pred: Prediction, alpha_bar: Tensor, alpha_bar_prev: Tensor, noise: Noise) -> Tensor:
        """Draw from N(posterior mean of the predicted x0, variance)."""
        mean = pred.posterior_mean(alpha_bar_prev)
        deviation = (0.5 * self.log_variance(pred, alpha_bar, alpha_bar_prev)).exp()
        # Nothing after the last step, whatever is drawn. An `if` would wait for the device at every step.
        deviation = deviation.where(alpha_bar_prev < 1, 0.0)
        return mean + deviation * noise.randn(mean.shape[1:]).to(mean.dtype)

    def log_variance(self, pred: Prediction, alpha_bar: Tensor, alpha_bar_prev: Tensor) -> Tensor:
        """Log variance of the step, broadcastable to (B, 3, H, W); without meaning at the last one, which adds none.

        :meth:`pitikit.diffusion.schedule.NoiseSchedule.log_variance` gives that of the process, the last step's too.
        """
        dtype = pred.x_t.dtype
        large = (1 - alpha_bar / alpha_bar_prev).log().to(dtype)
        if self.variance == "large":
            return large
        small = posterior_variance(alpha_bar, alpha_bar_prev).log().to(dtype)
        if self.variance == "small":
            return small
        if pred.var_frac is None:
            raise ValueError("variance='learned': the decoder predicts none; use variance='small' or 'large'")
        return mixed_log_variance(pred.var_frac, small, large)


@SAMPLERS.register_module()
class DDIMSampler(Sampler):
    """Denoising diffusion implicit models (Song et al. 2021, eq. 12 and 16).

    Args:
        eta: 0 is deterministic, 1 as noisy as DDPM. What a small model, such as those that ship with pitikit, leaves
            of the noise stays as grain at 0, while at 1 images are clean.
    """

    def __init__(
        self,
        steps: Steps = 50,
        guidance: Any = None,
        clip_x0: bool = True,
        temperature: float = 1.0,
        eta: float = 0.0,
    ) -> None:
        super().__init__(steps, guidance, clip_x0, temperature)
        self.eta = _amount("eta", eta)

    def step(self, pred: Prediction, alpha_bar: Tensor, alpha_bar_prev: Tensor, noise: Noise) -> Tensor:
        """Move along the direction that the prediction points to, plus ``eta`` times fresh noise.

        With ``eta`` 0 and ``alpha_bar_prev`` that of a *noisier* place this is a step of DDIM's inversion.
        """
        dtype = pred.x_t.dtype
        if self.eta == 0:
            return alpha_bar_prev.sqrt().to(dtype) * pred.x0 + (1 - alpha_bar_prev).sqrt().to(dtype) * pred.eps
        variance = self.eta**2 * posterior_variance(alpha_bar, alpha_bar_prev)
        direction = (1 - alpha_bar_prev - variance).clamp_min(0).sqrt().to(dtype)
        x = alpha_bar_prev.sqrt().to(dtype) * pred.x0 + direction * pred.eps
        return x + variance.sqrt().to(dtype) * noise.randn(x.shape[1:]).to(dtype)
