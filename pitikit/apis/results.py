"""Results of a translation: images, the time they took, and the files that they are written to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch import Tensor

from pitikit.apis.edit import blended
from pitikit.apis.inputs import Item
from pitikit.data.images import AnyImage, write_png
from pitikit.evaluation.generate import GeneratedBatch
from pitikit.files import ensure_folder, write_atomically

#: Subfolder of the results with the images that a cascade enlarged.
LOW_RES_FOLDER = "low_res"


@dataclass
class Timing:
    """Steps and time of the last translation.

    Attributes:
        steps: sampling steps of an image, of both parts of a cascade together.
        images: how many were made.
        calls: sampling steps in all, one of a whole batch counted once.
        seconds: of sampling, encoding included; reading and writing files excluded.
    """

    steps: int = 0
    images: int = 0
    calls: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        """Text such as ``5 steps, 1 image, 12.3 s, 2.46 s per step``."""
        noun = "image" if self.images == 1 else "images"
        batches = self.calls // max(self.steps, 1)
        many = f" in {batches} batches" if batches > 1 else ""
        per_step = self.seconds / max(self.calls, 1)
        return f"{self.steps} steps, {self.images} {noun}{many}, {self.seconds:.1f} s, {per_step:.3g} s per step"


class Translation(NamedTuple):
    """The results of one input.

    Attributes:
        id: of the input.
        images: uint8 RGB (samples, H, W, 3).
        low_res: uint8 RGB (samples, h, w, 3), what an upsampler enlarged; None where there is none.
    """

    id: str
    images: np.ndarray
    low_res: np.ndarray | None = None


def collect(done: GeneratedBatch, samples: int, names: Iterator[str]) -> Iterator[Translation]:
    """The results of each input of a batch, of which every one has ``samples`` images; of an edit they are blended.

    Args:
        done: the images of a batch.
        samples: images of an input.
        names: ids of the inputs, in their order; one is taken for each.
    """
    for row, start in enumerate(range(0, len(done.images), samples)):
        made = done.images[start : start + samples]
        images = np.stack([_array(each.image) for each in made])
        if "blend" in done.batch:
            images = blended(images, _array(done.batch["start"][row]), done.batch["blend"][row].numpy())
        small = [_array(each.low_res) for each in made if each.low_res is not None]
        yield Translation(next(names), images, np.stack(small) if small else None)


def result_paths(folder: Path, name: str, count: int) -> list[Path]:
    """``folder/<name>.png``, or ``<name>_<k>.png`` of several samples."""
    return [folder / (f"{name}_{k}.png" if count > 1 else f"{name}.png") for k in range(count)]


def check_paths(items: list[Item], folder: Path, count: int, low_res: bool, overwrite: bool) -> None:
    """Check that the results of ``items`` may be written.

    Args:
        items: the inputs to translate.
        folder: of the results.
        count: samples an input.
        low_res: True if :data:`LOW_RES_FOLDER` is written too.
        overwrite: True to replace existing results.

    Raises:
        ValueError: ``folder`` is a file, or a result a folder; or two inputs would be written to one file, or over an
            input.
        FileExistsError: a result is there, and ``overwrite`` is False.
    """
    folders = [folder, folder / LOW_RES_FOLDER] if low_res else [folder]
    for place in folders:
        if place.exists() and not place.is_dir():
            raise ValueError(f"{place}: expected a folder to write to; found a file")
    taken: dict[Path, Item] = {}
    read = {v.resolve() for i in items for v in i.sources.values() if isinstance(v, Path)}
    for item in items:
        for path in [path for place in folders for path in result_paths(place, item.id, count)]:
            if path in taken:
                raise ValueError(
                    f"{_origin(taken[path])} and {_origin(item)} would both be written to "
                    f"{path}; translate them into different folders"
                )
            if path.resolve() in read:
                raise ValueError(f"{path} is an input; expected another folder for the results")
            taken[path] = item
            if path.is_dir():
                raise ValueError(f"{path}: found a folder; expected nothing, or an image that may be replaced")
    there = [path for path in taken if path.exists()]
    if there and not overwrite:
        more = f" and {len(there) - 1} more" if len(there) > 1 else ""
        advice = "choose another folder, or overwrite=True (--overwrite)"
        raise FileExistsError(f"{there[0]}{more}: exists already; {advice}")


def make_folder(folder: Path) -> None:
    """Make a folder to write to, and make sure that it can be: sampling takes long.

    Raises:
        OSError: it cannot; nothing is left of it.
    """
    try:
        ensure_folder(folder)
    except OSError as error:
        raise OSError(f"{folder}: results cannot be written there ({error.strerror or error})") from error


def write_results(results: Iterator[Translation], folder: Path, low_res: bool) -> Iterator[Path]:
    """Write results as they are made; yields the path of each image, not of what it was enlarged from."""
    for name, images, small in results:
        paths = result_paths(folder, name, len(images))
        if low_res and small is not None:
            for path, image in zip(result_paths(folder / LOW_RES_FOLDER, name, len(small)), small, strict=True):
                save_image(path, image)
        for path, image in zip(paths, images, strict=True):
            save_image(path, image)
            yield path


def save_image(path: Path, image: AnyImage) -> None:
    """Write a PNG, complete or not at all."""

    def write(temporary: Path) -> None:
        write_png(temporary, image)

    write_atomically(path, write)


def _array(image: Tensor) -> np.ndarray:
    return image.permute(1, 2, 0).numpy()


def _origin(item: Item) -> str:
    paths = [str(v) for v in item.sources.values() if isinstance(v, Path)]
    return paths[0] if paths else f"input {item.id!r}"
