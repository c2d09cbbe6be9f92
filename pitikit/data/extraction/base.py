"""The base of extractors, which make a condition from a photograph."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pitikit.registry import EXTRACTORS


def build_extractor(given: Any) -> Extractor:
    """The extractor of a name, such as 'canny', or of a config; an extractor is returned as it is.

    Raises:
        KeyError: an unknown name.
        TypeError: an unknown argument, or neither a name nor a config.
    """
    if isinstance(given, Extractor):
        return given
    if not isinstance(given, (str, Mapping)):
        raise TypeError(f"extractor: got {given!r}, expected a name such as 'canny', or dict(type=...)")
    return EXTRACTORS.build(dict(type=given) if isinstance(given, str) else dict(given))


class Extractor(ABC):
    """Makes one member of a condition from a photograph: edges, labels, depth or normals.

    Attributes:
        member: name of what it makes: 'sketch', 'mask', 'depth', 'normals', or one of a plugin's.
        facts: settings and hashes of weights that its results depend on, for manifests: JSON.
        loader: config of the loader that reads what was made.
        classes: names of the labels of a mask.
    """

    member: str = "sketch"
    facts: Mapping[str, Any] = {}
    loader: Mapping[str, Any] = dict(type="LoadSketch")
    classes: Sequence[str] = ()

    def load(self) -> None:  # noqa: B027 - most extractors have none
        """Read the weights, if it has any, before the first image, for which they are read otherwise."""

    @abstractmethod
    def __call__(self, image: np.ndarray) -> np.ndarray:
        """Extract from RGB uint8 (H, W, 3).

        Returns:
            Of a sketch edges, uint8 (H, W), 255 on 0; of a mask ids, uint8 (H, W), 255 for none; of depth metres,
            float32 (H, W), 0 for none; of normals float32 (H, W, 3), x right, y up, z to the camera.
        """
