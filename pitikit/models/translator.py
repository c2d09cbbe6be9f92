"""The model that mmengine's Runner trains and tests."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmengine.dist import get_dist_info
from mmengine.model import BaseModel
from torch import Tensor

from pitikit.diffusion.noise import NoiseSource, sample_seed
from pitikit.diffusion.samplers import Sampler, StepCallback, build_sampler
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.timesteps import TimestepSampler
from pitikit.diffusion.types import ConditionPair, Prediction, Target
from pitikit.losses.denoising import Loss
from pitikit.models.denoiser import Denoiser
from pitikit.registry import LOSSES, MODELS, SCHEDULES, TIMESTEP_SAMPLERS


class NonFiniteImageError(RuntimeError):
    """A sampling that gave no image."""


@MODELS.register_module()
class DenoisingTranslator(BaseModel):
    """A conditional diffusion model: denoiser, schedule, losses and sampler.

    Args:
        denoiser: config of :class:`~pitikit.models.denoiser.Denoiser`.
        schedule: config; squaredcos_cap_v2 with 1000 steps by default.
        losses: configs; their weighted sum is minimised.
        timestep_sampler: config or name; loss-second-moment by default, as in the released code.
        sampler: config of what :meth:`predict_images` uses; 250 steps of DDPM with CFG 1.3 by default.
        drop: probability with which a sample's condition is replaced by the null condition in training.
        seed: of sampling; an image depends on it and on the sample's id alone.
        data_preprocessor: config; uint8 images to [-1, 1] by default.
    """

    def __init__(
        self,
        denoiser: Any,
        schedule: Any = None,
        losses: Sequence[Any] = (dict(type="EpsMSE"), dict(type="VariationalBound")),
        timestep_sampler: Any = "loss-second-moment",
        sampler: Any = None,
        drop: float = 0.0,
        seed: int = 0,
        data_preprocessor: Any = None,
    ) -> None:
        # Built here: mmengine would look for it in its own registry when no runner has set the default scope.
        super().__init__(MODELS.build(data_preprocessor or dict(type="ImagePreprocessor")))
        if not 0 <= drop <= 1:
            raise ValueError(f"drop={drop}: expected a probability")
        config = denoiser if not isinstance(denoiser, dict) else {"type": "Denoiser", **denoiser}
        self.denoiser: Denoiser = MODELS.build(config) if isinstance(config, dict) else config
        self.schedule: NoiseSchedule = SCHEDULES.build(schedule or dict(type="NoiseSchedule"))
        self.losses = torch.nn.ModuleList(LOSSES.build(loss) for loss in losses)
        for term in self.losses:
            if not isinstance(term, Loss):
                name = type(term).__name__
                raise TypeError(f"losses: {name} is no Loss; derive it from pitikit.losses.denoising.Loss")
            term.watch(self.denoiser)
        if isinstance(timestep_sampler, str):
            timestep_sampler = dict(type=timestep_sampler)
        if isinstance(timestep_sampler, dict):
            timestep_sampler = {"steps": len(self.schedule), **timestep_sampler}
        self.timestep_sampler: TimestepSampler = TIMESTEP_SAMPLERS.build(timestep_sampler)
        default = dict(type="DDPMSampler", steps=250, guidance=dict(type="CFG", scale=1.3))
        self.sampler: Sampler = build_sampler(sampler or default)
        # Steps that are none would be told at the first sample grid only.
        self.schedule.spaced(self.sampler.steps)
        self.drop = drop
        self.seed = seed
        #: Process and number of processes that the random numbers of training are those of; None for the real ones.
        self.place: tuple[int, int] | None = None

    def init_weights(self) -> None:
        """Called by the Runner before a training, and by nobody else: the losses read the files that they need."""
        super().init_weights()
        for term in self.losses:
            assert isinstance(term, Loss)
            term.prepare()

    def forward(self, mode: str = "tensor", **batch: Any) -> Any:
        """Entry of mmengine's Runner.

        Args:
            mode: 'loss' for a dict of scalars; 'predict' for a list of result dicts; 'tensor' for the decoder's
                output (needs ``x_t``, ``t`` and ``condition``).
            batch: what the dataset's pipeline packed, already on the device.
        """
        if mode == "loss":
            return self.loss(**batch)
        if mode == "predict":
            return self.predict(**batch)
        if mode == "tensor":
            return self.denoiser(batch["x_t"], batch["t"], batch["condition"], batch.get("low_res"))
        raise ValueError(f"mode={mode!r}: expected 'loss', 'predict' or 'tensor'")

    def loss(self, image: Tensor, condition: Tensor, low_res: Tensor | None = None, **_: Any) -> dict[str, Tensor]:
        """Loss terms of a batch: ``loss`` is minimised, the rest is logged.

        Args:
            image: (B, 3, H, W) in [-1, 1].
            condition: what the encoder takes.
            low_res: (B, 3, h, w) in [-1, 1], for an upsampler.
        """
        prediction, target, weight = self.denoise(image, condition, low_res)
        total, logs = self.weigh(prediction, target, weight)
        self.timestep_sampler.update(target.t, total)
        return {"loss": (weight * total).mean(), **logs}

    def denoise(
        self, image: Tensor, condition: Tensor, low_res: Tensor | None = None, **_: Any
    ) -> tuple[Prediction, Target, Tensor]:
        """Noise a batch and run the network on it: what it says, what is true, and the weight (B,) of the samples."""
        t, weight, noise, drop = self.draw(image)
        x_t = self.schedule.add_noise(image, t, noise)
        output = self.denoiser(x_t, self.schedule.network_time(t), condition, low_res, drop if self.drop > 0 else None)
        prediction = Prediction.from_output(output, x_t, self.schedule.at(t))
        return prediction, self.schedule.target(image, t, noise), weight

    def weigh(self, prediction: Prediction, target: Target, weight: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum (B,) of the losses, and the mean of each for the logs.

        Raises:
            ValueError: a loss gives something else than one value a sample.
        """
        total = target.x0.new_zeros(len(target.x0))
        logs: dict[str, Tensor] = {}
        for loss in self.losses:
            assert isinstance(loss, Loss)
            value = loss(prediction, target)
            if getattr(value, "shape", None) != total.shape:
                found = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
                raise ValueError(f"losses: {loss.name} gave {found}; expected one value a sample, ({len(total)},)")
            value = loss.weight * value
            total = total + value
            logs[f"loss_{loss.name}"] = (weight * value).detach().mean()
        return total, logs

    def draw(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Random numbers of a training step, from torch's global generator.

        Several processes seed it alike, draw for the whole batch and take their rows, of which process p of w has
        p, p + w, ... (see :class:`~pitikit.data.sampler.DrawSampler`): two with two samples each draw what one with
        four does. What is drawn afterwards, such as dropout, differs between them.

        Args:
            image: (B, 3, H, W), of this process.

        Returns:
            t (B,) int64 and its weight (B,), noise like ``image``, drop (B,) bool.
        """
        process, processes = self.place or get_dist_info()
        batch = len(image) * processes
        t, weight = self.timestep_sampler.sample(batch)
        noise = torch.randn(batch, *image.shape[1:], dtype=image.dtype, device=image.device)
        # Drawn whatever the probability, so that a stage border does not shift the random numbers that follow.
        drop = torch.rand(batch, device=image.device) < self.drop
        if process:
            torch.manual_seed((torch.initial_seed() + process * 0xC2B2AE3D) % 2**63)
        own = slice(process, None, processes)
        return t[own], weight[own], noise[own].contiguous(), drop[own]

    @property
    def steps(self) -> int:
        """Sampling steps of an image: how often a callback is called."""
        return len(self.schedule.spaced(self.sampler.steps))

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """What to minimise and what to log: mmengine would add the terms to their sum once more."""
        return losses["loss"], losses

    @torch.no_grad()
    def predict(
        self, condition: Tensor, id: Sequence[str], low_res: Tensor | None = None, **batch: Any
    ) -> list[dict[str, Any]]:
        """Translate a batch: per sample ``dict(id, pred (3, H, W) uint8 on the CPU, and what else was packed)``."""
        seeds = [sample_seed(self.seed, name) for name in id]
        images = to_uint8(self.predict_images(condition, seeds, low_res)).cpu()
        results = []
        for row, name in enumerate(id):
            rest = {key: value[row] for key, value in batch.items()}
            results.append({"id": name, "pred": images[row], "condition": condition[row], **rest})
        return results

    @torch.no_grad()
    def predict_images(
        self,
        condition: Tensor,
        seeds: Sequence[int],
        low_res: Tensor | None = None,
        callback: StepCallback | None = None,
        progress: bool = False,
        start: Tensor | None = None,
        strength: float = 1.0,
    ) -> Tensor:
        """Sample images (B, 3, H, W) in [-1, 1] for a condition in [-1, 1] and one seed per sample.

        ``callback``, ``progress``, ``start``, ``strength``: see :class:`~pitikit.diffusion.samplers.Sampler`.

        Raises:
            NonFiniteImageError: a value is infinite or not a number at the end.
        """
        batch = len(condition)
        cond = self.denoiser.encode(condition, low_res)
        null = self.denoiser.null(batch, low_res) if self.sampler.needs_null else None
        side = self.denoiser.decoder.image_size
        noise = NoiseSource(seeds, condition.device)
        pair = ConditionPair(cond, null)
        shape = (3, side, side)
        images = self.sampler(
            self.denoiser.decode, self.schedule, pair, noise, shape, callback, progress, start, strength
        )
        if not images.isfinite().all():
            # As bytes they would be black, and a metric would measure them.
            raise NonFiniteImageError(
                "the sampling gave values that are not finite; look for them in the weights, in a sampler or guidance "
                "of a plugin, or try it without half precision"
            )
        return images


def to_uint8(image: Tensor, truncate: bool = False) -> Tensor:
    """[-1, 1] to 0..255, rounded; the released code truncates, which darkens by half a grey level."""
    levels = (image.float().clamp(-1, 1) + 1) * 127.5
    return (levels if truncate else levels.round()).to(torch.uint8)
