"""Solvers of higher order: good images in a tenth of the network calls of ancestral sampling.

lambda is the log-SNR, alpha = sqrt(alpha_bar), sigma = sqrt(1 - alpha_bar), h the step in lambda and D the predicted
x0, guided and clipped. None of them uses a learned variance: the decoder's second half is left out.
"""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor

from pitikit.diffusion.guidance import amount
from pitikit.diffusion.samplers.loop import Noise, NoiseLevel, Sampler, SamplingState
from pitikit.diffusion.schedule import Spacing, Steps
from pitikit.diffusion.types import Denoise
from pitikit.registry import GUIDANCES, SAMPLERS

#: Log-SNR that solvers begin at. The cosine schedule falls to -9.9 in its last ten timesteps, and a step out of that
#: cliff is many times longer than those that follow.
LOG_SNR_MIN = -5.1


def _order(name: str, value: int) -> int:
    if value not in (1, 2):
        raise ValueError(f"{name}: order={value!r}: expected 1 or 2")
    return value


@SAMPLERS.register_module()
class DPMSolverSampler(Sampler):
    """DPM-Solver++, multistep (Lu et al. 2022, alg. 2), and its SDE form. A learned variance is left out.

    The last step gives D itself.

    Args:
        steps, guidance, clip_x0, temperature, spacing, log_snr_min: see :class:`~pitikit.diffusion.samplers.Sampler`.
        order: 2 uses the prediction of the step before too (2M); 1 is DDIM.
        eta: 0 is deterministic, 1 the SDE, with fresh noise at every step. As of DDIM, small models leave grain at 0.
    """

    memory = 1

    def __init__(
        self,
        steps: Steps = 20,
        guidance: Annotated[Any, GUIDANCES] = None,
        clip_x0: bool = True,
        temperature: float = 1.0,
        order: int = 2,
        eta: float = 0.0,
        spacing: Spacing = "linspace",
        log_snr_min: float | None = LOG_SNR_MIN,
    ) -> None:
        super().__init__(steps, guidance, clip_x0, temperature, spacing, log_snr_min)
        self.order = _order(type(self).__name__, order)
        self.eta = amount(f"{type(self).__name__}: eta", eta)
        self.adds_noise = self.eta > 0

    def step(
        self, x: Tensor, now: NoiseLevel, after: NoiseLevel, denoise: Denoise, state: SamplingState, noise: Noise
    ) -> Tensor:
        """Solve from ``now`` to ``after``, of D or, with ``order`` 2, of its linear extrapolation to the step's middle.

        x' = sigma' / sigma e^(-eta h) x + alpha' (1 - e^(-(1 + eta) h)) D + sigma' sqrt(1 - e^(-2 eta h)) z.
        """
        pred = denoise(x, now.t)
        h = after.log_snr - now.log_snr
        clean = pred.x0
        if self.order == 2 and state.earlier and not state.last:
            before = state.earlier[0]
            share = 0.5 * h / (now.log_snr - before.log_snr)
            clean = clean + share.to(x.dtype) * (clean - before.x0)
        if self.eta == 0:
            return (after.sigma / now.sigma).to(x.dtype) * x - (after.alpha * (-h).expm1()).to(x.dtype) * clean
        kept = after.sigma / now.sigma * (-self.eta * h).exp()
        moved = -after.alpha * (-(1 + self.eta) * h).expm1()
        fresh = after.sigma * (-(-2 * self.eta * h).expm1()).sqrt()
        drawn = noise.randn(x.shape[1:]).to(x.dtype)
        return kept.to(x.dtype) * x + moved.to(x.dtype) * clean + fresh.to(x.dtype) * drawn


