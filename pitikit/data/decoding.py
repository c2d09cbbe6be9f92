"""Image files and images in memory to upright pixels: what the readers of :mod:`~pitikit.data.reading` have in common.

Broken metadata never costs an image its pixels: they are ignored, the orientation with them. Truncated or broken
pixels are an error.
"""

from __future__ import annotations

import io
import os
import re
import struct
import threading
import zlib
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from pitikit.data.errors import DataError

Source = str | Path | Image.Image
"""A file, or an image in memory."""

LIMIT_VARIABLE = "PITIKIT_MAX_PIXELS"
"""Environment variable: the largest image that is read, in pixels; by default Pillow's limit, 178,956,970."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIGNATURES = (_PNG_SIGNATURE, b"\xff\xd8\xff", b"GIF8", b"II*\0", b"MM\0*")
# Chunks of a PNG that its pixels depend on, besides the critical ones (a capital letter); eXIf has the orientation.
_PIXEL_CHUNKS = (b"tRNS", b"acTL", b"fcTL", b"fdAT", b"eXIf")
_WHOLE = ("a whole file", "copy or download it again")
_BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error)
_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "I", "I;16", "F")
# Modes that would lose values on their way to RGB.
_SIBLINGS = {"I;16L": "I;16", "I;16B": "I", "I;16N": "I", "RGBa": "RGBA", "La": "LA", "PA": "RGBA"}
_WIDE = ("I;16", "I", "F")
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
SIDEWAYS = frozenset({5, 6, 7, 8})
"""EXIF orientations that exchange width and height."""
_limit_lock = threading.Lock()


class Decoded(NamedTuple):
    """An image, upright, and how its file stores it.

    Attributes:
        image: of mode 1, L, LA, P, RGB, RGBA, I, I;16 or F.
        bits: per channel, as stored; Pillow cuts colours of 16 bits to 8.
        scale: factor from the values of ``image`` to those stored: Pillow stretches grey of 2 or 4 bits, and of a
            PGM with another maximum, to the whole range.
        lossy: name of a compression that changes values; '' for none.
        path: the file; None for an image in memory.
    """

    image: Image.Image
    bits: int
    scale: float
    lossy: str
    path: Path | None

    def stored(self) -> np.ndarray:
        """The values as the file stores them: indices of a palette, grey values that are not stretched."""
        values = np.asarray(self.image)
        return values if self.scale == 1 else np.rint(values * self.scale).astype(values.dtype)


def decode(source: Source) -> Decoded:
    """Read a file or an image in memory, rotated by its EXIF orientation.

    Raises:
        DataError: a missing, foreign or broken file, more pixels than :data:`LIMIT_VARIABLE` allows, or an animation.
        ValueError: :data:`LIMIT_VARIABLE` is no number.
    """
    if isinstance(source, Image.Image):
        return _in_memory(source)
    path = Path(source)
    try:
        with open(path, "rb") as stream:
            head = stream.read(len(_PNG_SIGNATURE))
            try:
                return _decoded(_open(stream, path), stream, path)
            except (UnidentifiedImageError, *_BROKEN):
                if not head.startswith(_PNG_SIGNATURE):
                    raise
                stream.seek(0)
                bare = io.BytesIO(_without_metadata(stream.read()))
                return _decoded(_open(bare, path), bare, path)
    except DataError:
        raise
    except FileNotFoundError:
        raise DataError("no such file", "an image", "check the root and the path template", path) from None
    except UnidentifiedImageError:
        wanted = "a JPEG, PNG, WebP, GIF, BMP or TIFF"
        if not head:
            raise DataError("an empty file", wanted, path=path) from None
        if head.startswith(_SIGNATURES):
            raise DataError("an image that cannot be decoded", *_WHOLE, path=path) from None
        raise DataError("a file that is no image (or one of an unknown format)", wanted, path=path) from None
    except _BROKEN as error:
        raise DataError(f"an image that cannot be decoded ({error})", *_WHOLE, path=path) from error


def _in_memory(image: Image.Image) -> Decoded:
    try:
        return _decoded(image, None, None)
    except DataError:
        raise
    except _BROKEN as error:
        raise DataError(f"an image that cannot be read ({error})", "a whole one") from error


def _open(stream: IO[bytes], path: Path) -> Image.Image:
    """The image of a stream, not decoded yet; DataError for one that is too large."""
    own, pillows = pixel_limit(), Image.MAX_IMAGE_PIXELS
    limit = own if own is not None or pillows is None else 2 * pillows
    try:
        image: Image.Image = Image.open(stream)
    except Image.DecompressionBombError:
        stream.seek(0)
        image = _open_any_size(stream)
    if limit is not None and image.width * image.height > limit:
        raise DataError(
            f"an image of {image.width}×{image.height} pixels, too large",
            f"at most {limit:,} pixels",
            f"reduce it, or set {LIMIT_VARIABLE}={image.width * image.height} if the file can be trusted",
            path,
        )
    return image


def _open_any_size(stream: IO[bytes]) -> Image.Image:
    with _limit_lock:
        Image.MAX_IMAGE_PIXELS, before = None, Image.MAX_IMAGE_PIXELS
        try:
            return Image.open(stream)
        finally:
            Image.MAX_IMAGE_PIXELS = before


def pixel_limit() -> int | None:
    """Pixels that an image may have: the number in :data:`LIMIT_VARIABLE`, None where that is not set.

    Raises:
        ValueError: it is no number of pixels.
    """
    given = os.environ.get(LIMIT_VARIABLE, "").strip()
    if not given:
        return None
    if not given.isdecimal() or int(given) < 1:
        raise ValueError(f"{LIMIT_VARIABLE}: got {given!r}, expected a number of pixels, such as 500000000")
    return int(given)


def _decoded(image: Image.Image, stream: IO[bytes] | None, path: Path | None) -> Decoded:
    # The second image of an MPO is a preview, or the other view of a stereo pair.
    frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
    bits, scale = _storage(image)
    lossy = _lossy(image, stream)
    image.load()
    if frames > 1:
        raise DataError(f"an animation or a stack of {frames} images", "one image", "save one of them alone", path)
    image = upright(image)
    mode = image.mode if image.mode in _MODES else _SIBLINGS.get(image.mode, "RGB")
    image = image if image.mode == mode else image.convert(mode)
    return Decoded(image, bits or (16 if mode in _WIDE else 8), scale, lossy, path)


def upright(image: Image.Image) -> Image.Image:
    """An image rotated by its EXIF orientation; metadata that cannot be read are ignored."""
    # Pillow rotates a TIFF itself when it decodes it.
    image.load()
    turn = _TURNS.get(exif_orientation(image))
    if turn is None:
        return image
    turned = image.transpose(turn)
    # A second call must not rotate it again. Pillow writes EXIF for that, which fails where a value is broken.
    for key in ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp"):
        turned.info.pop(key, None)
    return turned


def exif_orientation(image: Image.Image) -> int:
    """EXIF orientation of an image, 1 to 8; 1, as it is, where there is none or it is broken."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # Pillow's parser fails in any way at bytes that are no EXIF.
        return 1
    return value if isinstance(value, int) and value in _TURNS else 1


