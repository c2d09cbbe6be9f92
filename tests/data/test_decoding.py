"""Files to upright pixels, whatever their metadata."""

import io
import struct

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from pitikit.data.decoding import decode, lossy_format, opaque, orientation_of, upright
from pitikit.data.errors import DataError
from tests.data.encodings import chunk

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
IDS = RNG.integers(0, 4, (20, 30), dtype=np.uint8)


def turned(orientation, **more):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.update(more)
    return exif


def stored(path, array, **options):
    Image.fromarray(array).save(path, **options)
    return path


def right(array, orientation):
    """The array as a viewer shows it."""
    flips = {1: 0, 2: np.fliplr, 3: lambda a: a[::-1, ::-1], 4: np.flipud, 5: lambda a: np.swapaxes(a, 0, 1)}
    flips |= {6: lambda a: np.rot90(a, -1), 7: lambda a: np.swapaxes(a[::-1, ::-1], 0, 1), 8: np.rot90}
    return flips[orientation](array) if orientation > 1 else array


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "tif", "webp"])
def test_every_orientation_is_applied_once(tmp_path, orientation, suffix):
    options = dict(lossless=True) if suffix == "webp" else {}
    path = stored(tmp_path / f"a.{suffix}", PHOTO, exif=turned(orientation), **options)
    wanted = right(PHOTO, orientation)
    assert orientation_of(path) == orientation
    assert np.array_equal(decode(path).stored(), wanted)
    once = upright(Image.open(path))
    assert np.array_equal(np.asarray(once), wanted) and upright(once) is once
    assert np.array_equal(decode(Image.open(path)).stored(), wanted)


def test_lossy_formats_are_known_without_the_pixels(tmp_path):
    image = Image.new("RGB", (16, 16))
    # The suffix does not count.
    for name, options, expected in (
        ("a.png", dict(format="JPEG"), "JPEG"),
        ("b.webp", dict(quality=50), "lossy WebP"),
        ("c.webp", dict(lossless=True), ""),
        ("d.png", {}, ""),
    ):
        image.save(tmp_path / name, **options)
        assert lossy_format(tmp_path / name) == expected
    (tmp_path / "e.jpg").write_bytes(b"")
    assert lossy_format(tmp_path / "e.jpg") == "" == lossy_format(tmp_path / "nowhere.jpg")


def test_sixteen_bits_are_rotated_too(tmp_path):
    values = IDS.astype(np.uint16) * 300
    for kind, name in (("I;16", "little.tif"), ("I;16B", "big.tif")):
        data = values.astype(">u2" if kind == "I;16B" else "<u2").tobytes()
        Image.frombytes(kind, IDS.shape[::-1], data).save(tmp_path / name, exif=turned(6))
        assert np.array_equal(decode(tmp_path / name).stored(), np.rot90(values, -1)), name


def with_chunk(path, name, body, broken=False):
    """Put a chunk after the header of a PNG, with a wrong checksum if ``broken``."""
    data = path.read_bytes()
    made = chunk(name, body)
    path.write_bytes(data[:33] + (made[:-4] + b"\0\1\2\3" if broken else made) + data[33:])
    return path


METADATA = {
    "exif": (b"eXIf", b"garbage"),
    "empty exif": (b"eXIf", b""),
    "half exif": (b"eXIf", b"MM\0*\0\0\0\x08\0\x05\x01\x12"),
    "profile": (b"iCCP", b"name\0\x07nothing"),
    "no profile": (b"iCCP", b""),
    "text": (b"zTXt", b"key\0\x09text"),
    "bad deflate": (b"iTXt", b"key\0\1\0\0\0nothing"),
    "resolution": (b"pHYs", b"\0\0"),
    "colours": (b"gAMA", b""),
    "raw exif": (b"tEXt", b"Raw profile type exif\0\nexif\n      9\nxyz not hex"),
    "unknown": (b"prVt", b"anything"),
}


@pytest.mark.parametrize("broken", [False, True], ids=["checksum", "wrong checksum"])
@pytest.mark.parametrize("name", METADATA)
def test_broken_metadata_of_a_png_are_ignored(tmp_path, name, broken):
    path = with_chunk(stored(tmp_path / "a.png", IDS), *METADATA[name], broken)
    assert np.array_equal(decode(path).stored(), IDS)


def test_a_png_with_broken_metadata_keeps_what_its_pixels_need(tmp_path):
    path = stored(tmp_path / "a.png", IDS, exif=turned(6))
    assert np.array_equal(decode(with_chunk(path, b"zTXt", b"key\0\x09text")).stored(), np.rot90(IDS, -1))
    palette = Image.fromarray(IDS).convert("P")
    palette.save(tmp_path / "p.png", transparency=1)
    image = decode(with_chunk(tmp_path / "p.png", b"pHYs", b"")).image
    with pytest.raises(DataError, match="alpha"):
        opaque(image, None)
    Image.fromarray(IDS).save(tmp_path / "a.png", save_all=True, append_images=[Image.fromarray(IDS[::-1].copy())])
    with pytest.raises(DataError, match="2 images"):
        decode(with_chunk(tmp_path / "a.png", b"pHYs", b""))


