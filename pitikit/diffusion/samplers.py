"""Samplers: one loop for all; a sampler is its ``step``."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from typing import Annotated, Any, NamedTuple, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from pitikit.diffusion.guidance import CFG, build_guidance
from pitikit.diffusion.inversion import FixedNoise, invert, mix, noise_of_steps, vary
from pitikit.diffusion.resampling import Resample, noise_further, order_of_steps
from pitikit.diffusion.schedule import VARIANCES, NoiseSchedule, Steps, posterior_variance
from pitikit.diffusion.types import BoundDenoiser, Denoise, Prediction, mixed_log_variance
from pitikit.registry import GUIDANCES, SAMPLERS

# A bar for a sampling shorter than this only flickers.
PROGRESS_FROM_STEPS = 20


def steps_of(strength: float, steps: int) -> int:
    """The number of ``steps`` that a ``strength`` of 0 to 1 makes: at least one, unless it is 0."""
    return max(round(strength * steps), int(strength > 0))


class StepCallback(Protocol):
    """A function called after every step, for previews or statistics."""

    def __call__(self, index: int, t: int, x: Tensor, prediction: Prediction) -> None:
        """Take the state after a step.

        Args:
            index: number of the step, from 0; those of an inversion and of a resampling are counted too.
            t: the timestep left behind.
            x: (B, 3, H, W), the image after the step.
            prediction: guided and clipped, at ``t``; its ``x0`` is a preview of the result.
        """
        ...


class Noise(Protocol):
    """A source that a sampler draws from, such as :class:`~pitikit.diffusion.noise.NoiseSource`."""

    def randn(self, shape: Sequence[int]) -> Tensor:
        """The next standard normal draw of every sample: (B, *shape)."""
        ...


class ZeroNoise:
    """The source of the last step: no noise is left to add, so none is drawn."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def randn(self, shape: Sequence[int]) -> Tensor:
        """Zeros (B, *shape)."""
        return self.x.new_zeros(len(self.x), *shape)


class NoiseLevel(NamedTuple):
    """A place between noise and image.

    Attributes:
        t: (B,) int64, the timestep; -1 at the image.
        alpha_bar: (B, 1, 1, 1) float64; 1 at the image.
    """

    t: Tensor
    alpha_bar: Tensor

    @property
    def log_snr(self) -> Tensor:
        """(B, 1, 1, 1) float64, lambda = log(sqrt(alpha_bar) / sqrt(1 - alpha_bar)); infinite at the image."""
        return 0.5 * (self.alpha_bar / (1 - self.alpha_bar)).log()


@dataclass
class SamplingState:
    """The state of one sampling, handed to every step.

    Attributes:
        schedule: of the network.
        timesteps: in the order in which they are visited.
        index: of the present step in ``timesteps``.
        prediction: the first one of the present step; None until :meth:`Sampler.step` has computed it.
        earlier: the first predictions of the steps before, the latest first, as many as :attr:`Sampler.memory`.
        own: further state of a sampler from step to step.
    """

    schedule: NoiseSchedule
    timesteps: tuple[int, ...]
    index: int = 0
    prediction: Prediction | None = None
    earlier: deque[Prediction] = field(default_factory=deque)
    own: dict[str, Any] = field(default_factory=dict)

    def level(self, index: int, batch: int, device: torch.device) -> NoiseLevel:
        """The place that step ``index`` begins at; one past the last is the image."""
        if index == len(self.timesteps):
            # No step to a noisier place exists after the last one: alpha_bar is 1 there, by definition.
            one = torch.ones(batch, 1, 1, 1, dtype=torch.float64, device=device)
            return NoiseLevel(torch.full((batch,), -1, device=device), one)
        t = torch.full((batch,), self.timesteps[index], device=device)
        return NoiseLevel(t, self.schedule.at(t))

    def forget(self) -> None:
        """Drop what was kept of earlier steps, where the way goes on at another place."""
        self.earlier.clear()
        self.own.clear()


