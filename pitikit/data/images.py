"""Images out: PNG files and labelled grids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

AnyImage = Tensor | np.ndarray
"""uint8: a tensor (C, H, W) or an array (H, W) or (H, W, C), RGB; C of 1, 3, or a multiple of 3."""


def to_rgb(image: AnyImage) -> np.ndarray:
    """uint8 RGB (H, W, 3); several stacked images (C = 6, 9, ...) stand side by side.

    Raises:
        ValueError: not uint8, or a number of channels that is neither 1 nor a multiple of 3.
    """
    array = image.permute(1, 2, 0).numpy() if isinstance(image, Tensor) else image
    if array.ndim == 2:
        array = array[:, :, None]
    if array.dtype != np.uint8 or (array.shape[2] != 1 and array.shape[2] % 3):
        raise ValueError(f"image: expected uint8 with 1 or 3n channels, found {array.dtype} {array.shape}")
    if array.shape[2] == 1:
        return np.repeat(array, 3, axis=2)
    return np.concatenate(np.split(array, array.shape[2] // 3, axis=2), axis=1)


#: Mean below which a condition of one channel is too dark to be seen.
_DARK = 64


def condition_image(condition: Tensor) -> Tensor:
    """A condition, uint8 (C, H, W), to be looked at: of 1 or 3n channels.

    One channel that is dark, as distances to edges are, is brightened. To 2, 4, 5, ... channels black ones are added.
    """
    lacking = -len(condition) % 3
    if len(condition) > 1 and lacking:
        return torch.cat([condition, condition.new_zeros(lacking, *condition.shape[1:])])
    if len(condition) == 1 and condition.float().mean() < _DARK:
        # Edges stay black; a distance of 1 becomes 40, of 10 100.
        return (255 * (condition / 255).pow(1 / 3)).round().to(torch.uint8)
    return condition


def write_png(path: str | Path, image: AnyImage) -> Path:
    """Write a PNG, its folder created when missing.

    Raises:
        OSError: the file cannot be written.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    done, encoded = cv2.imencode(".png", cv2.cvtColor(to_rgb(image), cv2.COLOR_RGB2BGR))
    if not done:
        raise OSError(f"{path}: the image could not be encoded")
    path.write_bytes(encoded.tobytes())
    return path


def write_grid(
    path: str | Path, rows: Sequence[Sequence[AnyImage]], titles: Sequence[str] = (), cell: int = 0, gap: int = 4
) -> Path:
    """Write a sheet of images, one row a sample.

    Args:
        path: of the PNG.
        rows: images of each row, left to right; rows may differ in length.
        titles: one for each column.
        cell: height of a row in pixels; the largest image's by default, at least 128. Smaller images are
            enlarged by whole pixels, so that what is seen is what was made.
        gap: white pixels between images.
    """
    images = [[to_rgb(image) for image in row] for row in rows]
    cell = cell or max(128, *(image.shape[0] for row in images for image in row))
    scaled = [[_fit(image, cell) for image in row] for row in images]
    count = max(len(row) for row in scaled)
    widths = [max((row[c].shape[1] for row in scaled if c < len(row)), default=cell) for c in range(count)]
    head = 22 if titles else 0
    sheet = np.full(
        (head + len(rows) * (cell + gap) + gap, sum(widths) + gap * (len(widths) + 1), 3), 255, dtype=np.uint8
    )
    left = gap
    for column, width in enumerate(widths):
        if column < len(titles):
            origin = (left, head - 6)
            cv2.putText(sheet, titles[column], origin, cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        for index, row in enumerate(scaled):
            if column < len(row):
                top = head + gap + index * (cell + gap)
                sheet[top : top + row[column].shape[0], left : left + row[column].shape[1]] = row[column]
        left += width + gap
    return write_png(path, sheet)


def _fit(image: np.ndarray, height: int) -> np.ndarray:
    if image.shape[0] == height:
        return image
    width = round(image.shape[1] * height / image.shape[0])
    shrink = image.shape[0] > height
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrink else cv2.INTER_NEAREST)
