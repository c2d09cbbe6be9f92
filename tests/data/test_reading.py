"""Files that are read right, and files that are refused."""

import cv2
import numpy as np
import pytest
from PIL import Image

from pitikit.data.errors import DataError
from pitikit.data.reading import as_ids, read_depth, read_grey, read_ids, read_image, read_normals, read_valid
from tests.data.encodings import png_grey, save_grey

RNG = np.random.default_rng(0)
PHOTO = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
IDS = RNG.integers(0, 4, (20, 30), dtype=np.uint8)


def save(path, array, mode=None, **kwargs):
    image = Image.fromarray(array)
    (image.convert(mode) if mode else image).save(path, **kwargs)
    return path


def test_image_modes_become_rgb(tmp_path):
    assert np.array_equal(read_image(save(tmp_path / "rgb.png", PHOTO)), PHOTO)
    grey = read_image(save(tmp_path / "grey.jpg", PHOTO[..., 0]))
    assert grey.shape == (20, 30, 3) and np.array_equal(grey[..., 0], grey[..., 2])
    assert read_image(save(tmp_path / "cmyk.jpg", PHOTO, "CMYK")).shape == (20, 30, 3)
    assert read_image(save(tmp_path / "palette.png", PHOTO, "P")).shape == (20, 30, 3)


def test_exif_orientation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / "turned.png", PHOTO, exif=exif)
    assert np.array_equal(read_image(path), np.rot90(PHOTO, -1))
    assert np.allclose((read_normals(path) + 1) * 127.5, np.rot90(PHOTO, -1), atol=1e-3)
    path = save(tmp_path / "grey.png", IDS, exif=exif)
    assert np.array_equal(read_ids(path), np.rot90(IDS, -1)) and np.array_equal(read_grey(path), np.rot90(IDS, -1))
    path = save(tmp_path / "deep.png", IDS.astype(np.uint16) * 100, exif=exif)
    assert np.array_equal(read_depth(path), np.rot90(IDS * np.int32(100), -1))
    with pytest.raises(DataError, match="JPEG"):
        read_ids(save(tmp_path / "lossy.jpg", IDS, exif=exif))


def test_opaque_alpha_is_dropped_and_other_alpha_refused(tmp_path):
    alpha = np.full((20, 30, 1), 255, np.uint8)
    path = save(tmp_path / "opaque.png", np.concatenate([PHOTO, alpha], 2))
    assert np.array_equal(read_image(path), PHOTO)
    alpha[3, 4] = 7
    path = save(tmp_path / "holes.png", np.concatenate([PHOTO, alpha], 2))
    with pytest.raises(DataError, match=r"holes\.png.*alpha.*7"):
        read_image(path)


def test_sixteen_bits_are_refused_where_eight_are_expected(tmp_path):
    cv2.imwrite(str(tmp_path / "grey16.png"), IDS.astype(np.uint16) * 9000)
    # Pillow alone would cut these to their upper bytes without a word.
    cv2.imwrite(str(tmp_path / "rgb16.png"), PHOTO.astype(np.uint16) * 257)
    for name in ("grey16.png", "rgb16.png"):
        with pytest.raises(DataError, match="16 bits"):
            read_image(tmp_path / name)
    with pytest.raises(DataError, match="16 bits"):
        read_grey(tmp_path / "grey16.png")


@pytest.mark.parametrize("keep", [0, 10, 300])
@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_truncated_files_are_named(tmp_path, keep, kind):
    path = save(tmp_path / f"cut.{kind}", PHOTO)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(DataError, match=rf"cut\.{kind}"):
        read_image(path)


def test_foreign_and_missing_files_are_named(tmp_path):
    (tmp_path / "text.png").write_text("not an image")
    with pytest.raises(DataError, match=r"text\.png.*no image"):
        read_image(tmp_path / "text.png")
    with pytest.raises(DataError, match=r"gone\.png.*no such file"):
        read_image(tmp_path / "gone.png")


def test_palette_images_are_read_as_ids(tmp_path):
    image = Image.fromarray(IDS).convert("P")
    image.putdata(IDS.ravel().tolist())
    image.putpalette([200, 10, 10, 10, 200, 10, 10, 10, 200, 90, 90, 90])
    image.save(tmp_path / "p.png")
    assert np.array_equal(read_ids(tmp_path / "p.png"), IDS)
    image.save(tmp_path / "p2.png", bits=2)
    assert np.array_equal(read_ids(tmp_path / "p2.png"), IDS)