class Sampler(ABC):
    """A way from noise to images.

    Args:
        steps: how many timesteps, or which: see :func:`pitikit.diffusion.schedule.spaced_timesteps`.
        guidance: config or object, or a list of them composed from inner to outer; None for no guidance.
        clip_x0: clamp the predicted clean image to [-1, 1] at every step.
        temperature: factor on the initial noise; the released upsampler uses 0.997.

    Attributes:
        memory: earlier predictions that a multistep solver uses.
        adds_noise: True where a step adds one draw, scaled, to a mean that depends on nothing earlier: a variation
            then replaces a part of the draws of an image, otherwise a part of the noise that the steps begin at.

    Raises:
        ValueError: a ``temperature`` below 0, or not finite.
    """

    memory = 0
    adds_noise = False

    def __init__(
        self,
        steps: Steps = 50,
        guidance: Annotated[Any, GUIDANCES] = None,
        clip_x0: bool = True,
        temperature: float = 1.0,
    ) -> None:
        self.steps = steps
        self.guidance = build_guidance(guidance)
        self.clip_x0 = clip_x0
        self.temperature = _amount("temperature", temperature)

    @property
    def needs_null(self) -> bool:
        """True where a guidance evaluates the denoiser without the condition."""
        return any(g.needs_null for g in self.guidance)

    def changed(self, steps: Steps | None = None, scale: float | None = None) -> Sampler:
        """Copy the sampler with other ``steps`` or another guidance ``scale``; None leaves what is there.

        A sampler without classifier-free guidance gets :class:`~pitikit.diffusion.guidance.CFG` of that scale.
        """
        other = copy(self)
        if steps is not None:
            other.steps = steps
        if scale is not None:
            scaled = any(isinstance(g, CFG) for g in self.guidance)
            guidance = [g.with_scale(scale) if isinstance(g, CFG) else g for g in self.guidance]
            other.guidance = build_guidance(guidance if scaled else [CFG(scale), *guidance])
        return other

    @torch.no_grad()
    def __call__(
        self,
        denoise: BoundDenoiser,
        noise: Noise,
        shape: Sequence[int],
        null_denoise: BoundDenoiser | None = None,
        start: Tensor | None = None,
        strength: float = 1.0,
        mask: Tensor | None = None,
        callback: StepCallback | None = None,
        progress: bool = False,
        resample: Resample | None = None,
        variation: float | None = None,
    ) -> Tensor:
        """Sample.

        Args:
            denoise: the network with the conditions of B samples.
            noise: one seed per sample.
            shape: (3, H, W) of a sample.
            null_denoise: the network without a condition; needed where :attr:`needs_null`.
            start: images (B, 3, H, W) in [-1, 1] to begin from instead of pure noise (SDEdit, Meng et al. 2022): they
                are noised, and the last steps make images like them.
            strength: with ``start``, the share of the steps that is made, see :func:`steps_of`; 1 leaves little of the
                image, 0 all of it.
            mask: (B, 1, H, W) bool, True where ``start`` is kept: there x_t is the noised ``start`` after every step,
                and ``start`` itself, bit for bit, at the end (Lugmayr et al. 2022, eq. 8).
            callback: called after every step.
            progress: show a bar, if there are at least 20 steps.
            resample: with ``mask``, their resampling, see :func:`~pitikit.diffusion.resampling.order_of_steps`.
            variation: with ``start``, begin at the noise that makes it (see :mod:`pitikit.diffusion.inversion`), this
                share of it replaced, 0 to 1; None to begin at noise that has nothing to do with it.

        Returns:
            (B, 3, H, W), within [-1, 1] when ``clip_x0``.

        Raises:
            ValueError: ``strength`` or ``variation`` out of range, ``mask`` or ``variation`` without ``start``,
                ``resample`` without ``mask``.
        """
        for name, share in (("strength", strength), ("variation", variation)):
            if share is not None and not 0 <= share <= 1:
                raise ValueError(f"{name}={share}: expected 0 to 1")
        if mask is not None and start is None:
            raise ValueError("mask: got no start, expected the images to keep a part of")
        if variation is not None and start is None:
            raise ValueError("variation: got no start, expected the images to vary")
        if resample is not None and mask is None:
            raise ValueError("resample: got no mask, expected one; there is nothing to bring together without it")
        schedule = denoise.schedule
        timesteps = schedule.spaced(self.steps)[::-1]
        x = noise.randn(shape) * self.temperature
        if start is not None:
            timesteps = timesteps[len(timesteps) - steps_of(strength, len(timesteps)) :]
            if not timesteps:
                return start
        state = SamplingState(schedule, tuple(timesteps), earlier=deque(maxlen=self.memory))
        guided = self._guided(denoise, null_denoise, state)
        after = state.level(0, len(x), x.device)
        made = 0
        own: list[Tensor] = []
        if start is not None and variation is not None:
            levels = [state.level(index, len(x), x.device) for index in range(len(timesteps))]
            # A guidance of its own, whose memory does not reach into the sampling.
            guided_back = self._guided(denoise, null_denoise, state)
            if self.adds_noise:
                path = [schedule.add_noise(start, level.t, noise.randn(shape)) for level in levels] + [start]
                own = noise_of_steps(path, guided_back, partial(self.step, state=state), levels, callback)
                inverted = path[0]
            else:
                inverted = invert(start, guided_back, levels[::-1], callback)
            x, made = vary(start, inverted, x, after.alpha_bar, variation), len(levels)
        elif start is not None:
            x = schedule.add_noise(start, after.t, x)
        order = order_of_steps(len(timesteps), resample)
        bar = tqdm(order, desc="sampling", unit="step", disable=not progress or len(order) < PROGRESS_FROM_STEPS)
        reached = 0
        for number, index in enumerate(bar, made):
            last = index + 1 == len(timesteps)
            if index < reached:
                now = state.level(index, len(x), x.device)
                x = noise_further(x, noise.randn(shape), after.alpha_bar, now.alpha_bar)
                after = now
                state.forget()
            now, after = after, state.level(index + 1, len(x), x.device)
            reached = index + 1
            state.index, state.prediction = index, None
            draws: Noise = ZeroNoise(x) if last else noise
            if own and not last:
                draws = FixedNoise(mix(own[index], noise.randn(shape), variation or 0))
            x = self.step(x, now, after, guided, state, draws)
            if mask is not None and start is not None:
                x = torch.where(mask, start if last else schedule.add_noise(start, after.t, noise.randn(shape)), x)
            assert state.prediction is not None
            if callback is not None:
                callback(number, timesteps[index], x, state.prediction)
            state.earlier.appendleft(state.prediction)
        return x

    def _guided(self, denoise: Denoise, null_denoise: Denoise | None, state: SamplingState) -> Denoise:
        for guidance in self.guidance:
            denoise = guidance.wrap(denoise, null_denoise, state.schedule)

        def guided(x_t: Tensor, t: Tensor) -> Prediction:
            prediction = denoise(x_t, t)
            if self.clip_x0:
                prediction = prediction.with_x0(prediction.x0.clamp(-1, 1))
            if state.prediction is None:
                state.prediction = prediction
            return prediction

        return guided

    @abstractmethod
    def step(
        self, x: Tensor, now: NoiseLevel, after: NoiseLevel, denoise: Denoise, state: SamplingState, noise: Noise
    ) -> Tensor:
        """One step towards the image.

        Args:
            x: (B, 3, H, W), x_t at ``now``.
            now, after: where the step begins and ends; the last one ends at the image.
            denoise: guided and clipped; may be called several times, the first time at ``now``.
            state: of this sampling.
            noise: to draw from; at the last step it gives zeros.

        Returns:
            (B, 3, H, W), the image after the step.
        """