def orientation_of(path: str | Path) -> int:
    """EXIF orientation of a file, 1 to 8; 1, as it is, where there is none or the file is no image."""
    try:
        with open(path, "rb") as stream:
            return exif_orientation(_open(stream, Path(path)))
    except (DataError, UnidentifiedImageError, *_BROKEN):
        return 1


def lossy_format(path: str | Path) -> str:
    """Name of the compression of a file, if it changes values; '' for none, and for what is no image."""
    try:
        with open(path, "rb") as stream:
            return _lossy(_open(stream, Path(path)), stream)
    except (DataError, UnidentifiedImageError, *_BROKEN):
        return ""


def _storage(image: Image.Image) -> tuple[int, float]:
    """Bits per channel as stored (0: those of the mode), and the factor from Pillow's values to those stored."""
    tiles = getattr(image, "tile", None)
    file = getattr(image, "filename", None)
    if not tiles and image.format in ("PNG", "TIFF", "PPM") and file and Path(os.fsdecode(file)).is_file():
        # The image was decoded before it was given to us, which leaves no trace of how it is stored.
        with Image.open(file) as again:
            return _storage(again)
    given: Any = tiles[0].args if tiles else ""
    arguments = given if isinstance(given, tuple) else (given,)
    if image.format == "PPM" and len(arguments) > 1 and image.mode in ("L", "I"):
        return 0, int(arguments[1]) / (255 if image.mode == "L" else 65535)
    found = re.search(r";(\d+)", str(arguments[0])) if image.format in ("PNG", "TIFF") and arguments else None
    bits = int(found[1]) if found else 0
    return bits, (2**bits - 1) / 255 if image.mode == "L" and 1 < bits < 8 else 1.0


def _lossy(image: Image.Image, stream: IO[bytes] | None) -> str:
    """Name of the compression, if it changes values."""
    if image.format in ("JPEG", "MPO"):
        return "JPEG"
    if image.format == "TIFF" and "jpeg" in str(image.info.get("compression", "")):
        return "JPEG within TIFF"
    if image.format == "WEBP":
        return "lossy WebP" if _is_lossy_webp(image, stream) else ""
    return image.format if image.format in ("AVIF", "HEIF") else ""


def _is_lossy_webp(image: Image.Image, stream: IO[bytes] | None) -> bool:
    """True for a WebP that is compressed by VP8, or in memory without a trace of its compression."""
    file = getattr(image, "filename", None)
    if stream is None and file and Path(os.fsdecode(file)).is_file():
        with open(file, "rb") as again:
            return _is_lossy_webp(image, again)
    stream = stream if stream is not None else getattr(image, "fp", None)
    if stream is None or stream.closed or not stream.seekable():
        return True
    place = stream.seek(0, os.SEEK_CUR)
    stream.seek(0)
    # RIFF, size, WEBP; then chunks, of which a frame of an animation holds more.
    name, at = stream.read(12)[8:], 12
    while name and name not in (b"VP8 ", b"VP8L"):
        stream.seek(at)
        name, size = stream.read(4), int.from_bytes(stream.read(4), "little")
        at += 8 + (16 if name == b"ANMF" else size + size % 2)
    stream.seek(place)
    return name != b"VP8L"


def _without_metadata(data: bytes) -> bytes:
    """A PNG without the chunks that its pixels do not depend on, which Pillow refuses when they are broken."""
    kept, at = [_PNG_SIGNATURE], len(_PNG_SIGNATURE)
    while at + 12 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        chunk = data[at : at + 12 + size]
        name = chunk[4:8]
        whole = zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
        if name[:1].isupper() or (name in _PIXEL_CHUNKS and (whole or name != b"eXIf")):
            kept.append(chunk)
        at += 12 + size
    return b"".join([*kept, data[at:]])


def opaque(image: Image.Image, path: Path | None) -> Image.Image:
    """Remove an alpha channel that hides nothing; DataError for one that hides something."""
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode not in ("RGBA", "LA"):
        return image
    low = np.asarray(image.getchannel("A")).min()
    if low < 255:
        raise DataError(
            f"an alpha channel with values down to {low}",
            "an opaque image",
            "flatten it onto a background",
            path,
        )
    return image.convert("L" if image.mode == "LA" else "RGB")