@pytest.mark.parametrize("bits", [2, 4])
def test_ids_of_few_bits_are_not_stretched(tmp_path, bits):
    (tmp_path / "few.png").write_bytes(png_grey(IDS, bits))
    assert np.array_equal(read_ids(tmp_path / "few.png"), IDS)
    opened = Image.open(tmp_path / "few.png")
    assert np.array_equal(read_ids(opened), IDS)
    # What has been decoded before no longer shows how it was stored, but has its file.
    opened.load()
    assert np.array_equal(read_ids(opened), IDS)


def pgm(path, values, maximum):
    kind = ">u2" if maximum > 255 else "u1"
    path.write_bytes(b"P5 %d %d %d\n" % (*values.shape[::-1], maximum) + values.astype(kind).tobytes())
    return path


@pytest.mark.parametrize("maximum", [3, 20, 255, 700, 65535])
def test_a_pgm_is_not_stretched_to_its_maximum(tmp_path, maximum):
    path = pgm(tmp_path / "m.pgm", IDS, maximum)
    assert np.array_equal(read_ids(path), IDS) and np.array_equal(read_ids(Image.open(path)), IDS)
    if maximum > 255:
        metres = (IDS * np.int32(maximum)) // 3
        assert np.array_equal(read_depth(pgm(tmp_path / "d.pgm", metres, maximum)), metres)


@pytest.mark.parametrize("values", [(0, 1, 4, 5, 9), (0, 255), (7, 200)])
def test_ids_are_the_same_in_every_encoding_without_loss(tmp_path, values):
    ids = np.array(values, np.uint8)[RNG.integers(0, len(values), (20, 30))]
    for path in save_grey(tmp_path, ids):
        assert read_ids(path).dtype == np.uint8 and np.array_equal(read_ids(path), ids), path.name
        if path.suffix != ".npy":
            assert np.array_equal(read_ids(Image.open(path)), ids), path.name


def test_edges_are_the_same_in_every_encoding_without_loss(tmp_path):
    edges = (IDS > 2).astype(np.uint8) * 255
    for path in save_grey(tmp_path, edges):
        assert np.array_equal(read_grey(path), edges), path.name
    (tmp_path / "bit.png").write_bytes(png_grey(edges // 255, 1))
    assert np.array_equal(read_grey(tmp_path / "bit.png"), edges)
    for probabilities in (edges > 0, edges / np.float32(255)):
        np.save(tmp_path / "p.npy", probabilities)
        assert np.array_equal(read_grey(tmp_path / "p.npy"), probabilities)


def test_photographs_and_normals_are_the_same_in_every_encoding_without_loss(tmp_path):
    few = RNG.integers(0, 256, (60, 3), dtype=np.uint8)[RNG.integers(0, 60, (20, 30))]
    rgba = np.concatenate([few, np.full_like(few[..., :1], 255)], 2)
    for name in ("a.png", "a.bmp", "a.tif"):
        Image.fromarray(few).save(tmp_path / name)
    Image.fromarray(rgba).save(tmp_path / "rgba.png")
    Image.fromarray(few).save(tmp_path / "a.webp", lossless=True)
    Image.fromarray(few).quantize(64, dither=Image.Dither.NONE).save(tmp_path / "palette.png")
    assert Image.open(tmp_path / "palette.png").mode == "P"
    for path in tmp_path.iterdir():
        assert np.array_equal(read_image(path), few), path.name
        assert np.allclose((read_normals(path) + 1) * 127.5, few, atol=1e-3), path.name
    np.save(tmp_path / "a.npy", few)
    assert np.array_equal(read_image(tmp_path / "a.npy"), few)
    (tmp_path / "grey").mkdir()
    for path in save_grey(tmp_path / "grey", IDS):
        assert np.array_equal(read_image(path), np.repeat(IDS[..., None], 3, 2)), path.name
    np.save(tmp_path / "a.npy", few / np.float32(255))
    with pytest.raises(DataError, match=r"a\.npy.*\(20, 30, 3\), float32.*RGB uint8"):
        read_image(tmp_path / "a.npy")


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint8, np.int16, np.uint16, np.int32, np.uint32, np.int64])
def test_arrays_of_ids(tmp_path, dtype):
    ids = (IDS % 2 if dtype is bool else IDS).astype(dtype)
    np.save(tmp_path / "m.npy", ids)
    found = read_ids(tmp_path / "m.npy")
    assert found.dtype == np.uint8 and np.array_equal(found, ids)
    np.save(tmp_path / "m.npy", ids.T)
    assert np.array_equal(read_ids(tmp_path / "m.npy"), ids.T)


