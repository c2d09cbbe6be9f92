"""Folders of images: one size, by name."""

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

from pitikit.apis.image_sets import FoldersError, ImageSet
from pitikit.data.images import write_png


def images(count, side=8, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def write(folder, made, suffix=".png"):
    for index, image in enumerate(made):
        write_png(folder / f"{index}{suffix}", image)
    return folder


def test_images_as_they_are(tmp_path):
    folder = write(tmp_path / "a", images(3))
    (folder / "sub").mkdir()
    (folder / "2.png").rename(folder / "sub" / "2.PNG")
    (folder / "notes.txt").touch()
    (folder / ".hidden.png").touch()
    found = ImageSet(folder)
    assert list(found.paths) == ["0.png", "1.png", "sub/2.PNG"] and found.size == (8, 8) and len(found) == 3
    assert torch.equal(found.read("sub/2.PNG"), images(3)[2]) and "2 files passed over" in found.passed
    assert found.by_stem()["sub/2"] == "sub/2.PNG"
    facts = found.facts()
    assert facts["images"] == 3 and facts["size"] == [8, 8]
    write_png(folder / "0.png", images(1, seed=1)[0])
    assert ImageSet(folder).facts()["sha256"] != facts["sha256"]


@pytest.mark.parametrize("shape", [(20, 30), (9, 40), (70, 50)])
def test_resizing_is_torch_fidelitys(tmp_path, shape):
    arrays = [torch.randint(0, 256, (3, *shape), dtype=torch.uint8) for _ in range(2)]
    folder = write(tmp_path / "a", arrays)
    write_png(folder / "other.png", images(1, 33)[0])
    steps = [torchvision.transforms.Resize(16), torchvision.transforms.CenterCrop(16)]
    found = ImageSet(folder, 16)
    assert found.size == (16, 16)
    for name in found.paths:
        expected = torchvision.transforms.Compose(steps)(Image.open(folder / name).convert("RGB"))
        assert np.array_equal(found.read(name).permute(1, 2, 0).numpy(), np.asarray(expected))


def test_several_sizes_are_an_error(tmp_path):
    folder = write(tmp_path / "a", images(3))
    write_png(folder / "wide.png", images(1)[0, :, :4])
    with pytest.raises(FoldersError, match=r"got images of 2 sizes \(3 of 8x8, 1 of 8x4\).*--resize SIDE"):
        ImageSet(folder)
    assert len(ImageSet(folder, 8)) == 4


def test_an_image_that_exif_turns_has_the_size_of_what_is_read(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in "ab":
        Image.new("RGB", (6, 4)).save(tmp_path / f"{name}.jpg", exif=exif)
    found = ImageSet(tmp_path)
    assert found.size == (4, 6) and found.read("a.jpg").shape == (3, 6, 4)


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda folder: folder.rmdir(), "no such folder"),
        (lambda folder: None, "got 0 images, expected 2 or more"),
        (lambda folder: (folder / "a.txt").touch(), "got 0 images, expected 2 or more; 1 file passed over"),
        (lambda folder: write(folder, images(1)), "got 1 images"),
        (lambda folder: [(folder / f"{i}.png").write_bytes(b"no image") for i in range(2)], r"0\.png: found a file"),
    ],
)
def test_unusable_folders(tmp_path, prepare, words):
    (tmp_path / "a").mkdir()
    prepare(tmp_path / "a")
    with pytest.raises(ValueError, match=words):
        ImageSet(tmp_path / "a")


def test_one_image_of_a_name(tmp_path):
    folder = write(tmp_path / "a", images(2))
    Image.open(folder / "0.png").save(folder / "0.bmp")
    with pytest.raises(FoldersError, match=r"got 0\.bmp and 0\.png, expected one image of a name"):
        ImageSet(folder).by_stem()
    with pytest.raises(FoldersError, match="--resize: got 0"):
        ImageSet(folder, 0)
