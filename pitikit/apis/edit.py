"""Edits of images by a model that was trained to translate: which part is made anew, and how much of the rest stays."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
import torch

from pitikit.apis.companions import one_each
from pitikit.apis.edit_inputs import changed_places, read_places, read_start
from pitikit.apis.inputs import ConditionReader, Item
from pitikit.data.errors import DataError
from pitikit.diffusion.resampling import Resample, check_resample
from pitikit.diffusion.samplers import DDIMSampler, Sampler, SamplingRequest

STRENGTH = 0.6
"""Share of the steps of an edit that keeps no part of the image as it is."""
VARIATION_STRENGTH = 0.9
"""The same of a variation: where hardly anything of an image is left in x_t, its noise cannot be found."""
FEATHER_SHARE = 16
"""The side of an image over the width of the border, by default, around what has changed in a condition."""


@dataclass(frozen=True)
class Edit:
    """An edit of images; the arguments of :meth:`Translator.edit <pitikit.apis.translator.Translator.edit>`.

    Attributes:
        image: the images to edit, one an input: paths, PIL images or arrays; or a folder, by the ids of the inputs.
        strength: share of the sampling steps that is made from the noised image (SDEdit). By default 0.6; 0.9 with
            ``variation``, 1 where a part of the image stays as it is.
        mask: white is made anew, black stays. Given as ``image`` is, of the size of the image.
        keep: the opposite of ``mask``, in its place.
        before: the old conditions, one an input: what differs from the new ones is made anew, and the rest stays. With
            ``mask`` too, what is white there is made anew as well.
        feather: width in pixels of a border around that in which the new image passes into the old one; outside it
            every byte is the old one. By default a sixteenth of the side with ``before``, otherwise 0.
        variation: share of the image's own noise, found by inversion, that is replaced: 0 is nearly the image again, 1
            another one. Of a sampler that adds noise (DDPM) it is the noise of every step; in the place of another one
            DDIM is used, unless the call names one, and it is the noise that the steps begin at.
        resample: (jump, times) of RePaint, see :func:`~pitikit.diffusion.resampling.order_of_steps`.

    Raises:
        ValueError: a value out of range, or arguments that exclude each other.
    """

    image: Any = None
    strength: float | None = None
    mask: Any = None
    keep: Any = None
    before: Any = None
    feather: int | None = None
    variation: float | None = None
    resample: Resample | None = None

    def __post_init__(self) -> None:
        if self.image is None:
            raise ValueError("image: got None, expected the image to edit; to make one anew call the translator itself")
        _check_share("strength", self.strength)
        _check_share("variation", self.variation)
        if self.mask is not None and self.keep is not None:
            raise ValueError("keep: got one beside mask, expected either; white of mask is made anew, of keep it stays")
        partly = self.mask is not None or self.keep is not None or self.before is not None
        for name in ("feather", "resample"):
            if getattr(self, name) is not None and not partly:
                raise ValueError(f"{name}: got {getattr(self, name)!r}, expected mask, keep or before beside it")
        if self.resample is not None:
            check_resample(self.resample)
        whole = isinstance(self.feather, numbers.Integral) and not isinstance(self.feather, bool)
        if self.feather is not None and not (whole and self.feather >= 0):
            raise ValueError(f"feather: got {self.feather!r}, expected a number of pixels, 0 or more")

    @property
    def partial(self) -> bool:
        """True where a part of the image stays as it is."""
        return self.mask is not None or self.keep is not None or self.before is not None

    def sampling(self, own: Sampler, given: Mapping[str, Any]) -> dict[str, Any]:
        """Arguments of a call; a variation gets DDIM, in the place of another sampler that adds no noise."""
        if self.variation is None or given.get("sampler") is not None or own.adds_noise:
            return dict(given)
        return {
            **given,
            "sampler": DDIMSampler(
                own.steps, own.guidance, own.clip_x0, spacing=own.spacing, log_snr_min=own.log_snr_min
            ),
        }

    def request(self, request: SamplingRequest) -> SamplingRequest:
        """A request with what belongs to every image of the edit."""
        usual = VARIATION_STRENGTH if self.variation is not None else 1.0 if self.partial else STRENGTH
        strength = usual if self.strength is None else self.strength
        return replace(request, strength=strength, variation=self.variation, resample=self.resample)


class EditReader:
    """The edited images of a call, and the part of each that is made anew.

    Args:
        edit: with one image, and where they are given one mask and one old condition, for each of ``items``.
        reader: of the conditions.
        items: the new conditions.
        side: of the images that the model makes.

    Raises:
        DataError: an image or a mask is missing.
        ValueError: another number of them than of items.
    """

    def __init__(self, edit: Edit, reader: ConditionReader, items: Sequence[Item], side: int) -> None:
        self.edit, self.reader, self.items, self.side = edit, reader, items, side
        self._images = one_each("image", edit.image, items)
        places, self._white_stays = (edit.mask, False) if edit.keep is None else (edit.keep, True)
        self._name = "keep" if self._white_stays else "mask"
        self._places = None if places is None else one_each(self._name, places, items)
        self._before = None if edit.before is None else reader.find(edit.before)
        if self._before is not None and len(self._before) != len(items):
            raise ValueError(f"before: {len(self._before)} conditions for {len(items)} inputs; expected one each")

    def read(self, index: int) -> dict[str, torch.Tensor]:
        """The parts of an item that :func:`~pitikit.evaluation.generate.generate` takes beside its condition.

        Returns:
            ``start``, uint8 (3, S, S); where a part stays ``mask``, bool (1, S, S), True there, and ``blend``, float32
            (S, S, 1), the share of the new image in the result.

        Raises:
            DataError: an image or a mask that does not fit, or an edit that changes nothing, or everything.
        """
        item = self.items[index]
        start = read_start(self._images[index], self.reader, item, self.side)
        row = {"start": torch.from_numpy(start.image.transpose(2, 0, 1).copy())}
        if not self.edit.partial:
            return row
        places = np.zeros((self.side, self.side), bool)
        if self._places is not None:
            places |= read_places(self._name, self._places[index], start, item, self._white_stays)
        if self._before is not None:
            places |= changed_places(self.reader, self._before[index], item, self.side)
        feather = self.edit.feather
        if feather is None:
            feather = self.side // FEATHER_SHARE if self._before is not None else 0
        blend = feathered(places, feather)
        if blend.all():
            reason = f"a border of {feather} pixels around what changes that leaves nothing of the image"
            raise DataError(reason, "a part that stays", "set a smaller feather", item=item.id)
        row["blend"] = torch.from_numpy(blend[..., None])
        row["mask"] = torch.from_numpy(blend == 0)[None]
        return row


def feathered(places: np.ndarray, feather: int) -> np.ndarray:
    """Shares of a new image (H, W), float32: 1 at ``places``, falling to 0 more than ``feather`` pixels beside them."""
    distance = cv2.distanceTransform((~places).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.where(distance <= feather, 1 - distance / (feather + 1), 0).astype(np.float32)


def blended(images: np.ndarray, old: np.ndarray, blend: np.ndarray) -> np.ndarray:
    """New images with the old one where ``blend`` is 0, byte for byte.

    Args:
        images: uint8 (N, H, W, 3).
        old: uint8 (H, W, 3).
        blend: float32 (H, W, 1), the share of the new ones.
    """
    mixed = np.rint(old + blend * (images.astype(np.float32) - old)).astype(np.uint8)
    return np.where(blend > 0, mixed, old)


def _check_share(name: str, value: Any) -> None:
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if value is not None and not (number and 0 <= value <= 1):
        raise ValueError(f"{name}: got {value!r}, expected a number from 0 to 1")


def parse_resample(text: str) -> Resample:
    """The pair of 'JUMP,TIMES'.

    Raises:
        ValueError: another text.
    """
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdigit() for part in parts):
        raise ValueError(f"resample: got {text!r}, expected JUMP,TIMES, two whole numbers, such as 4,4")
    return check_resample((int(parts[0]), int(parts[1])))