def test_arrays_that_are_no_ids(tmp_path):
    negative = np.array([[-1, 300]])
    assert as_ids(negative).dtype == np.int32 and np.array_equal(as_ids(negative), negative)
    wrong = {
        r"float32; expected integer ids \(H, W\)\. cast whole numbers": IDS.astype(np.float32),
        "complex": IDS.astype(complex),
        "shape \\(0, 4\\)": np.zeros((0, 4), int),
        "3 channels that differ; .*convert the colours to ids": PHOTO,
        "shape .20, 30, 2.": np.stack([IDS, IDS], 2),
        "ids from 0 to 70000; expected ids from 0 to 65535": np.array([[0, 70000]]),
        "ids from -2147483648": np.array([[-(2**31), 0]]),
    }
    for words, array in wrong.items():
        np.save(tmp_path / "m.npy", array)
        with pytest.raises(DataError, match=rf"m\.npy: found .*{words}"):
            read_ids(tmp_path / "m.npy")
    np.save(tmp_path / "m.npy", np.array([{}]), allow_pickle=True)
    with pytest.raises(DataError, match=r"m\.npy: found an array that cannot be read"):
        read_ids(tmp_path / "m.npy")


def test_ids_of_one_and_sixteen_bits(tmp_path):
    save(tmp_path / "one.png", IDS > 1)
    assert np.array_equal(read_ids(tmp_path / "one.png"), IDS > 1)
    save(tmp_path / "many.png", IDS.astype(np.uint16) * 100)
    ids = read_ids(tmp_path / "many.png")
    assert ids.dtype == np.uint16 and np.array_equal(ids, IDS.astype(np.uint16) * 100)


def test_colour_and_lossy_label_maps_are_refused(tmp_path):
    with pytest.raises(DataError, match="3 channels"):
        read_ids(save(tmp_path / "colours.png", PHOTO))
    with pytest.raises(DataError, match="JPEG"):
        read_ids(save(tmp_path / "lossy.jpg", IDS))
    grey = np.repeat(IDS[..., None], 3, 2)
    lossy = {"lossy WebP": ("l.webp", {}), "JPEG within TIFF": ("l.tif", dict(compression="jpeg"))}
    exif = Image.Exif()
    exif[0x0131] = "a program"
    lossy["lossy WebP changes ids"] = ("extended.webp", dict(exif=exif))
    for words, (name, options) in lossy.items():
        path = save(tmp_path / name, grey, **options)
        for source in (path, Image.open(path)):
            with pytest.raises(DataError, match=f"{words}.*save the map as PNG"):
                read_ids(source)


def test_sixteen_bits_in_several_channels_are_no_ids(tmp_path):
    # Pillow would cut them to their upper bytes.
    cv2.imwrite(str(tmp_path / "rgb16.png"), np.repeat(IDS[..., None], 3, 2).astype(np.uint16) * 300)
    for source in (tmp_path / "rgb16.png", Image.open(tmp_path / "rgb16.png")):
        with pytest.raises(DataError, match="3 channels of 16 bits"):
            read_ids(source)
    cv2.imwrite(str(tmp_path / "rgb16.tif"), PHOTO.astype(np.uint16) * 257)
    with pytest.raises(DataError, match="16 bits"):
        read_image(tmp_path / "rgb16.tif")


def test_ids_of_sixteen_bits_in_any_byte_order(tmp_path):
    ids = IDS.astype(np.uint16) * 300
    Image.fromarray(ids).save(tmp_path / "little.tif")
    Image.frombytes("I;16B", IDS.shape[::-1], ids.astype(">u2").tobytes()).save(tmp_path / "big.tif")
    for name in ("little.tif", "big.tif"):
        image = Image.open(tmp_path / name)
        assert np.array_equal(read_ids(tmp_path / name), ids) and np.array_equal(read_ids(image), ids)


def test_edge_maps_of_equal_channels(tmp_path):
    grey = (IDS > 2).astype(np.uint8) * 255
    path = save(tmp_path / "edges.png", np.repeat(grey[..., None], 3, 2))
    assert np.array_equal(read_grey(path), grey)
    with pytest.raises(DataError, match="colour"):
        read_grey(save(tmp_path / "photo.png", PHOTO))
    np.save(tmp_path / "photo.npy", PHOTO)
    with pytest.raises(DataError, match="colour"):
        read_grey(tmp_path / "photo.npy")


