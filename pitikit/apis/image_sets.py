"""Folders of images to be compared: of one size, by name."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import functional as transforms

from pitikit.data.decoding import SIDEWAYS, exif_orientation
from pitikit.data.listing import IMAGE_SUFFIXES, Passed, describe_passed, list_files, split_suffix
from pitikit.data.reading import read_image
from pitikit.files import file_sha256

_SHOWN = 3


class FoldersError(ValueError):
    """Folders that cannot be compared as requested."""


class ImageSet:
    """The images of a folder, of one size or resized to one.

    Args:
        folder: its images and those of its subfolders, of all formats that are read here.
        resize: side of the square that all are brought to, as torch-fidelity's ``--samples-resize-and-crop`` does:
            the shorter side to that length, bilinear with antialiasing, then the centre; None for as they are.

    Attributes:
        paths: name below the folder, without its suffix -> file.
        size: width and height.

    Raises:
        FoldersError: no such folder, less than two images, two of one name, or images of several sizes.
    """

    def __init__(self, folder: str | Path, resize: int | None = None) -> None:
        self.folder, self.resize = Path(folder), resize
        if resize is not None and resize < 1:
            raise FoldersError(f"--resize: got {resize}, expected 1 or more pixels")
        if not self.folder.is_dir():
            found = "is a file, expected a folder" if self.folder.is_file() else "no such folder, expected one"
            raise FoldersError(f"{self.folder}: {found} with images")
        passed: Passed = {}
        self.paths = list_files(self.folder, IMAGE_SUFFIXES, passed)
        self.passed = describe_passed(passed)
        if len(self.paths) < 2:
            others = f"; {self.passed}" if self.passed else ""
            raise FoldersError(f"{self.folder}: got {len(self.paths)} images, expected 2 or more{others}")
        sizes = Counter(_size_of(path) for path in self.paths.values())
        if resize is None and len(sizes) > 1:
            raise FoldersError(
                f"{self.folder}: got images of {len(sizes)} sizes ({_sizes_text(sizes)}), expected one size; bring all "
                "to one: --resize SIDE"
            )
        self.size = (resize, resize) if resize is not None else next(iter(sizes))

    def __len__(self) -> int:
        return len(self.paths)

    def by_stem(self) -> dict[str, str]:
        """Names without suffix -> names.

        Raises:
            FoldersError: two files have one.
        """
        stems: dict[str, str] = {}
        for name in self.paths:
            stem = split_suffix(name)[0]
            if stem in stems:
                raise FoldersError(f"{self.folder}: got {stems[stem]} and {name}, expected one image of a name")
            stems[stem] = name
        return stems

    def read(self, name: str) -> Tensor:
        """An image, uint8 (3, H, W)."""
        array = read_image(self.paths[name])
        if self.resize is not None:
            image = transforms.resize(Image.fromarray(array), [self.resize])
            array = np.asarray(transforms.center_crop(image, [self.resize]))
        return torch.from_numpy(array.copy()).permute(2, 0, 1).contiguous()

    def facts(self) -> dict[str, Any]:
        """Identity of the images: number, size, and a hash of names and files."""
        hashes = [(name, file_sha256(path)) for name, path in self.paths.items()]
        digest = hashlib.sha256(json.dumps(hashes).encode()).hexdigest()
        return dict(folder=str(self.folder), images=len(self), size=list(self.size), sha256=digest)


def _size_of(path: Path) -> tuple[int, int]:
    """Width and height, of a file's header where that is enough."""
    try:
        with Image.open(path) as image:
            # They are turned by a quarter when they are read.
            return image.size[::-1] if exif_orientation(image) in SIDEWAYS else image.size
    except Exception:
        # A format or a fault that the reader of images has a message for.
        height, width = read_image(path).shape[:2]
        return width, height


def _sizes_text(sizes: Counter[tuple[int, int]]) -> str:
    shown = [f"{count} of {width}x{height}" for (width, height), count in sizes.most_common(_SHOWN)]
    return ", ".join([*shown, *(["..."] if len(sizes) > _SHOWN else [])])
