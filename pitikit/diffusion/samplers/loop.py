"""The one loop of all samplers; a sampler is its ``step``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field
from typing import Annotated, Any, NamedTuple, Protocol

import torch
from torch import Tensor
from tqdm import tqdm

from pitikit.arguments import returned
from pitikit.diffusion.guidance import (
    CFG,
    Guidance,
    GuidanceInputs,
    amount,
    build_guidance,
    has_scale,
    needs_of,
    renoises_null,
    with_inputs,
    with_parts,
    with_scale,
)
from pitikit.diffusion.inversion import FixedNoise, invert, mix, noise_of_steps, vary
from pitikit.diffusion.resampling import Resample, noise_further, order_of_steps
from pitikit.diffusion.schedule import NoiseSchedule, Spacing, Steps
from pitikit.diffusion.types import BoundDenoiser, Denoise, Prediction, log_snr
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
        """(B, 1, 1, 1) float64, see :func:`pitikit.diffusion.types.log_snr`."""
        return log_snr(self.alpha_bar)

    @property
    def alpha(self) -> Tensor:
        """(B, 1, 1, 1) float64, the share of the image, sqrt(alpha_bar)."""
        return self.alpha_bar.sqrt()

    @property
    def sigma(self) -> Tensor:
        """(B, 1, 1, 1) float64, the share of the noise, sqrt(1 - alpha_bar)."""
        return (1 - self.alpha_bar).sqrt()


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

    @property
    def last(self) -> bool:
        """True at the step that ends at the image."""
        return self.index + 1 == len(self.timesteps)

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
        steps: how many timesteps, or which: see :func:`pitikit.diffusion.spacing.spaced_timesteps`.
        guidance: config or object, or a list of them composed from inner to outer; None for no guidance.
        clip_x0: clamp the predicted clean image to [-1, 1] at every step.
        temperature: factor on the initial noise; the released upsampler uses 0.997.
        spacing: how a number of steps is spread over the process: 'linspace', 'leading', 'trailing', 'log_snr' or
            'karras', see :func:`pitikit.diffusion.spacing.spread_timesteps`.
        log_snr_min: timesteps of a smaller log-SNR are not visited; None for no limit.

    Attributes:
        memory: earlier predictions that a multistep solver uses.
        adds_noise: True where a step adds one draw, scaled, to a mean: a variation
            then replaces a part of the draws of an image, otherwise a part of the noise that the steps begin at.
        renoises: a step adds back the predicted noise, for which a guidance may put another one (CFG++).

    Raises:
        ValueError: a ``temperature`` below 0 or not finite, guidances that do not fit together or to the sampler.
    """

    memory = 0
    adds_noise = False
    renoises = False

    def __init__(
        self,
        steps: Steps = 50,
        guidance: Annotated[Any, GUIDANCES] = None,
        clip_x0: bool = True,
        temperature: float = 1.0,
        spacing: Spacing = "linspace",
        log_snr_min: float | None = None,
    ) -> None:
        self.steps = steps
        self.guidance = self._checked(build_guidance(guidance))
        self.clip_x0 = clip_x0
        self.temperature = amount(f"{type(self).__name__}: temperature", temperature)
        self.spacing = spacing
        self.log_snr_min = log_snr_min

    def _checked(self, guidance: list[Guidance]) -> list[Guidance]:
        names = [type(each).__name__ for each in guidance if renoises_null(each)]
        if names and not self.renoises:
            raise ValueError(
                f"{type(self).__name__}: got the guidance {names[0]}, which puts another noise in the place of the "
                "predicted one; expected a sampler that adds that back, such as DDIMSampler, or another guidance"
            )
        return guidance

    def timesteps(self, schedule: NoiseSchedule) -> list[int]:
        """Timesteps of ``schedule`` that a whole sampling visits, from the image to the noise.

        Raises:
            ValueError: ``steps`` or ``spacing`` cannot be had of this schedule.
        """
        try:
            return schedule.spaced(self.steps, self.spacing, self.log_snr_min)
        except ValueError as error:
            raise ValueError(f"{type(self).__name__}: {error}") from error

    @property
    def needs_null(self) -> bool:
        """True where a guidance evaluates the denoiser without the condition."""
        return any(g.needs_null for g in self.guidance)

    @property
    def needs(self) -> tuple[str, ...]:
        """Members of a batch that the guidances compare with, such as 'label', each once."""
        return tuple(dict.fromkeys(name for guidance in self.guidance for name in needs_of(guidance)))

    def changed(
        self,
        steps: Steps | None = None,
        scale: float | None = None,
        weights: Mapping[str, float] | None = None,
        intervals: Mapping[str, Sequence[float]] | None = None,
    ) -> Sampler:
        """Copy the sampler with other ``steps`` or another guidance ``scale``; None leaves what is there.

        A guidance with a scale gets it wherever it stands, within an interval too; a sampler without one gets
        :class:`~pitikit.diffusion.guidance.CFG` of that scale. ``weights`` and ``intervals`` are those of
        :class:`~pitikit.diffusion.guidance.PartsCFG`, for the conditions that they name.

        Raises:
            ValueError: ``scale`` is no finite number, or two guidances have one each; weights or intervals of a
                guidance that has none.
        """
        other = copy(self)
        if steps is not None:
            other.steps = steps
        if scale is not None:
            names = [type(g).__name__ for g in self.guidance if has_scale(g)]
            if len(names) > 1:
                raise ValueError(f"scale={scale}: got {' and '.join(names)}, which have one each; set it in the config")
            guidance = [with_scale(g, scale) if has_scale(g) else g for g in self.guidance]
            other.guidance = self._checked(build_guidance(guidance if names else [CFG(scale), *guidance]))
        if weights or intervals:
            other.guidance = self._checked(build_guidance(with_parts(other.guidance, weights or {}, intervals or {})))
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
        inputs: GuidanceInputs | None = None,
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
            inputs: what some guidances need beside the two networks.

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
        timesteps = self.timesteps(schedule)[::-1]
        x = noise.randn(shape) * self.temperature
        if start is not None:
            timesteps = timesteps[len(timesteps) - steps_of(strength, len(timesteps)) :]
            if not timesteps:
                return start
        state = SamplingState(schedule, tuple(timesteps), earlier=deque(maxlen=self.memory))
        guided = self._guided(denoise, null_denoise, state, inputs or GuidanceInputs())
        after = state.level(0, len(x), x.device)
        made = 0
        own: list[Tensor] = []
        if start is not None and variation is not None:
            levels = [state.level(index, len(x), x.device) for index in range(len(timesteps))]
            # A guidance of its own, whose memory does not reach into the sampling.
            guided_back = self._guided(denoise, null_denoise, state, inputs or GuidanceInputs())
            if self.adds_noise:
                path = [schedule.add_noise(start, level.t, noise.randn(shape)) for level in levels] + [start]
                along = SamplingState(schedule, tuple(timesteps), earlier=deque(maxlen=self.memory))
                own = noise_of_steps(path, guided_back, self.step, levels, along, callback)
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
            returned(self, "step", x, Tensor, "a tensor (B, 3, H, W)")
            if mask is not None and start is not None:
                x = torch.where(mask, start if last else schedule.add_noise(start, after.t, noise.randn(shape)), x)
            assert state.prediction is not None
            if callback is not None:
                callback(number, timesteps[index], x, state.prediction)
            state.earlier.appendleft(state.prediction)
        return x

    def _guided(
        self, denoise: Denoise, null_denoise: Denoise | None, state: SamplingState, inputs: GuidanceInputs
    ) -> Denoise:
        for guidance in self.guidance:
            guided_by = with_inputs(guidance, inputs).wrap(denoise, null_denoise, state.schedule)
            denoise = returned(guidance, "wrap", guided_by, Callable, "a function of x_t and t")

        def guided(x_t: Tensor, t: Tensor) -> Prediction:
            prediction = denoise(x_t, t)
            if self.clip_x0:
                prediction = prediction.with_x0(prediction.x0.clamp(-1, 1))
            if state.prediction is None:
                state.prediction = prediction
            return prediction

        return guided

    def noise_to_add(self, prediction: Prediction) -> Tensor:
        """The predicted noise, or in its place the unconditional prediction's if a guidance needs that (CFG++).

        For samplers that are ``renoises``.
        """
        if prediction.null is not None and any(map(renoises_null, self.guidance)):
            return prediction.null.eps
        return prediction.eps

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
        label: (B, h, w) class ids, 255 for none, of which a classifier guidance moves the images' way; the label map
            of a loader that was kept (``PackInputs(keep=['label'])``).
        members: what a guidance compares with beside, by name, such as ``dict(depth=...)`` in metres (B, h, w).
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
    label: Tensor | None = None
    members: Mapping[str, Tensor] = field(default_factory=dict)


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
