"""Files and images in memory to arrays: one reader for each kind of image, each of which refuses what it would
silently get wrong.

All rotate an image by its EXIF orientation, so that the members of a pair stay together. Pillow
reads them, because OpenCV turns a palette image (label ids) into colours, and because the released
image path is Pillow's. Each takes whatever encodes its values without loss: grey, equal channels, a palette, an opaque
alpha channel, or an array in a ``.npy``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from PIL import Image

from pitikit.data.decoding import Decoded, Source, decode, opaque
from pitikit.data.errors import DataError
from pitikit.data.palettes import palette_ids

_SIXTEEN_BIT = ("I;16", "I", "F")
# Ids that a table of labels can have: -1 is 'no label' in some sets.
_LOWEST, _HIGHEST = -256, 65535


def read_image(source: Source) -> np.ndarray:
    """Read a photograph as RGB uint8 (H, W, 3).

    Grey, palette and CMYK images are converted. Raises DataError for an unreadable file, 16 bits
    per channel, an array of other numbers than bytes, or an alpha channel that is not opaque.
    """
    decoded = _decoded(source, "RGB uint8 (H, W, 3)")
    if decoded.bits > 8:
        raise DataError(f"{decoded.bits} bits per channel", "8", "convert the image to 8 bits", decoded.path)
    image = opaque(decoded.image, decoded.path)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def read_ids(source: Source) -> np.ndarray:
    """Read a label map as ids (H, W): uint8, uint16, or int32 where there are negative ones.

    Grey values are ids as they are stored, 0 and 1 of one bit; equal channels count as one. A palette image gives its
    indices, or the grey values that stand for them, see :func:`~pitikit.data.palettes.palette_ids`.

    Raises DataError for an unreadable file, a colour image, a lossy format, an alpha channel that is not opaque, or an
    array that is no map of whole numbers.
    """
    if _is_array(source):
        return as_ids(*_read_array(source))
    decoded = decode(source)
    image, path = decoded.image, decoded.path
    check_lossless(decoded.lossy, path)
    if image.mode == "P":
        return palette_ids(image, path)
    if len(image.getbands()) == 1:
        return as_ids(decoded.stored(), path)
    if decoded.bits > 8:
        raise DataError(f"{len(image.getbands())} channels of {decoded.bits} bits", _IDS, "save one of them", path)
    return as_ids(np.asarray(opaque(image, path)), path)


_IDS = "one channel of label ids"


def check_lossless(lossy: str, path: Path | None) -> None:
    """Raise DataError for the name of a compression that changes label ids; '' stands for none."""
    if lossy:
        advice = f"{lossy} changes ids; save the map as PNG"
        raise DataError(f"a label map stored as {lossy}", "a lossless file", advice, path)


def as_ids(array: np.ndarray, path: Path | None = None) -> np.ndarray:
    """Label ids (H, W), uint8, uint16, or int32 where there are negative ones, of an array of whole numbers or bools.

    (H, W, 1), and three equal channels, count as (H, W). Raises DataError for another shape or type, channels that
    differ, no pixel at all, and ids that no table has, below -256 or above 65535.
    """
    if array.ndim == 3 and array.shape[2] in (1, 3) and array.size:
        if (array[..., :1] != array).any():
            advice = "convert the colours to ids first"
            raise DataError(f"{array.shape[2]} channels that differ", _IDS, advice, path)
        array = array[..., 0]
    if array.ndim != 2 or array.dtype.kind not in "bui" or not array.size:
        advice = "cast whole numbers with astype(np.uint8)" if array.dtype.kind == "f" else ""
        raise DataError(f"an array of shape {array.shape}, {array.dtype}", "integer ids (H, W)", advice, path)
    if array.dtype == np.uint8:
        return np.ascontiguousarray(array)
    low, high = int(array.min()), int(array.max())
    if low < _LOWEST or high > _HIGHEST:
        raise DataError(f"ids from {low} to {high}", f"ids from 0 to {_HIGHEST}", path=path)
    return np.ascontiguousarray(array, np.int32 if low < 0 else np.uint16 if high > 255 else np.uint8)


def read_grey(source: Source) -> np.ndarray:
    """Read an edge map as uint8 (H, W); three equal channels count as one. A ``.npy`` of one channel that is not of
    bytes, such as probabilities, is read as it is.

    Raises DataError for an unreadable file, a colour image, 16 bits, or an alpha channel that is
    not opaque.
    """
    if _is_array(source):
        array, file = _read_array(source)
        array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
        if array.dtype != np.uint8 and array.ndim == 2 and array.dtype.kind in "buif":
            return array
    decoded = _decoded(source, "an edge map (H, W)")
    if decoded.bits > 8:
        raise DataError(f"{decoded.bits} bits per channel", "8", "convert the edge map to 8 bits", decoded.path)
    image = opaque(decoded.image, decoded.path)
    if image.mode in ("L", "1"):
        return np.asarray(image.convert("L"))
    colour = np.asarray(image.convert("RGB"))
    spread = int(np.ptp(colour.astype(np.int16), axis=2).max())
    # JPEG moves grey by a level or two through its colour transform.
    if spread > 8:
        raise DataError(
            f"a colour image (channels differ by up to {spread})",
            "an edge map: white lines on black, one channel",
            "this looks like a photograph or a coloured mask; extract its edges first",
            decoded.path,
        )
    return np.ascontiguousarray(colour[..., 0])


def _decoded(source: Source, expected: str) -> Decoded:
    """A file, an image in memory, or a ``.npy`` of bytes in the shape of an image; DataError for other arrays."""
    if not _is_array(source):
        return decode(source)
    array, path = _read_array(source)
    array = array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if not is_bytes_image(array):
        raise DataError(f"an array of shape {array.shape}, {array.dtype}", expected, path=path)
    return decode(Image.fromarray(np.ascontiguousarray(array)))._replace(path=path)


def is_bytes_image(array: np.ndarray) -> bool:
    """True for uint8 (H, W), (H, W, 3) or (H, W, 4), which is what an image file can hold."""
    channels = array.shape[2] if array.ndim == 3 else 1
    return array.dtype == np.uint8 and array.size > 0 and array.ndim in (2, 3) and channels in (1, 3, 4)


def _is_array(source: Source) -> bool:
    return not isinstance(source, Image.Image) and Path(source).suffix.lower() == ".npy"


def _read_array(source: Source) -> tuple[np.ndarray, Path]:
    path = Path(str(source))
    try:
        loaded: Any = np.load(path, allow_pickle=False)
    except FileNotFoundError:
        raise DataError("no such file", "an array", "check the root and the path template", path) from None
    except (OSError, ValueError, EOFError, BadZipFile, MemoryError) as error:
        # A damaged header may state any size.
        raise DataError(f"an array that cannot be read ({error})", "a .npy file", path=path) from error
    if not isinstance(loaded, np.ndarray):
        raise DataError("an archive of arrays", "a .npy file with one array", path=path)
    return loaded, path


def read_depth(source: Source) -> np.ndarray:
    """Read depth (H, W) in the file's own unit: int32 of a 16-bit image, or the numbers of a ``.npy`` or TIFF.

    Raises DataError for an unreadable file, an 8-bit image, more than one channel, or no numbers.
    """
    if _is_array(source):
        return _plane(*_read_array(source), "depth")
    decoded = decode(source)
    image, path = decoded.image, decoded.path
    if len(image.getbands()) != 1:
        raise DataError(
            f"{len(image.getbands())} channels (mode {image.mode})",
            "one channel of depth",
            "a coloured depth image has lost its distances; give the raw depth",
            path,
        )
    if image.mode not in _SIXTEEN_BIT:
        raise DataError("an 8-bit image", "depth in 16 bits or floats", path=path)
    depth = decoded.stored()
    return depth if depth.dtype.kind == "f" else depth.astype(np.int32)


def read_valid(source: Source) -> np.ndarray:
    """Read which pixels are valid, bool (H, W): a file as :func:`read_ids` takes it, of 0 and 1 or of 0 and 255.

    Raises DataError for an unreadable file, a colour image, or other values.
    """
    if _is_array(source):
        return valid_pixels(*_read_array(source))
    return valid_pixels(read_ids(source), None if isinstance(source, Image.Image) else Path(source))


def valid_pixels(array: np.ndarray, path: Path | None = None) -> np.ndarray:
    """Numbers (H, W) or (H, W, 1), of 0 and 1 or of 0 and 255, as bool (H, W); otherwise DataError."""
    plane = _plane(array, path, "valid pixels")
    values = np.unique(plane)
    if not np.isin(values, (0, 1)).all() and not np.isin(values, (0, 255)).all():
        found = f"{len(values)} values from {values.min():g} to {values.max():g}"
        raise DataError(found, "0 (invalid) and 1, or 0 and 255", "a mask marks the valid pixels", path)
    return plane != 0


def _plane(array: np.ndarray, path: Path | None, what: str) -> np.ndarray:
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    if array.ndim != 2 or not array.size or array.dtype.kind not in "buif":
        raise DataError(f"an array of shape {array.shape}, {array.dtype}", f"{what}, numbers (H, W)", path=path)
    return array


def read_normals(source: Source) -> np.ndarray:
    """Read normals (H, W, 3): the numbers of a ``.npy`` as they are, an 8-bit RGB image as v / 127.5 − 1, float32.

    Raises DataError for an unreadable file, a wrong number of channels, or no numbers.
    """
    if _is_array(source):
        normals, file = _read_array(source)
        if normals.ndim != 3 or normals.shape[2] != 3 or normals.dtype.kind not in "uif":
            found = f"an array of shape {normals.shape}, {normals.dtype}"
            raise DataError(found, "normals, numbers (H, W, 3)", path=file)
        return normals
    decoded = decode(source)
    path = decoded.path
    if decoded.bits > 8:
        raise DataError(f"{decoded.bits} bits per channel", "8", "save the normals in 8 bits or as .npy", path)
    image = opaque(decoded.image, path)
    # A palette of few directions.
    image = image.convert("RGB") if image.mode == "P" else image
    if image.mode != "RGB":
        raise DataError(
            f"{len(image.getbands())} channels (mode {image.mode})",
            "3 channels: x, y, z",
            path=path,
        )
    return normals_of_bytes(np.asarray(image))


def normals_of_bytes(code: np.ndarray) -> np.ndarray:
    """Vectors, float32, of the bytes that store them: v / 127.5 − 1."""
    return code.astype(np.float32) / np.float32(127.5) - np.float32(1)
