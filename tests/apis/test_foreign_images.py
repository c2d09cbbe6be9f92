"""Images that were made elsewhere: which are found, and which refused."""

import numpy as np
import pytest
import torch
from PIL import Image

from pitikit.apis.foreign_images import ForeignImages, ForeignImagesError, ids_of, size_of
from pitikit.data.errors import DataError
from pitikit.data.mixture import MixedDataset
from pitikit.scenes.dataset import SceneWorld

NAMES = ["a", "sub/b.c", "d"]


@pytest.fixture
def folder(tmp_path):
    """An image an id, each in another format, and files that are none."""
    (tmp_path / "sub").mkdir()
    (tmp_path / ".trash").mkdir()
    for index, name in enumerate(("a.PNG", "sub/b.c.webp", "d.bmp", ".trash/e.png", "sub/._b.c.png")):
        Image.new("RGB", (12, 8), (index, 2, 3)).save(tmp_path / name, lossless=True)
    (tmp_path / "notes.md").touch()
    return tmp_path


def test_ids_may_name_subfolders_and_any_format_is_read(folder):
    found = ForeignImages(folder, NAMES, 3)
    for index, name in enumerate(NAMES):
        image = found.read(name)
        assert image.shape == (3, 8, 12) and image.dtype == torch.uint8 and image[0, 0, 0] == index
    facts = found.check((8, 12))
    assert facts == found.check(None) and facts["size"] == [8, 12] and len(facts["sha256"]) == 64


def test_only_the_first_are_needed(folder):
    (folder / "d.bmp").unlink()
    assert ForeignImages(folder, NAMES, 2).read("a").shape == (3, 8, 12)
    with pytest.raises(ForeignImagesError, match="no image of 1 of 3: d"):
        ForeignImages(folder, NAMES, 3)
    with pytest.raises(ForeignImagesError, match="images of no item: 1 of 2: a"):
        ForeignImages(folder, NAMES[1:2], 1)


def test_sizes_are_those_of_the_true_images_or_equal(folder):
    found = ForeignImages(folder, NAMES, 3)
    with pytest.raises(ForeignImagesError, match=r"a\.PNG: got 12x8 pixels, expected 8x8, that of the true images"):
        found.check((8, 8))
    Image.new("RGB", (9, 9)).save(folder / "d.bmp")
    with pytest.raises(ForeignImagesError, match=r"d\.bmp: got 9x9 pixels, expected 12x8, that of the others"):
        found.check(None)
    (folder / "d.bmp").write_bytes(b"BM")
    with pytest.raises(DataError, match=r"d\.bmp"):
        found.check(None)


def test_batches_are_those_of_a_generation(folder):
    loader = [{"id": ["a", "d"], "image": torch.zeros(2, 3, 8, 12)}]
    ((batch, prepared, images),) = (
        (each.batch, each.prepared, each.images)
        for each in ForeignImages(folder, NAMES, 3).batches(loader, lambda data, training: {**data, "ready": True})
    )
    assert batch is loader[0] and prepared["ready"]
    assert [(each.id, each.sample, each.made, each.low_res) for each in images] == [
        ("a", 0, False, None),
        ("d", 0, False, None),
    ]


def test_ids_and_size_of_a_dataset():
    scenes = SceneWorld(length=2, start=3, size=32, members=["image"])
    assert ids_of(scenes) == ["scene_000003", "scene_000004"] == [scenes[0]["id"], scenes[1]["id"]]
    other = [{"id": "x"}]
    assert ids_of(MixedDataset([scenes, scenes])) == ids_of(scenes) * 2
    # Of a dataset without `ids`, such as a plugin's, every item is read.
    assert ids_of(other) == ["x"] and ids_of(MixedDataset([scenes, other])) == [*ids_of(scenes), "x"]
    assert size_of({"image": np.zeros((3, 5, 7))}) == (5, 7) and size_of({}) is None
