"""Diffusion upsamplers (PITI, sec. 3.3): plain, and with a discriminator that has an optimizer of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn

from pitikit.diffusion.conditions import Condition, Drop
from pitikit.diffusion.noise import BatchDraws
from pitikit.diffusion.samplers import SamplingRequest
from pitikit.diffusion.types import Prediction, Target
from pitikit.losses.adversarial import AdversarialLoss
from pitikit.losses.perceptual import GatedImageLoss
from pitikit.models.denoiser import Denoiser
from pitikit.models.members import members_for
from pitikit.models.translator import DenoisingTranslator, Samples
from pitikit.registry import DISCRIMINATORS, LOSSES, MODELS, SAMPLERS, SCHEDULES, TIMESTEP_SAMPLERS

PLAIN_LOSSES = (dict(type="EpsMSE"), dict(type="VariationalBound"))
#: The released losses beside the adversarial one.
RELEASED_LOSSES = (*PLAIN_LOSSES, dict(type="ReleasedPerceptualLoss"))
#: GLIDE's sampler of its upsampler.
FAST27 = dict(type="DDPMSampler", steps="fast27", temperature=0.997)


@MODELS.register_module()
class Upsampler(DenoisingTranslator):
    """A diffusion model that enlarges ``low_res``; the defaults are those of GLIDE's and of the released code.

    Args:
        denoiser: config; its decoder takes ``low_res``.
        schedule: config; linear with 1000 steps by default.
        losses: configs; their weighted sum is minimised.
        timestep_sampler: config or name.
        sampler: config; 27 steps, initial noise times 0.997 and no guidance by default.
        drop, seed, data_preprocessor, predicts: see :class:`~pitikit.models.translator.DenoisingTranslator`.
        crop: side of the square, at a random place, that a training step takes of each image; None for all of it.
            The condition stays whole, so that its encoder can be none with feature maps (SpatialEncoder). 128 needs a
            quarter of the time and of the feature maps of 256. A multiple of the decoder's ``multiple``.
        strength: share of the sampling steps that is made. Below 1 they begin at the enlarged ``low_res`` with noise on
            it instead of at noise alone (SDEdit, Meng et al. 2022), so that the colours of the whole, which the first
            steps decide and a short training learns last, are those of ``low_res``. The released code's is 1. At 0 the
            result is the bilinear enlargement, for any weights: a baseline for tables.
    """

    def __init__(
        self,
        denoiser: Annotated[Any, MODELS, Denoiser],
        schedule: Annotated[Any, SCHEDULES] = None,
        losses: Sequence[Annotated[Any, LOSSES]] = PLAIN_LOSSES,
        timestep_sampler: Annotated[str | Any, TIMESTEP_SAMPLERS] = "uniform",
        sampler: Annotated[Any, SAMPLERS] = None,
        drop: float | dict[str, float] = 0.0,
        seed: int = 0,
        data_preprocessor: Annotated[Any, MODELS] = None,
        crop: int | None = None,
        strength: float = 1.0,
        predicts: str | None = None,
    ) -> None:
        super().__init__(
            denoiser,
            schedule or dict(type="NoiseSchedule", name="linear"),
            losses,
            timestep_sampler,
            sampler or dict(FAST27),
            drop,
            seed,
            data_preprocessor,
            predicts,
        )
        if crop is not None and crop < 1:
            raise ValueError(f"crop={crop}: expected a side in pixels, or None")
        multiple = self.denoiser.decoder.multiple
        if crop is not None and crop % multiple:
            near = sorted({max(crop // multiple, 1) * multiple, (crop // multiple + 1) * multiple})
            raise ValueError(f"crop={crop}: expected a multiple of {multiple}, such as {' or '.join(map(str, near))}")
        if not 0 <= strength <= 1:
            raise ValueError(f"strength={strength}: expected a share of the steps, 0 to 1")
        self.crop = crop
        self.strength = strength

    def init_weights(self) -> None:
        """Initialise as the parent does, then evaluate the image losses on one image of the training's size.

        Raises:
            ValueError: a loss or the discriminator cannot process it; raised now, and not when its gate opens.
        """
        super().init_weights()
        side = self.crop or self.denoiser.decoder.image_size
        image = torch.zeros(1, 3, side, side, device=next(self.parameters()).device)
        for name, evaluate in self.image_losses():
            try:
                with torch.no_grad():
                    evaluate(image)
            except (RuntimeError, ValueError) as error:
                raise ValueError(
                    f"{name}: got images of {side}x{side} (model.crop, or the decoder's image_size), expected a size "
                    f"that it can process: {error}"
                ) from error

    def image_losses(self) -> Iterator[tuple[str, Callable[[Tensor], Any]]]:
        """Losses and networks that take estimated images (B, 3, H, W), by name."""
        for term in self.losses:
            if isinstance(term, GatedImageLoss):
                yield type(term).__name__, term.try_on

    def denoise(
        self,
        image: Tensor,
        condition: Condition,
        low_res: Tensor | None = None,
        draws: BatchDraws | None = None,
        drop: Drop | None = None,
        members: Mapping[str, Tensor] | None = None,
        **batch: Any,
    ) -> tuple[Prediction, Target, Tensor]:
        """Noise and denoise as the parent does, on random squares of the images if ``crop`` is set.

        Raises:
            ValueError: ``low_res`` is missing, or what a loss needs.
        """
        if low_res is None:
            raise ValueError(
                "low_res: got None, expected the input of the upsampler; put a transform that writes it, such as "
                "Degrade, into the pipeline of the dataset"
            )
        draws = draws or BatchDraws()
        members = members_for(self.losses, {"condition": condition, **batch}) if members is None else members
        if self.crop is not None:
            size = (image.shape[2], image.shape[3])
            sized = [enlarged(member, size) for member in members.values()]
            image, low_res, *cut = self.crop_squares(image, low_res, self.crop, draws, *sized)
            members = dict(zip(members, cut, strict=True))
        return super().denoise(image, condition, low_res, draws, drop, members)

    def strength_of(self, request: SamplingRequest) -> float:
        """As the parent's, but for a request without ``start`` too: ``low_res`` takes its place."""
        return self.strength if request.strength is None else request.strength

    @torch.no_grad()
    def sample(self, condition: Condition, request: SamplingRequest, low_res: Tensor | None = None) -> Samples:
        """Sample, from the enlarged ``low_res`` if ``strength`` is below 1 and the request has no start.

        With a ``mask`` that is so where nothing of the start is kept.

        Raises:
            ValueError: ``low_res`` is missing.
        """
        if low_res is None:
            raise ValueError("low_res: got None, expected the images that the upsampler enlarges")
        start, mask = request.start, request.mask
        if (start is None or mask is not None) and self.strength_of(request) < 1:
            side = self.denoiser.decoder.image_size
            enlarged = F.interpolate(low_res, size=(side, side), mode="bilinear", align_corners=False)
            kept = enlarged if start is None or mask is None else torch.where(mask, start, enlarged)
            request = replace(request, start=kept)
        return super().sample(condition, request, low_res)

    def crop_squares(
        self, image: Tensor, low_res: Tensor, side: int, draws: BatchDraws, *others: Tensor
    ) -> tuple[Tensor, ...]:
        """Cut a square of ``side`` at a random place out of each (B, 3, H, W), and the same of ``low_res``, enlarged.

        And of ``others``, (B, ..., H, W) of the size of ``image``.

        Raises:
            ValueError: an image is smaller.
        """
        height, width = image.shape[2:]
        if min(height, width) < side:
            raise ValueError(f"crop={side}: expected images of that side or more, found {height}x{width}")
        # Enlarged first, as the decoder would do it: so a square sees what is beyond its border, as in the whole.
        low_res = F.interpolate(low_res, size=(height, width), mode="bilinear", align_corners=False)
        places = draws.rand(len(image), 2)
        squares = []
        for row, (y, x) in enumerate(places.tolist()):
            top, left = int(y * (height - side + 1)), int(x * (width - side + 1))
            squares.append((row, ..., slice(top, top + side), slice(left, left + side)))

        return tuple(torch.stack([value[square] for square in squares]) for value in (image, low_res, *others))


