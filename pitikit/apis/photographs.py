"""Photographs as the inputs of a translation: their conditions are extracted, as those of the training were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from pitikit.data.errors import DataError
from pitikit.data.extraction import Extractor, build_extractor
from pitikit.data.reading import is_bytes_image, read_image

#: In the place of an extractor: what the training derived from its images, if it did.
AUTO = "auto"


class Photographs:
    """Maker of the members of a condition from a photograph.

    Args:
        given: an extractor, by its name ('canny', 'pidinet', ...) or config, or several; 'auto' or True for what the
            loaders of the model derive from images themselves.

    Attributes:
        members: names of what is made; the photograph alone of 'auto'.

    Raises:
        ValueError: two extractors of one member, or 'auto' beside another.
    """

    def __init__(self, given: Any) -> None:
        several = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else [given]
        automatic = [each for each in several if each in (True, AUTO)]
        if automatic and len(several) > 1:
            raise ValueError(f"from_photo: got 'auto' and {len(several) - 1} more, expected it alone")
        self.extractors: list[Extractor] = [] if automatic else [build_extractor(each) for each in several]
        for each in self.extractors:
            each.load()
        self.members = tuple(each.member for each in self.extractors) or ("image",)
        if len(set(self.members)) < len(self.members):
            raise ValueError(f"from_photo: got extractors of {', '.join(self.members)}, expected one of each")

    def sources(self, photograph: Mapping[str, Any]) -> dict[str, Any]:
        """The members of the condition that a photograph, ``{'image': path or PIL image or array}``, gives.

        Raises:
            DataError: it is no photograph.
        """
        image = photograph["image"]
        if not self.extractors:
            return dict(photograph)
        if isinstance(image, np.ndarray):
            if not is_bytes_image(image):
                raise DataError(f"an array of shape {image.shape}, {image.dtype}", "a photograph, RGB uint8 (H, W, 3)")
            image = Image.fromarray(np.ascontiguousarray(image))
        photo = read_image(image)
        return {each.member: each(photo) for each in self.extractors}

    @property
    def title(self) -> str:
        """The extractors, in words."""
        return " and ".join(str(each.facts.get("extractor", type(each).__name__)) for each in self.extractors) or AUTO
