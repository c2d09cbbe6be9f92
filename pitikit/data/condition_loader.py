"""The base of every modality: what is read from a file, checked, and turned into the bytes of a condition."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from PIL import Image

from pitikit.data.conditions import ConditionPart, shape_of
from pitikit.data.decoding import upright
from pitikit.data.errors import DataError, LoaderError, place_of
from pitikit.data.members import add_part, fetch


class ConditionLoader(BaseTransform):
    """A modality: how a member of a pair is read, checked, mirrored and encoded.

    A subclass sets ``source`` and ``channels`` and has the methods ``read`` and ``encode``; all else may stay as it
    is. The order of events is ``read`` (of a path alone: an array in memory goes on as it is), ``validate``, the flips
    of the pair (``mirror``), the resizing, ``encode``. What a method raises becomes a DataError with the item and the
    file: one of the data for an OSError or a ValueError, otherwise a LoaderError, one of this class itself.

    Attributes:
        source: member that is read; names the input of a translation.
        channels: of the bytes that ``encode`` gives. The encoder's ``in_channels`` is the sum of them.
        condition: False for a target that is kept for metrics, and no part of the condition.
        interpolation: how the array is resized: 'nearest' (labels, or numbers that must not mix), 'linear' or 'area'.
        keep: results key under which the array is kept for metrics, or None.
        span: the range that ``encode`` distinguishes, in words; see :meth:`clipped`.
        optional: further members that an input of a translation may have.
        takes_images: ``read`` takes a PIL image as well, and is given bytes in the shape of an image as one.

    Raises:
        TypeError: the class lacks one of the methods.
    """

    source: str = ""
    channels: int = 0
    condition: bool = True
    interpolation: str = "nearest"
    keep: str | None = None
    span: str = "values in the range of its encoder"
    optional: tuple[str, ...] = ()
    takes_images: bool = False

    def __new__(cls, *args: Any, **kwargs: Any) -> ConditionLoader:
        """Make a loader of a class that has all that it needs."""
        missing = sorted(getattr(cls, "__abstractmethods__", ()))
        if missing:
            raise TypeError(f"{cls.__name__}: got no {' and no '.join(missing)}, expected the methods read and encode")
        return super().__new__(cls)

    @abstractmethod
    def read(self, path: Any, /) -> np.ndarray:
        """Read a file as an array (H, W) or (H, W, k) of numbers; raise DataError where it is not what it should be."""

    @abstractmethod
    def encode(self, array: np.ndarray) -> np.ndarray:
        """Turn an array at its final size into bytes, uint8 (H, W, channels)."""

    def validate(self, array: np.ndarray) -> np.ndarray:
        """Return the array, of a file or from memory, as it is to be worked with; raise DataError for a wrong one."""
        return array

    def mirror(self, array: np.ndarray) -> np.ndarray:
        """Return the values as a left-right flip changes them, such as a negated x; their places are moved before."""
        return array

    def clipped(self, array: np.ndarray) -> float:
        """Share of the values beyond the range that ``encode`` distinguishes; nearly all of them mean a wrong unit."""
        return 0.0

    def single(self, pixel: np.ndarray) -> str:
        """A condition of which all pixels are ``pixel``, uint8 (channels,), in words for a warning."""
        return "a single value everywhere"

    def as_given(self, members: Collection[str]) -> ConditionLoader:
        """The loader of a translation's input that has ``members``; see :mod:`~pitikit.apis.input_members`."""
        return self

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the member, and append it to the condition; a loader that reads several members has its own."""
        value, path = fetch(results, self.source, self._read)
        array = self._run(self.validate, value, path, results.get("id"))
        code = LoaderCode(self) if self.condition else None
        return add_part(
            results, ConditionPart(self.source, array, self.interpolation, code, self.mirror, self.keep), path
        )

    def _read(self, source: Path | Image.Image) -> np.ndarray:
        if isinstance(source, Image.Image):
            return np.asarray(upright(source)) if not self.takes_images else self._run(self.read, source, None, None)
        return self._run(self.read, source, source, None)

    def _run(self, step: Callable[[Any], np.ndarray], value: Any, path: Path | None, item: str | None) -> np.ndarray:
        """The array that a step of this loader makes of ``value``; a DataError for all else."""
        name, expected = f"{type(self).__name__}.{step.__name__}", "an array (H, W) or (H, W, k) of numbers"
        try:
            array = step(value)
        except DataError as error:
            error.item, error.path = error.item or item, error.path or path
            raise
        except (OSError, EOFError, SyntaxError) as error:
            raise DataError(
                f"a file that cannot be read ({error})",
                f"a file that {type(self).__name__} reads",
                path=path,
                item=item,
            ) from error
        except Exception as error:
            found = f"{name} raised {type(error).__name__}: {error}{place_of(error)}"
            # With a ValueError a method, or what it calls, refuses what it was given.
            kind = DataError if isinstance(error, ValueError) else LoaderError
            raise kind(found, expected, path=path, item=item) from error
        if not isinstance(array, np.ndarray):
            raise LoaderError(f"{name} gave {shape_of(array)}", expected, "it must return it", path, item)
        if array.ndim not in (2, 3) or not array.size or array.dtype.kind not in "buif":
            raise DataError(f"{name} gave {shape_of(array)}", expected, path=path, item=item)
        return array


@dataclass(frozen=True)
class LoaderCode:
    """The encoding of a loader, on its way with a part; see :mod:`~pitikit.data.empty_conditions` for the methods."""

    loader: ConditionLoader

    def __call__(self, array: np.ndarray) -> np.ndarray:
        """Encode an array at its final size."""
        return self.loader.encode(array)

    @property
    def title(self) -> str:
        """The class of the loader, for messages."""
        return type(self.loader).__name__

    @property
    def channels(self) -> int:
        """Channels of the bytes."""
        return self.loader.channels

    @property
    def span(self) -> str:
        """The range that is distinguished, in words."""
        return self.loader.span

    def clipped(self, array: np.ndarray) -> float:
        """Share of the values that are out of range."""
        return self.loader.clipped(array)

    def single(self, pixel: np.ndarray) -> str:
        """A condition of one value, in words."""
        return self.loader.single(pixel)
