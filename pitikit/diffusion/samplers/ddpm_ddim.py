"""The samplers of the released code: ancestral, and implicit."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from torch import Tensor

from pitikit.diffusion.guidance import amount
from pitikit.diffusion.samplers.loop import Noise, NoiseLevel, Sampler, SamplingState
from pitikit.diffusion.schedule import VARIANCES, Spacing, Steps, posterior_variance
from pitikit.diffusion.types import Denoise, Prediction, mixed_log_variance
from pitikit.registry import GUIDANCES, SAMPLERS


@SAMPLERS.register_module()
class DDPMSampler(Sampler):
    """Ancestral sampling (Ho et al. 2020, alg. 2). The only sampler that uses a learned variance.

    Args:
        steps, guidance, clip_x0, temperature, spacing, log_snr_min: see :class:`~pitikit.diffusion.samplers.Sampler`.
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
        variance: Literal["learned", "small", "large"] = "learned",
        spacing: Spacing = "linspace",
        log_snr_min: float | None = None,
    ) -> None:
        super().__init__(steps, guidance, clip_x0, temperature, spacing, log_snr_min)
        if variance not in VARIANCES:
            raise ValueError(f"DDPMSampler: variance: got {variance!r}, expected 'learned', 'small' or 'large'")
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
    """Denoising diffusion implicit models (Song et al. 2021, eq. 12 and 16). A learned variance is left out.

    Args:
        steps, guidance, clip_x0, temperature, spacing, log_snr_min: see :class:`~pitikit.diffusion.samplers.Sampler`.
        eta: 0 is deterministic, 1 as noisy as DDPM. What a small model, such as those that ship with pitikit, leaves
            of the noise stays as grain at 0, while at 1 images are clean.
    """

    renoises = True

    def __init__(
        self,
        steps: Steps = 50,
        guidance: Annotated[Any, GUIDANCES] = None,
        clip_x0: bool = True,
        temperature: float = 1.0,
        eta: float = 0.0,
        spacing: Spacing = "linspace",
        log_snr_min: float | None = None,
    ) -> None:
        super().__init__(steps, guidance, clip_x0, temperature, spacing, log_snr_min)
        self.eta = amount(f"{type(self).__name__}: eta", eta)
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
        eps = self.noise_to_add(pred)
        if self.eta == 0:
            return alpha_bar_prev.sqrt().to(dtype) * pred.x0 + (1 - alpha_bar_prev).sqrt().to(dtype) * eps
        variance = self.eta**2 * posterior_variance(alpha_bar, alpha_bar_prev)
        direction = (1 - alpha_bar_prev - variance).clamp_min(0).sqrt().to(dtype)
        x = alpha_bar_prev.sqrt().to(dtype) * pred.x0 + direction * eps
        return x + variance.sqrt().to(dtype) * noise.randn(x.shape[1:]).to(dtype)
