"""Schedulers of the diffusers library, as samplers."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Annotated, Any

import torch
from torch import Tensor

from pitikit.arguments import nearest
from pitikit.diffusion.samplers.loop import Noise, NoiseLevel, Sampler, SamplingState
from pitikit.diffusion.schedule import NoiseSchedule, Steps
from pitikit.diffusion.spacing import spaced_timesteps
from pitikit.diffusion.types import Denoise, Prediction
from pitikit.registry import GUIDANCES, SAMPLERS


@SAMPLERS.register_module()
class DiffusersSampler(Sampler):
    """A scheduler of diffusers (``pip install 'pitikit[diffusers]'``), by the name of its class.

    It gets this model's noise schedule and the predicted noise, guided and clipped, one call a timestep; two-call
    solvers have two timesteps a step. DDPMScheduler gets a learned variance; for all others it is left out. A scheduler
    that draws noise gets a generator a sample, seeded from the sample's own noise. Timesteps between two whole ones
    are rounded for the network.

    Args:
        scheduler: such as 'SASolverScheduler'.
        steps: a number; which timesteps they are, the scheduler decides (``options``).
        guidance, clip_x0, temperature: see :class:`~pitikit.diffusion.samplers.Sampler`.
        options: arguments of the scheduler, such as ``dict(timestep_spacing='trailing')``.

    Raises:
        ImportError: diffusers is not installed.
        ValueError: there is no such scheduler, it takes no noise schedule, or it has no such option.
    """

    def __init__(
        self,
        scheduler: str,
        steps: Steps = 20,
        guidance: Annotated[Any, GUIDANCES] = None,
        clip_x0: bool = True,
        temperature: float = 1.0,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(steps, guidance, clip_x0, temperature)
        self.scheduler = scheduler
        self.options = dict(options or {})
        kind = _scheduler_class(scheduler)
        known = _arguments(kind.__init__)
        if "trained_betas" not in known:
            raise ValueError(f"DiffusersSampler: {scheduler} takes no noise schedule (trained_betas); expected another")
        needed = _needed(kind.step) - {"model_output", "timestep", "sample"}
        if needed or "Inverse" in scheduler:
            reason = f"a step of it needs {', '.join(sorted(needed))} too" if needed else "it goes from image to noise"
            raise ValueError(f"DiffusersSampler: got {scheduler}, expected a scheduler for sampling: {reason}")
        for name in self.options:
            if name not in known:
                raise ValueError(f"DiffusersSampler: {scheduler} takes no option {name!r}; {nearest(name, known)}")

    def timesteps(self, schedule: NoiseSchedule) -> list[int]:
        """As the scheduler chooses them; those of two calls a step come twice."""
        return self._built(schedule, "cpu", learned=False).timesteps.round().long().tolist()[::-1]

    def step(
        self, x: Tensor, now: NoiseLevel, after: NoiseLevel, denoise: Denoise, state: SamplingState, noise: Noise
    ) -> Tensor:
        """Let the scheduler make the step, on its own scale of x_t."""
        pred = denoise(x, now.t)
        own = state.own
        if not own:
            own["scheduler"] = self._built(state.schedule, x.device, pred.var_frac is not None)
            own["taken"] = _arguments(own["scheduler"].step)
            # A start makes the last steps only.
            own["skipped"] = len(own["scheduler"].timesteps) - len(state.timesteps)
            if hasattr(own["scheduler"], "set_begin_index"):
                own["scheduler"].set_begin_index(own["skipped"] + state.index)
            own["generators"] = _generators(noise)
        scheduler = own["scheduler"]
        drawn = {"generator": own["generators"]} if "generator" in own["taken"] else {}
        places = scheduler.timesteps[own["skipped"] :]
        before = _network_scale(scheduler, places[state.index], x)
        moved = scheduler.step(_output(pred, scheduler), places[state.index], x / before, **drawn).prev_sample
        return moved if state.last else moved * _network_scale(scheduler, places[state.index + 1], x)

    def _built(self, schedule: NoiseSchedule, device: str | torch.device, learned: bool) -> Any:
        kind = _scheduler_class(self.scheduler)
        given: dict[str, Any] = dict(
            num_train_timesteps=len(schedule),
            trained_betas=schedule.betas.numpy(),
            prediction_type="epsilon",
            # Done by the loop.
            clip_sample=False,
        )
        if learned and "predicted_variance" in _arguments(getattr(kind, "_get_variance", _scheduler_class)):
            given["variance_type"] = "learned_range"
        known = _arguments(kind.__init__)
        built = kind(**{**{name: value for name, value in given.items() if name in known}, **self.options})
        # Wrong numbers of steps end here, in our words.
        count = len(spaced_timesteps(len(schedule), self.steps)) if isinstance(self.steps, (int, str)) else 0
        if not count:
            raise ValueError(f"steps={self.steps!r}: expected a number of steps, of which the scheduler chooses which")
        built.set_timesteps(count, device=device)
        return built


def _scheduler_class(name: str) -> Any:
    try:
        import diffusers
    except ImportError as error:
        raise ImportError(
            f"DiffusersSampler: needs the package diffusers: pip install 'pitikit[diffusers]' ({error})"
        ) from error
    known = [each for each in dir(diffusers) if each.endswith("Scheduler") and not each.startswith("Flax")]
    if name not in known:
        raise ValueError(f"DiffusersSampler: scheduler={name!r}: unknown to diffusers; {nearest(str(name), known)}")
    return getattr(diffusers, name)


def _arguments(function: Any) -> set[str]:
    return set(inspect.signature(function).parameters)


def _needed(function: Any) -> set[str]:
    """Arguments without a default."""
    parameters = inspect.signature(function).parameters.values()
    return {each.name for each in parameters if each.default is each.empty and each.name != "self"}


def _generators(noise: Noise) -> list[torch.Generator]:
    """A generator a sample, seeded by its own noise."""
    seeds = noise.randn((1,)).double().flatten().tolist()
    return [torch.Generator().manual_seed(int(seed * 2**40) % 2**63) for seed in seeds]


def _network_scale(scheduler: Any, t: Tensor, x: Tensor) -> Tensor:
    """Factor from the scheduler's x_t to the network's, whose noise and image have squares that add up to 1."""
    return scheduler.scale_model_input(x.new_ones(1), t)


def _output(pred: Prediction, scheduler: Any) -> Tensor:
    """The network's output as the scheduler takes it: the noise, with the variance where that is used."""
    if pred.var_frac is None or getattr(scheduler.config, "variance_type", None) not in ("learned", "learned_range"):
        return pred.eps
    return torch.cat([pred.eps, 2 * pred.var_frac - 1], dim=1)