def test_broken_pixels_stay_an_error(tmp_path):
    path = with_chunk(stored(tmp_path / "a.png", PHOTO), b"pHYs", b"")
    data = path.read_bytes()
    for cut in (len(data) // 2, 50, 30):
        path.write_bytes(data[:cut])
        with pytest.raises(DataError, match=r"a\.png: found an image that cannot be decoded"):
            decode(path)
    # A wrong checksum of the pixels.
    path.write_bytes(data[:-20] + b"\1\2\3\4" + data[-16:])
    with pytest.raises(DataError, match=r"a\.png"):
        decode(path)


def exif_of(entries):
    """EXIF of (tag, type, count, value) whose values are made of bytes, so that they can be broken."""
    head = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries))
    after, rows = 8 + 2 + 12 * len(entries) + 4, b""
    extra = b""
    for tag, kind, count, value in entries:
        place = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", after + len(extra))
        extra += value if len(value) > 4 else b""
        rows += struct.pack("<HHI", tag, kind, count) + place
    return head + rows + bytes(4) + extra


@pytest.mark.parametrize(
    ("entry", "orientation"),
    [
        ((0x011B, 11, 1, struct.pack("<f", float("nan"))), 6),
        ((0x011B, 5, 1, struct.pack("<II", 0, 0)), 6),
        ((0x011A, 5, 1, struct.pack("<II", 1, 0)), 6),
        ((0x8769, 4, 1, struct.pack("<I", 99999)), 6),
        ((0x8825, 4, 1, struct.pack("<I", 8)), 6),
        ((0x010F, 2, 4000, b"maker"), 6),
        ((0x0112, 3, 1, struct.pack("<H", 77)), 1),
        ((0x0112, 2, 3, b"up\0"), 1),
        ((0x0112, 11, 1, struct.pack("<f", float("nan"))), 1),
    ],
)
@pytest.mark.parametrize("suffix", ["jpg", "webp"])
def test_broken_values_of_exif_are_ignored(tmp_path, suffix, entry, orientation):
    entries = [(0x0112, 3, 1, struct.pack("<H", 6))] if entry[0] != 0x0112 else []
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(PHOTO).save(path, exif=exif_of(sorted([*entries, entry])))
    plain = stored(tmp_path / f"plain.{suffix}", PHOTO)
    wanted = right(np.asarray(Image.open(plain)), orientation)
    assert np.array_equal(decode(path).stored(), wanted)
    assert np.array_equal(decode(Image.open(path)).stored(), wanted)


def test_a_broken_profile_or_comment_of_a_jpeg_is_ignored(tmp_path):
    for options in (dict(icc_profile=b"no profile"), dict(exif=b"Exif\0\0garbage"), dict(xmp=b"\xff\xfe<"), {}):
        path = stored(tmp_path / "a.jpg", PHOTO, comment=b"\xff\xfe\0", **options)
        assert decode(path).stored().shape == PHOTO.shape


def test_long_texts_of_a_png_are_ignored(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("history", "edited " * 400_000, zip=True)
    path = stored(tmp_path / "a.png", IDS, pnginfo=info)
    assert np.array_equal(decode(path).stored(), IDS)


def test_an_image_that_is_too_large_has_its_own_message(tmp_path, monkeypatch):
    path = stored(tmp_path / "a.png", PHOTO)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 299)
    with pytest.raises(
        DataError, match=r"a\.png: found an image of 30×20 pixels, too large; expected at most 598 pix"
    ) as e:
        decode(path)
    assert "download" not in str(e.value) and Image.MAX_IMAGE_PIXELS == 299
    # Following the advice reads it.
    name, value = str(e.value).split("set ")[1].split(" ")[0].split("=")
    monkeypatch.setenv(name, value)
    assert np.array_equal(decode(path).stored(), PHOTO)
    monkeypatch.setenv(name, "599")
    with pytest.raises(DataError, match="at most 599 pixels"):
        decode(path)
    monkeypatch.setenv(name, "many")
    with pytest.raises(ValueError, match="PITIKIT_MAX_PIXELS: got 'many', expected a number of pixels"):
        decode(path)
    monkeypatch.setenv(name, "")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert np.array_equal(decode(path).stored(), PHOTO)


def test_a_webp_in_memory_has_to_show_that_it_is_lossless(tmp_path):
    grey = np.repeat(IDS[..., None], 3, 2)
    for lossless, name in ((True, ""), (False, "lossy WebP")):
        data = io.BytesIO()
        Image.fromarray(grey).save(data, "WEBP", lossless=lossless)
        image = Image.open(data)
        assert decode(image).lossy == name
        # Decoded already, and without a file: it may be either.
        assert decode(image).lossy == "lossy WebP"
        (tmp_path / "a.webp").write_bytes(data.getvalue())
        assert decode(tmp_path / "a.webp").lossy == decode(Image.open(tmp_path / "a.webp")).lossy == name


def test_orientation_of_what_is_no_image(tmp_path):
    np.save(tmp_path / "a.npy", IDS)
    (tmp_path / "a.txt").write_text("a text")
    assert [orientation_of(tmp_path / name) for name in ("a.npy", "a.txt", "gone.png")] == [1, 1, 1]