@dataclass(frozen=True)
class SamplingRequest:
    """Everything that belongs to one call of a model, and to no model.

    Attributes:
        seeds: for :func:`~pitikit.evaluation.generate.generate` seeds of the run, an image of every item for each;
            for a model's ``sample`` one a row. None for the model's own ``seed``.
        sampler: in the place of the model's own.
        start: images (B, 3, H, W) in [-1, 1] to begin from.
        strength: share of the steps that is made from ``start``; None for the model's own, 1 of a base model.
        mask: (B, 1, H, W) bool, True where ``start`` is kept.
        callback: called after every step, of both models of a cascade.
        precision: of the network's products, such as ``torch.bfloat16``; None for float32.
        progress: show a bar for a long sampling.
        upsampler: of a cascade, what the upsampler's call differs in: ``sampler`` and ``strength``.
        resample, variation: see :meth:`Sampler.__call__`; of a cascade they are the base's.
        regions: (B, 1, H, W) int64, the object at each pixel, 0 for none, of the size of the base model's images:
            objects are sampled apart and then put together, see :meth:`~pitikit.models.translator.DenoisingTranslator.
            sample_apart`.
        objects: how many, of the image with the most.
    """

    seeds: Sequence[int] | None = None
    sampler: Sampler | None = None
    start: Tensor | None = None
    strength: float | None = None
    mask: Tensor | None = None
    callback: StepCallback | None = None
    precision: torch.dtype | None = None
    progress: bool = False
    upsampler: SamplingRequest | None = None
    resample: Resample | None = None
    variation: float | None = None
    regions: Tensor | None = None
    objects: int = 0


