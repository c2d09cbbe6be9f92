"""Two models in a row: 64x64 from the condition, then 256x256 from both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from mmengine.model import BaseModel
from torch import Tensor

from pitikit.diffusion.conditions import Condition, parts_by_member, sample_of
from pitikit.diffusion.noise import sample_seed
from pitikit.diffusion.samplers import Sampler, SamplingRequest
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.models.translator import DenoisingTranslator, Samples, to_uint8
from pitikit.models.upsampler import FAST27
from pitikit.registry import MODELS


@MODELS.register_module()
class Cascade(BaseModel):
    """A base model and an upsampler that takes its images; for sampling, each is trained alone.

    The base model's image is clamped and quantised to 8 bits before it is enlarged, as released: the upsampler is
    trained on such images.

    Args:
        base, upsampler: configs of models, or models; in a config file also the paths of their configs. Each samples
            with its own ``sampler``; an upsampler whose config names none takes 27 steps, initial noise times
            0.997 and no guidance.
        seed: of sampling; an image depends on it and on the sample's id alone. The base model's by default; the
            upsampler's has no effect.
        data_preprocessor: config; uint8 images to [-1, 1] by default.
        conditioned: True gives the condition to the upsampler, False its null condition. With False it may have been
            trained on another kind of conditions, if some of them were left out (``drop``).

    Raises:
        ValueError: the base model takes ``low_res``, or the upsampler does not; or it is conditioned, and
            takes other conditions than the base model.
        TypeError: a part is neither a config nor a model.
    """

    #: Names of the parts that have weights of their own, in the order in which they sample.
    PARTS = ("base", "upsampler")

    def __init__(
        self,
        base: Annotated[Any, MODELS],
        upsampler: Annotated[Any, MODELS],
        seed: int | None = None,
        data_preprocessor: Annotated[Any, MODELS] = None,
        conditioned: bool = True,
    ) -> None:
        super().__init__(MODELS.build(data_preprocessor or dict(type="ImagePreprocessor")))
        for name, part in (("base", base), ("upsampler", upsampler)):
            if isinstance(part, (str, Path)):
                raise TypeError(
                    f"Cascade: {name}={str(part)!r}: expected a model or its config; load_config finds a path that "
                    "ends in .py in a config file"
                )
        if isinstance(upsampler, dict) and upsampler.get("sampler") is None:
            upsampler = {**upsampler, "sampler": dict(FAST27)}
        self.base: DenoisingTranslator = MODELS.build(base) if isinstance(base, dict) else base
        self.upsampler: DenoisingTranslator = MODELS.build(upsampler) if isinstance(upsampler, dict) else upsampler
        for name, part, expected in (("base", self.base, False), ("upsampler", self.upsampler, True)):
            found = part.denoiser.decoder.takes_low_res
            if found != expected:
                raise ValueError(f"Cascade: {name}: expected a decoder with low_res={expected}, found low_res={found}")
        self.seed: int = self.base.seed if seed is None else seed
        self.conditioned = conditioned
        parts = [part.denoiser.parts for part in self.parts.values()]
        if conditioned and parts[0] != parts[1]:
            base_parts, other_parts = (" and ".join(names) or "one condition" for names in parts)
            raise ValueError(
                f"Cascade: the upsampler takes {other_parts}, the base model {base_parts}; expected the same, or "
                "conditioned=False for an upsampler that was trained with conditions left out"
            )
        takes = [part.denoiser.encoder.in_channels for part in self.parts.values()]
        if conditioned and None not in takes and takes[0] != takes[1]:
            raise ValueError(_unfit(f"the base model of {takes[0]}", takes[1]))

    @property
    def parts(self) -> dict[str, DenoisingTranslator]:
        """Both models in their order, by the names of the arguments: each has weights of its own to load."""
        return {name: getattr(self, name) for name in self.PARTS}

    @property
    def schedule(self) -> NoiseSchedule:
        """The base model's."""
        return self.base.schedule

    @property
    def sampler(self) -> Sampler:
        """The base model's, which decides what is in the image; ``upsampler.sampler`` is the other."""
        return self.base.sampler

    def sampling_steps(self, request: SamplingRequest | None = None, low_res: bool = False) -> int:
        """Sampling steps of an image in all, those of the base left out where the batch brings ``low_res``."""
        request = request or SamplingRequest()
        enlarging = self.upsampler.sampling_steps(request.upsampler)
        return enlarging if low_res else self.base.sampling_steps(request) + enlarging

    def needs(self, request: SamplingRequest | None = None) -> tuple[str, ...]:
        """Members of a batch that the samplings of both take beside what the models themselves do, each once."""
        request = request or SamplingRequest()
        own = request.upsampler or SamplingRequest()
        return tuple(dict.fromkeys((*self.base.needs(request), *self.upsampler.needs(own))))

    def forward(self, mode: str = "predict", **batch: Any) -> Any:
        """Entry of mmengine's Runner; ``mode`` is 'predict', or 'sample' for :meth:`sample`.

        Raises:
            ValueError: another mode.
        """
        if mode == "sample":
            return self.sample(**batch)
        if mode != "predict":
            raise ValueError(
                f"Cascade: mode={mode!r}: expected 'predict' or 'sample'; train its base and its upsampler alone"
            )
        return self.predict(**batch)

    @torch.no_grad()
    def predict(
        self, condition: Condition, id: Sequence[str], low_res: Tensor | None = None, **batch: Any
    ) -> list[dict[str, Any]]:
        """Translate a batch.

        Per sample ``dict(id, pred (3, H, W) uint8, low_res (3, h, w) uint8, both on the CPU, and what else was
        packed)``; ``low_res`` is what was enlarged: the base model's image, unless one is given.
        """
        request = SamplingRequest([sample_seed(self.seed, name) for name in id])
        made = self.sample(condition, request, low_res)
        assert made.low_res is not None
        images, small = to_uint8(made.images).cpu(), to_uint8(made.low_res).cpu()
        packed = {"low_res": small, "condition": condition, **batch}
        return [{"id": name, "pred": images[row], **sample_of(packed, row)} for row, name in enumerate(id)]

    @torch.no_grad()
    def sample(self, condition: Condition, request: SamplingRequest, low_res: Tensor | None = None) -> Samples:
        """Sample images (B, 3, H, W), and the (B, 3, h, w) that were enlarged.

        Args:
            condition: B rows in [-1, 1].
            request: with one seed a row. It is the base model's; ``request.upsampler`` has what differs for the other.
                A ``start`` and a ``mask`` of the size that the upsampler makes are reduced for the base model; the
                upsampler then keeps of them what the mask keeps.
            low_res: (B, 3, h, w) in [-1, 1], enlarged in the place of the base model's images.

        Raises:
            ValueError: the upsampler does not take the condition.
        """
        self._check(condition)  # Before minutes of sampling.
        own = request.upsampler or SamplingRequest()
        side = self.base.denoiser.decoder.image_size
        if request.start is not None and request.start.shape[-1] != side:
            if request.mask is not None:
                own = replace(own, start=request.start, mask=request.mask)
            request = reduced(request, side)
        # The condition itself, though the upsampler may not see it.
        members = {**parts_by_member(condition), **request.members}
        calls = 0
        if low_res is None:
            small = self.base.sample(condition, request)
            low_res, calls = quantised(small.images), small.calls
        if not self.conditioned:
            condition = self.upsampler.denoiser.encoder.null_condition(len(low_res))
        # The base model's noise began with the same seeds.
        seeds = [sample_seed(seed, "upsampler") for seed in request.seeds or ()]
        own = replace(
            own,
            seeds=seeds,
            callback=request.callback,
            precision=request.precision,
            progress=request.progress,
            label=request.label,
            members=members,
        )
        large = self.upsampler.sample(condition, own, low_res)
        return large._replace(calls=calls + large.calls)

    def _check(self, condition: Condition) -> None:
        takes = self.upsampler.denoiser.encoder.in_channels
        if self.conditioned and isinstance(condition, Tensor) and takes not in (None, condition.shape[1]):
            raise ValueError(_unfit(f"found a condition of shape {tuple(condition.shape)}", takes))


def _unfit(found: str, takes: Any) -> str:
    return (
        f"Cascade: the upsampler takes conditions of {takes} channels, {found}; expected one trained on these, or "
        "conditioned=False for one that was trained with conditions left out"
    )


def reduced(request: SamplingRequest, side: int) -> SamplingRequest:
    """A request with ``start`` and ``mask`` of a smaller side; a pixel is kept if all that it is made of are."""
    assert request.start is not None
    start = F.interpolate(request.start, size=(side, side), mode="bicubic", align_corners=False, antialias=True)
    mask = request.mask
    if mask is not None:
        mask = F.adaptive_max_pool2d((~mask).float(), side) == 0
    # The levels of a byte: what is kept is an 8-bit image as the rest will be.
    return replace(request, start=(start.clamp(-1, 1) + 1).mul(127.5).round() / 127.5 - 1, mask=mask)


def quantised(image: Tensor) -> Tensor:
    """[-1, 1] to the 256 levels of a byte and back, truncated as the released code does between its two models."""
    return ((image.clamp(-1, 1) + 1) * 127.5).int() / 127.5 - 1
