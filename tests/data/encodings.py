"""One grey map and one colour image, in every encoding that changes none of their values."""

import struct
import zlib

import numpy as np
from PIL import Image

RNG = np.random.default_rng(0)


def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_grey(ids, bits):
    """A grey PNG of 1, 2 or 4 bits, which Pillow does not write."""
    per = 8 // bits
    rows = b""
    for row in ids:
        padded = np.pad(row, (0, -len(row) % per)).reshape(-1, per).astype(int)
        rows += b"\0" + bytes(sum(v << (8 - bits * (i + 1)) for i, v in enumerate(p)) for p in padded)
    header = struct.pack(">IIBBBBB", ids.shape[1], ids.shape[0], bits, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def optimised(grey):
    """A palette image of the greys that occur, from bright to dark, as oxipng and optipng make it."""
    values = np.unique(grey)[::-1]
    image = Image.new("P", grey.shape[::-1])
    image.putdata((len(values) - 1 - np.searchsorted(values[::-1], grey)).ravel().tolist())
    image.putpalette(np.repeat(values, 3).tolist())
    return image


def save_grey(folder, grey):
    """Files of the grey map (H, W) uint8, by the name of the encoding."""
    image = Image.fromarray(grey)
    colour = np.repeat(grey[..., None], 3, 2)
    rgba = np.concatenate([colour, np.full_like(colour[..., :1], 255)], 2)
    made = {
        "grey.png": image,
        "grey.bmp": image,
        "grey.tif": image,
        "grey.pgm": image,
        "grey.gif": image,
        "palette.png": optimised(grey),
        "palette.gif": optimised(grey),
        "palette.bmp": optimised(grey),
        "palette.tif": optimised(grey),
        "la.png": Image.fromarray(rgba[..., 2:].copy()),
        "rgb.png": Image.fromarray(colour),
        "rgb.bmp": Image.fromarray(colour),
        "rgba.png": Image.fromarray(rgba),
        "rgba.tif": Image.fromarray(rgba),
    }
    for name, each in made.items():
        each.save(folder / name)
    Image.fromarray(colour).save(folder / "lossless.webp", lossless=True)
    Image.fromarray(rgba).save(folder / "alpha.webp", lossless=True)
    # Metadata make a WebP of several chunks.
    Image.fromarray(colour).save(folder / "extended.webp", lossless=True, exif=Image.Exif().tobytes() + bytes(7))
    np.save(folder / "grey.npy", grey)
    np.save(folder / "column.npy", grey[..., None])
    np.save(folder / "channels.npy", colour)
    return sorted(path for path in folder.iterdir())