def build_sampler(sampler: Any) -> Sampler:
    """A sampler from its config; one that is built already passes through.

    Raises:
        TypeError: something that is no :class:`Sampler`.
    """
    built = SAMPLERS.build(sampler)
    if not isinstance(built, Sampler):
        name = built.__name__ if isinstance(built, type) else type(built).__name__
        raise TypeError(f"sampler: got {name}, expected one derived from pitikit.diffusion.samplers.Sampler")
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

    adds_noise = True

    def __init__(
        self,
        steps: Steps = 250,
        guidance: Annotated[Any, GUIDANCES] = None,
        clip_x0: bool = True,
        temperature: float = 1.0,
        variance: str = "learned",
    ) -> None:
        super().__init__(steps, guidance, clip_x0, temperature)
        if variance not in VARIANCES:
            raise ValueError(f"variance={variance!r}: expected 'learned', 'small' or 'large'")
        self.variance = variance

    def step(
        self, x: Tensor, now: NoiseLevel, after: NoiseLevel, denoise: Denoise, state: SamplingState, noise: Noise
    ) -> Tensor:
        """Draw from N(posterior mean of the predicted x0, variance)."""
        pred = denoise(x, now.t)
        mean = pred.posterior_mean(after.alpha_bar)
        deviation = (0.5 * self.log_variance(pred, now.alpha_bar, after.alpha_bar)).exp()
        # Zero at the last step, for any draw. An `if` would wait for the device at every step.
        deviation = deviation.where(after.alpha_bar < 1, 0.0)
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
        guidance: Annotated[Any, GUIDANCES] = None,
        clip_x0: bool = True,
        temperature: float = 1.0,
        eta: float = 0.0,
    ) -> None:
        super().__init__(steps, guidance, clip_x0, temperature)
        self.eta = _amount("eta", eta)
        self.adds_noise = self.eta > 0

    def step(
        self, x: Tensor, now: NoiseLevel, after: NoiseLevel, denoise: Denoise, state: SamplingState, noise: Noise
    ) -> Tensor:
        """Move along the direction that the prediction points to, plus ``eta`` times fresh noise.

        With ``eta`` 0 and ``after`` a *noisier* place this is a step of DDIM's inversion.
        """
        pred = denoise(x, now.t)
        alpha_bar, alpha_bar_prev = now.alpha_bar, after.alpha_bar
        dtype = pred.x_t.dtype
        if self.eta == 0:
            return alpha_bar_prev.sqrt().to(dtype) * pred.x0 + (1 - alpha_bar_prev).sqrt().to(dtype) * pred.eps
        variance = self.eta**2 * posterior_variance(alpha_bar, alpha_bar_prev)
        direction = (1 - alpha_bar_prev - variance).clamp_min(0).sqrt().to(dtype)
        x = alpha_bar_prev.sqrt().to(dtype) * pred.x0 + direction * pred.eps
        return x + variance.sqrt().to(dtype) * noise.randn(x.shape[1:]).to(dtype)