@MODELS.register_module()
class AdversarialUpsampler(Upsampler):
    """A diffusion upsampler with an adversarial loss on its estimates of the clean image; released defaults.

    Each iteration makes the denoiser's estimates once. The discriminator learns from them (clamped, without gradients
    to the denoiser) and from the true images; then the denoiser learns from its own losses and from the logits of the
    updated discriminator for the same estimates. Before the adversarial loss begins the discriminator is not trained.

    The discriminator is a part of the model: it is saved and resumed, and moves with it. It has its own
    optimizer, in ``optim_wrapper`` under 'discriminator'; the denoiser's is under 'denoiser'; see
    :class:`~pitikit.engine.optim.SeparateConstructor`.

    Args:
        denoiser, schedule, timestep_sampler, sampler, drop, seed, data_preprocessor, crop, strength, predicts: see
            :class:`Upsampler`.
        losses: configs, without the adversarial one; the released ones by default.
        discriminator: config; the released PatchGAN by default.
        adversarial: config of the adversarial loss; the released WGAN-GP by default.
    """

    def __init__(
        self,
        denoiser: Annotated[Any, MODELS, Denoiser],
        schedule: Annotated[Any, SCHEDULES] = None,
        losses: Sequence[Annotated[Any, LOSSES]] = RELEASED_LOSSES,
        timestep_sampler: Annotated[str | Any, TIMESTEP_SAMPLERS] = "uniform",
        sampler: Annotated[Any, SAMPLERS] = None,
        drop: float | dict[str, float] = 0.0,
        seed: int = 0,
        data_preprocessor: Annotated[Any, MODELS] = None,
        crop: int | None = None,
        discriminator: Annotated[Any, DISCRIMINATORS] = None,
        adversarial: Annotated[Any, LOSSES] = None,
        strength: float = 1.0,
        predicts: str | None = None,
    ) -> None:
        super().__init__(
            denoiser,
            schedule,
            losses,
            timestep_sampler,
            sampler,
            drop,
            seed,
            data_preprocessor,
            crop,
            strength,
            predicts,
        )
        self.discriminator: nn.Module = DISCRIMINATORS.build(discriminator or dict(type="PatchDiscriminator"))
        self.adversarial: AdversarialLoss = LOSSES.build(adversarial or dict(type="WGANGPLoss"))
        if not isinstance(self.adversarial, AdversarialLoss):
            name = type(self.adversarial).__name__
            raise TypeError(f"adversarial: expected an adversarial loss such as WGANGPLoss, found {name}")

    def image_losses(self) -> Iterator[tuple[str, Callable[[Tensor], Any]]]:
        """Those of the parent, and the discriminator."""
        yield from super().image_losses()
        yield type(self.discriminator).__name__, self._evaluate_discriminator

    def _evaluate_discriminator(self, image: Tensor) -> None:
        training = self.discriminator.training
        # In eval mode: a spectral norm would otherwise update its vectors.
        self.discriminator.eval()(image)
        self.discriminator.train(training)

    def forward(self, mode: str = "tensor", **batch: Any) -> Any:
        """Entry of mmengine's Runner, and of :meth:`train_step`.

        Args:
            mode: 'denoise' for what :meth:`prepare` gives; with that as ``step``, 'discriminator' for the losses of the
                discriminator and 'denoiser' for those of the denoiser; or one of
                :meth:`DenoisingTranslator.forward <pitikit.models.translator.DenoisingTranslator.forward>`.
            batch: what the dataset's pipeline packed, already on the device; or ``step``.
        """
        if mode == "denoise":
            return self.prepare(**batch)
        if mode == "discriminator":
            return self.discriminator_loss(*batch["step"])
        if mode == "denoiser":
            return self.denoiser_loss(*batch["step"][:3])
        return super().forward(mode, **batch)

    def train_step(self, data: Any, optim_wrapper: OptimWrapperDict) -> dict[str, Tensor]:
        """Train both networks for one iteration and return the values to log.

        Each wrapper has its own precision, clipping and accumulation.

        Raises:
            TypeError: there are not the two optimizers.
        """
        both = isinstance(optim_wrapper, OptimWrapperDict) and {"denoiser", "discriminator"} <= {*optim_wrapper.keys()}
        if not both:
            raise TypeError(
                "AdversarialUpsampler: expected two optimizers: optim_wrapper=dict(constructor='SeparateConstructor', "
                f"denoiser=dict(...), discriminator=dict(...)); found {type(optim_wrapper).__name__}"
            )
        own, other = optim_wrapper["denoiser"], optim_wrapper["discriminator"]
        # Each forward pass by way of _run_forward, which wrappers for several ranks hook into.
        with own.optim_context(self):
            step = self._run_forward(self.data_preprocessor(data, True), mode="denoise")
        logs: dict[str, Tensor] = {}
        if self.adversarial.gate.open:
            with other.optim_context(self):
                logs = self._run_forward(dict(step=step), mode="discriminator")
            other.update_params(logs["loss_d"])
        else:
            # Counted all the same: otherwise the windows of accumulation of the two would diverge.
            other._inner_count += 1
        with own.optim_context(self), _frozen(self.discriminator):
            losses = self._run_forward(dict(step=step), mode="denoiser")
            total = losses["loss"]
        own.update_params(total)
        return {**losses, **logs}

    def prepare(
        self, image: Tensor, draws: BatchDraws | None = None, **batch: Any
    ) -> tuple[Prediction, Target, Tensor, Tensor]:
        """Call :meth:`denoise`, and draw the share (B, 1, 1, 1) of the true image where a gradient is penalised."""
        draws = draws or BatchDraws()
        share = draws.rand(len(image), 1, 1, 1, device=image.device)
        return *self.denoise(image, draws=draws, **batch), share

    def discriminator_loss(
        self, prediction: Prediction, target: Target, weight: Tensor, share: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Losses of the discriminator: ``loss_d`` is minimised, the rest is logged."""
        fake = prediction.x0.detach().clamp(-1, 1)
        gate = self.adversarial.gate.weights(target.t, prediction.alpha_bar)
        return self.adversarial.discriminator_losses(self.discriminator, fake, target.x0, weight * gate, share)

    def denoiser_loss(self, prediction: Prediction, target: Target, weight: Tensor) -> dict[str, Tensor]:
        """Losses of the denoiser, the adversarial one among them: ``loss`` is minimised, the rest is logged."""
        total, logs = self.weigh(prediction, target, weight)
        term = total.new_zeros(len(total))
        if self.adversarial.gate.open:
            logits = self.discriminator(prediction.x0.clamp(-1, 1))
            gate = self.adversarial.gate.weights(target.t, prediction.alpha_bar)
            term = self.adversarial.weight * gate * self.adversarial.generator(logits)
        self.adversarial.gate.advance()
        total = total + term
        self.timestep_sampler.update(target.t, total)
        logs[f"loss_{self.adversarial.name}"] = (weight * term).detach().mean()
        return {"loss": (weight * total).mean(), **logs}

    def loss(self, **batch: Any) -> dict[str, Tensor]:
        """Losses of both networks for a batch, with the discriminator as it is: ``loss`` is the denoiser's."""
        step = self.prepare(**batch)
        # A gradient penalty needs gradients.
        logs = self.discriminator_loss(*step) if self.adversarial.gate.open and torch.is_grad_enabled() else {}
        return {**logs, **self.denoiser_loss(*step[:3])}


def enlarged(member: Tensor, size: tuple[int, int]) -> Tensor:
    """A map (B, h, w) or (B, C, h, w) at the size of the images, by nearest neighbour: ids stay ids.

    Raises:
        ValueError: it is no map, so that a square of it cannot be cut.
    """
    if member.ndim not in (3, 4):
        raise ValueError(f"crop: got a member of shape {tuple(member.shape)} for a loss, expected maps (B, h, w)")
    if tuple(member.shape[-2:]) == size:
        return member
    rows = member if member.ndim == 4 else member[:, None]
    resized = F.interpolate(rows.float(), size, mode="nearest-exact").to(member.dtype)
    return resized if member.ndim == 4 else resized[:, 0]


@contextmanager
def _frozen(module: nn.Module) -> Iterator[None]:
    """Disable gradients for the parameters of a module within the context; existing gradients are kept."""
    learning = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in learning:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learning:
            parameter.requires_grad_(True)
