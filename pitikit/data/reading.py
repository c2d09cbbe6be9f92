"""Files and images in memory to arrays: one reader for each kind of image, each of which refuses what it would
silently get wrong.

All rotate an image by its EXIF orientation, so that the members of a pair stay together. Pillow
reads them, because OpenCV turns a palette image (label ids) into colours, and because the released
image path is Pillow's.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from pitikit.data.errors import DataError

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIGNATURES = (_PNG_SIGNATURE, b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")
_WHOLE = ("a whole file", "copy or download it again")
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)
# Pillow stretches 2- and 4-bit grey values to 0..255; ids must stay as they are stored.
_GREY_STRETCH = {2: 85, 4: 17}
_ORIENTATION = 0x0112
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16", "F")
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I", "F")


Source = str | Path | Image.Image
"""A file, or an image in memory."""


def _open(path: Source) -> tuple[Image.Image, int, Path | None]:
    """Decode a file; returns the image, rotated by its EXIF orientation, its bits per channel (as a PNG states
    them, otherwise of its mode), and its path.
    """
    if isinstance(path, Image.Image):
        return *_in_memory(path), None
    path = Path(path)
    try:
        with open(path, "rb") as handle:
            head = handle.read(26)
            image: Image.Image = Image.open(handle)
            # The second image of an MPO is a preview, or the other view of a stereo pair.
            frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
            image.load()
            image = upright(image)
    except FileNotFoundError:
        raise DataError("no such file", "an image", "check the root and the path template", path) from None
    except UnidentifiedImageError:
        wanted = "a JPEG, PNG, WebP, BMP or TIFF"
        if not head:
            raise DataError("an empty file", wanted, path=path) from None
        if head.startswith(_SIGNATURES):
            raise DataError("an image that cannot be decoded", *_WHOLE, path=path) from None
        raise DataError("a file that is no image (or one of an unknown format)", wanted, path=path) from None
    except _BROKEN as error:
        raise DataError(f"an image that cannot be decoded ({error})", *_WHOLE, path=path) from error
    if frames > 1:
        raise DataError(f"an animation or a stack of {frames} images", "one image", "save one of them alone", path)
    if head.startswith(_PNG_SIGNATURE) and len(head) > 24:
        return image, head[24], path
    return image, 16 if image.mode in _SIXTEEN_BIT else 8, path


def _in_memory(image: Image.Image) -> tuple[Image.Image, int]:
    frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
    if frames > 1:
        raise DataError(f"an animation or a stack of {frames} images", "one image", "save one of them alone")
    try:
        image.load()
        if image.mode not in _MODES:
            image = image.convert("RGB")
        image = upright(image)
    except _BROKEN as error:
        raise DataError(f"an image that cannot be read ({error})", "a whole one") from error
    return image, 16 if image.mode in _SIXTEEN_BIT else 8


def upright(image: Image.Image) -> Image.Image:
    """An image rotated by its EXIF orientation."""
    if image.getexif().get(_ORIENTATION, 1) == 1:
        return image
    turned = ImageOps.exif_transpose(image)
    turned.format = image.format  # A new image has no such value.
    return turned


def _drop_opaque_alpha(image: Image.Image, path: Path | None) -> Image.Image:
    """Remove an alpha channel that hides nothing; one that hides something is an error."""
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode not in ("RGBA", "LA", "PA", "RGBa", "La"):
        return image
    low = np.asarray(image.convert("RGBA"))[..., 3].min()
    if low < 255:
        raise DataError(
            f"an alpha channel with values down to {low}",
            "an opaque image",
            "flatten it onto a background",
            path,
        )
    return image.convert("L" if image.mode in ("LA", "La") else "RGB")


def read_image(source: Source) -> np.ndarray:
    """Read a photograph as RGB uint8 (H, W, 3).

    Grey, palette and CMYK images are converted. Raises DataError for an unreadable file, 16 bits
    per channel, or an alpha channel that is not opaque.
    """
    image, bits, path = _open(source)
    if bits > 8:
        raise DataError(f"{bits} bits per channel", "8", "convert the image to 8 bits", path)
    image = _drop_opaque_alpha(image, path)
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def read_ids(source: Source) -> np.ndarray:
    """Read a label map as ids (H, W), uint8 or uint16; a palette image gives its indices, not
    its colours.

    Raises DataError for an unreadable file, a colour image, or a lossy format.
    """
    image, bits, path = _open(source)
    if image.format in ("JPEG", "MPO"):
        raise DataError(
            "a label map stored as JPEG",
            "a lossless file",
            "JPEG changes ids; save the map as PNG",
            path,
        )
    if image.mode not in ("L", "P", "1", "I;16", "I;16B", "I"):
        raise DataError(
            f"{len(image.getbands())} channels (mode {image.mode})",
            "one channel of label ids",
            "convert the colours to ids first",
            path,
        )
    ids = np.asarray(image)
    if ids.dtype == bool:
        return ids.astype(np.uint8)
    if image.mode == "L" and bits in _GREY_STRETCH:
        return ids // np.uint8(_GREY_STRETCH[bits])
    if ids.dtype != np.uint8:
        if ids.min() < 0 or ids.max() > 65535:
            raise DataError(f"ids from {ids.min()} to {ids.max()}", "ids from 0 to 65535", path=path)
        return ids.astype(np.uint16)
    return ids


def read_grey(source: Source) -> np.ndarray:
    """Read an edge map as uint8 (H, W); three equal channels count as one.

    Raises DataError for an unreadable file, a colour image, 16 bits, or an alpha channel that is
    not opaque.
    """
    image, bits, path = _open(source)
    if bits > 8:
        raise DataError(f"{bits} bits per channel", "8", "convert the edge map to 8 bits", path)
    image = _drop_opaque_alpha(image, path)
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
            path,
        )
    return np.ascontiguousarray(colour[..., 0])


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
    image, _, path = _open(source)
    if len(image.getbands()) != 1:
        raise DataError(
            f"{len(image.getbands())} channels (mode {image.mode})",
            "one channel of depth",
            "a coloured depth image has lost its distances; give the raw depth",
            path,
        )
    if image.mode not in _SIXTEEN_BIT:
        raise DataError("an 8-bit image", "depth in 16 bits or floats", path=path)
    depth = np.asarray(image)
    return depth if depth.dtype.kind == "f" else depth.astype(np.int32)


def read_valid(source: Source) -> np.ndarray:
    """Read which pixels are valid, bool (H, W): an image of one channel or a ``.npy``, of 0 and 1 or of 0 and 255.

    Raises DataError for an unreadable file, more than one channel, or other values.
    """
    if _is_array(source):
        return valid_pixels(*_read_array(source))
    image, _, path = _open(source)
    return valid_pixels(np.asarray(image), path)


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
    image, bits, path = _open(source)
    if bits > 8:
        raise DataError(f"{bits} bits per channel", "8", "save the normals in 8 bits or as .npy", path)
    image = _drop_opaque_alpha(image, path)
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