def test_depth_files(tmp_path):
    millimetres = IDS.astype(np.uint16) * 1000
    assert np.array_equal(read_depth(save(tmp_path / "d.png", millimetres)), millimetres)
    np.save(tmp_path / "d.npy", millimetres / np.float32(1000))
    assert read_depth(tmp_path / "d.npy").dtype == np.float32
    save(tmp_path / "f.tiff", millimetres.astype(np.float32))
    assert np.array_equal(read_depth(tmp_path / "f.tiff"), millimetres)
    with pytest.raises(DataError, match="8-bit"):
        read_depth(save(tmp_path / "eight.png", IDS))
    with pytest.raises(DataError, match="3 channels"):
        read_depth(save(tmp_path / "jet.png", PHOTO))
    np.save(tmp_path / "three.npy", np.zeros((4, 4, 3)))
    with pytest.raises(DataError, match=r"three\.npy"):
        read_depth(tmp_path / "three.npy")
    np.save(tmp_path / "whole.npy", np.zeros((4, 4)))
    whole = (tmp_path / "whole.npy").read_bytes()
    # Another file, none, an archive cut short, an array cut short, a header that states an impossible size.
    huge = whole.replace(b"(4, 4)", b"(4444444, 4444444)").replace(b" " * 12 + b"\n", b"\n")
    for content in (b"nothing", b"", b"PK\x03\x04", whole[:-5], whole[:40], huge):
        (tmp_path / "bad.npy").write_bytes(content)
        with pytest.raises(DataError, match=r"bad\.npy"):
            read_depth(tmp_path / "bad.npy")


def test_normal_files(tmp_path):
    normals = read_normals(save(tmp_path / "n.png", PHOTO))
    assert np.abs((normals + 1) * 127.5 - PHOTO).max() < 1e-3
    np.save(tmp_path / "n.npy", normals)
    assert np.array_equal(read_normals(tmp_path / "n.npy"), normals)
    with pytest.raises(DataError, match="1 channels"):
        read_normals(save(tmp_path / "grey.png", IDS))
    np.save(tmp_path / "texts.npy", np.zeros((4, 4, 3), "U3"))
    with pytest.raises(DataError, match=r"texts\.npy.*<U3; expected normals"):
        read_normals(tmp_path / "texts.npy")


def test_files_of_valid_pixels(tmp_path):
    valid = IDS > 2
    for value in (1, 255):
        assert np.array_equal(read_valid(save(tmp_path / "v.png", valid.astype(np.uint8) * np.uint8(value))), valid)
        np.save(tmp_path / "v.npy", valid[..., None] * float(value))
        assert np.array_equal(read_valid(tmp_path / "v.npy"), valid)
    Image.fromarray(valid).save(tmp_path / "bits.png")
    assert np.array_equal(read_valid(tmp_path / "bits.png"), valid)
    for wrong in (save(tmp_path / "ids.png", IDS), save(tmp_path / "photo.png", PHOTO)):
        with pytest.raises(DataError, match=wrong.name):
            read_valid(wrong)


@pytest.mark.parametrize("reader", [read_image, read_ids, read_grey])
def test_an_animation_is_not_one_image(tmp_path, reader):
    frames = [Image.fromarray(IDS), Image.fromarray(IDS[::-1].copy())]
    for name in ("a.gif", "a.png", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        with pytest.raises(DataError, match="2 images; expected one image"):
            reader(tmp_path / name)
    frames[0].save(tmp_path / "one.gif")
    assert reader(tmp_path / "one.gif").shape[:2] == IDS.shape


def test_a_phone_keeps_a_second_image_in_its_jpeg(tmp_path):
    frames = [Image.fromarray(PHOTO), Image.fromarray(PHOTO[::2, ::2].copy())]
    frames[0].save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=frames[1:])
    assert Image.open(tmp_path / "a.jpg").n_frames == 2
    assert read_image(tmp_path / "a.jpg").shape == PHOTO.shape


def test_what_is_wrong_with_a_file_is_told_apart(tmp_path):
    (tmp_path / "empty.png").touch()
    with pytest.raises(DataError, match="an empty file"):
        read_ids(tmp_path / "empty.png")
    whole = save(tmp_path / "a.png", IDS).read_bytes()
    # A wrong checksum of the header.
    (tmp_path / "a.png").write_bytes(whole[:29] + bytes(4) + whole[33:])
    with pytest.raises(DataError, match="cannot be decoded.*a whole file"):
        read_ids(tmp_path / "a.png")