@SAMPLERS.register_module()
class UniPCSampler(Sampler):
    """UniPC of order 1 or 2 in its form B(h) = e^h - 1 (Zhao et al. 2023, alg. 1 to 3). A learned variance is left out.

    The predictor is DPM-Solver++'s. The corrector repeats the step before with D of its end, which the present step
    has computed anyway: no further network call. The last step gives D itself.

    Args:
        steps, guidance, clip_x0, temperature, spacing, log_snr_min: see :class:`~pitikit.diffusion.samplers.Sampler`.
        order: of the predictor; with the corrector the solver's is one more.
    """

    memory = 2

    def __init__(
        self,
        steps: Steps = 20,
        guidance: Annotated[Any, GUIDANCES] = None,
        clip_x0: bool = True,
        temperature: float = 1.0,
        order: int = 2,
        spacing: Spacing = "linspace",
        log_snr_min: float | None = LOG_SNR_MIN,
    ) -> None:
        super().__init__(steps, guidance, clip_x0, temperature, spacing, log_snr_min)
        self.order = _order(type(self).__name__, order)

    def step(
        self, x: Tensor, now: NoiseLevel, after: NoiseLevel, denoise: Denoise, state: SamplingState, noise: Noise
    ) -> Tensor:
        """Correct x_t, of which the prediction at the uncorrected one is kept, then predict the next."""
        pred = denoise(x, now.t)
        if state.earlier:
            x = self._corrected(pred.x0, now, state)
        clean = pred.x0
        if self.order == 2 and state.earlier and not state.last:
            before = state.earlier[0]
            share = 0.5 * (after.log_snr - now.log_snr) / (now.log_snr - before.log_snr)
            clean = clean + share.to(x.dtype) * (clean - before.x0)
        state.own["start"] = x, now
        return _exponential_step(x, clean, now, after)

    def _corrected(self, reached: Tensor, now: NoiseLevel, state: SamplingState) -> Tensor:
        """The end of the step before, of which ``reached`` is D at the uncorrected one."""
        x, begin = state.own["start"]
        first = state.earlier[0]
        h = now.log_snr - begin.log_snr
        # B(h) and phi of the paper, for data prediction.
        phi = (-h).expm1()
        b1 = (phi / -h - 1) / phi
        clean = first.x0
        if self.order == 1 or len(state.earlier) < 2:
            return _exponential_step(x, clean + 0.5 * (reached - clean), begin, now)
        second = state.earlier[1]
        ratio = (second.log_snr - begin.log_snr) / h
        b2 = 2 * ((phi / -h - 1) / -h - 0.5) / phi
        # Weights of the differences to the step before the last, and to the end: [[1, 1], [ratio, 1]] w = [b1, b2].
        of_second = (b1 - b2) / (1 - ratio)
        of_reached = b1 - of_second
        clean = clean + (of_second / ratio).to(x.dtype) * (second.x0 - first.x0)
        return _exponential_step(x, clean + of_reached.to(x.dtype) * (reached - first.x0), begin, now)


def _exponential_step(x: Tensor, clean: Tensor, now: NoiseLevel, after: NoiseLevel) -> Tensor:
    """The exact solution from ``now`` to ``after`` for a D that stays ``clean``."""
    h = after.log_snr - now.log_snr
    return (after.sigma / now.sigma).to(x.dtype) * x - (after.alpha * (-h).expm1()).to(x.dtype) * clean


@SAMPLERS.register_module()
class HeunSampler(Sampler):
    """Heun's method in sigma / alpha (Karras et al. 2022, alg. 1), two network calls a step but for the last.

    A learned variance is left out. Steps are long at high noise, where only the spacing 'karras' (default) suits.

    Args:
        steps, guidance, clip_x0, temperature, spacing, log_snr_min: see :class:`~pitikit.diffusion.samplers.Sampler`.
    """

    def __init__(
        self,
        steps: Steps = 18,
        guidance: Annotated[Any, GUIDANCES] = None,
        clip_x0: bool = True,
        temperature: float = 1.0,
        spacing: Spacing = "karras",
        log_snr_min: float | None = LOG_SNR_MIN,
    ) -> None:
        super().__init__(steps, guidance, clip_x0, temperature, spacing, log_snr_min)

    def step(
        self, x: Tensor, now: NoiseLevel, after: NoiseLevel, denoise: Denoise, state: SamplingState, noise: Noise
    ) -> Tensor:
        """Take Euler's step, then again with the mean of the noise predicted at its two ends."""
        first = denoise(x, now.t)
        if state.last:
            return first.x0

        def moved(eps: Tensor) -> Tensor:
            length = after.sigma - after.alpha * now.sigma / now.alpha
            return (after.alpha / now.alpha).to(x.dtype) * x + length.to(x.dtype) * eps

        second = denoise(moved(first.eps), after.t)
        return moved((first.eps + second.eps) / 2)
