"""Images that were made elsewhere, to be measured as if a test had made them."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pitikit.arguments import nearest
from pitikit.data.listing import IMAGE_SUFFIXES, Passed, describe_passed, list_files, split_suffix
from pitikit.data.reading import read_image
from pitikit.evaluation.generate import Generated, GeneratedBatch
from pitikit.files import file_sha256

_SHOWN = 3


class ForeignImagesError(ValueError):
    """Images that cannot be measured as those of a test set."""


class ForeignImages:
    """The images of a folder by id, ``<id>.png`` or in another format.

    Args:
        folder: with the images; or the folder of a test, which has them in ``images/``.
        names: ids of the whole test set.
        count: only the first so many are measured.

    Attributes:
        folder: where the images are.

    Raises:
        ForeignImagesError: there is no such folder; an image is missing; one is of no item; or two are of one.
    """

    def __init__(self, folder: str | Path, names: Sequence[str], count: int) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ForeignImagesError(f"{self.folder}: no such folder, expected one with the images of the test set")
        if (self.folder / "protocol.json").is_file() and (self.folder / "images").is_dir():
            self.folder /= "images"
        found: dict[str, list[Path]] = {}
        passed: Passed = {}
        for name, path in list_files(self.folder, IMAGE_SUFFIXES, passed).items():
            found.setdefault(split_suffix(name)[0], []).append(path)
        if passed:
            warnings.warn(f"{self.folder}: {describe_passed(passed)}", stacklevel=2)
        wanted = list(names[:count])
        complaints = [
            _listing("no image of", [name for name in wanted if name not in found], len(wanted), names=list(found)),
            _listing("images of no item:", sorted(found.keys() - set(names)), len(found)),
            _listing("several files of", [name for name in wanted if len(found.get(name, ())) > 1], len(wanted)),
        ]
        if any(complaints):
            raise ForeignImagesError(
                f"{self.folder}: expected one image an item of the test set, named by its id; "
                + "; ".join(filter(None, complaints))
            )
        self._paths = {name: found[name][0] for name in wanted}

    def check(self, size: tuple[int, int] | None) -> dict[str, Any]:
        """Read all images, so that a bad one is found before the first is measured.

        Args:
            size: height and width that all have; those of the first by default.

        Returns:
            'sha256' of ids and files, and 'size'.

        Raises:
            ForeignImagesError: an image of another size.
            DataError: a file that is no image.
        """
        hashes = []
        origin = "that of the true images" if size else "that of the others"
        for name, path in self._paths.items():
            height, width = read_image(path).shape[:2]
            size = size or (height, width)
            if (height, width) != size:
                raise ForeignImagesError(
                    f"{path}: got {width}x{height} pixels, expected {size[1]}x{size[0]}, {origin}; resize the images, "
                    "or take the config of a model of their size"
                )
            hashes.append((name, file_sha256(path)))
        digest = hashlib.sha256(json.dumps(sorted(hashes)).encode()).hexdigest()
        return {"sha256": digest, "size": list(size or ())}

    def read(self, name: str) -> Tensor:
        """The image of an id, uint8 (3, H, W)."""
        return torch.from_numpy(read_image(self._paths[name]).copy()).permute(2, 0, 1).contiguous()

    def batches(self, loader: Iterable[dict[str, Any]], preprocessor: Any) -> Iterator[GeneratedBatch]:
        """The batches of a test set with these images, as :func:`~pitikit.evaluation.generate.generate` gives them."""
        for batch in loader:
            images = [Generated(str(name), 0, self.read(str(name)), None, False) for name in batch["id"]]
            yield GeneratedBatch(batch, preprocessor(batch, False), images)


def ids_of(dataset: Any) -> list[str]:
    """The ids of a dataset in their order; one that has no ``ids`` is read for them."""
    ids = getattr(dataset, "ids", None)
    return list(ids) if ids is not None else [str(dataset[index]["id"]) for index in range(len(dataset))]


def size_of(item: Mapping[str, Any]) -> tuple[int, int] | None:
    """Height and width of an item's true image; None where it has none."""
    image = item.get("image")
    return None if image is None else (image.shape[-2], image.shape[-1])


def _listing(what: str, ids: Sequence[str], count: int, names: Sequence[str] = ()) -> str:
    """Text such as ``no image of 2 of 7: a, b``; empty without ids."""
    if not ids:
        return ""
    shown = ", ".join(ids[:_SHOWN]) + (", ..." if len(ids) > _SHOWN else "")
    near = nearest(ids[0], names) if names else ""
    return f"{what} {len(ids)} of {count}: {shown}" + (f" ({near})" if near.startswith("did you mean") else "")
