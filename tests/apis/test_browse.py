"""Sheets of degradations and datasets."""

import numpy as np
import pytest
from PIL import Image

from pitikit.apis.browse import browse_dataset, browse_degradation, degradation_of
from pitikit.config import ConfigError
from pitikit.degradations.operation import DegradationError

DATASET = """
train_dataloader = dict(dataset=dict(type="SceneWorld", length=5, size=64, members=["image", "mask"], pipeline=[
    dict(type="LoadImage"), dict(type="LoadMask", num_classes=22), dict(type="ResizePair", size=64, image_size=64),
    dict(type="RandomFlip", prob=0.5),
    dict(type="Degrade", degradation=dict(type="Downscale", scale=4, degradation=dict(type="JPEG")), size=16),
    dict(type="PackInputs")]))
"""


@pytest.fixture
def config(tmp_path):
    path = tmp_path / "data.py"
    path.write_text(DATASET)
    return path


@pytest.fixture
def recipe(tmp_path):
    path = tmp_path / "worn.py"
    path.write_text("degradation = dict(type='Downscale', scale=4, degradation=dict(type='GaussianNoise', level=20))\n")
    return path


def cells(path):
    sheet = np.asarray(Image.open(path)).astype(int)
    return sheet, [sheet[4:260, 4 + 260 * i : 260 + 260 * i] for i in range(sheet.shape[1] // 260)]


def test_a_sheet_of_samples(recipe, tmp_path, repo):
    photo = repo / "tests/data/fixtures/china256.png"
    path = browse_degradation(recipe, photo, samples=7, out=tmp_path / "new" / "s.png")
    sheet, first = cells(path)
    assert sheet.shape == (2 * 260 + 4, 6 * 260 + 4, 3)
    assert np.array_equal(first[0], np.asarray(Image.open(photo).convert("RGB")))
    assert np.abs(first[1] - first[0]).mean() < np.abs(first[2] - first[0]).mean()
    assert not np.array_equal(first[2], first[3])
    again = browse_degradation(recipe, photo, samples=7, out=tmp_path / "again.png")
    other = browse_degradation(recipe, photo, samples=7, seed=1, out=tmp_path / "other.png")
    assert again.read_bytes() == path.read_bytes() != other.read_bytes()


def test_a_scene_stands_in_for_an_image(recipe, tmp_path):
    sheet, first = cells(browse_degradation(recipe, samples=1, out=tmp_path / "s.png"))
    assert sheet.shape == (264, 3 * 260 + 4, 3) and first[0].std() > 20


def test_a_sheet_of_pairs_has_low_res(config, tmp_path):
    sheet = np.asarray(Image.open(browse_dataset(config, count=2, out=tmp_path / "p.png")))
    assert sheet.shape[1] == 3 * 132 + 4 and sheet.shape[0] > 2 * 132
    with pytest.raises(ConfigError, match="val_dataloader"):
        browse_dataset(config, "val", out=tmp_path / "p.png")
    with pytest.raises(ValueError, match="count=0"):
        browse_dataset(config, count=0, out=tmp_path / "p.png")


def test_a_sheet_of_pairs_has_each_condition(config, tmp_path):
    loaders = "conditions=[dict(type='LoadMask', num_classes=22), dict(type='LoadSketch')]"
    text = DATASET.replace('dict(type="LoadMask", num_classes=22)', f"dict(type='LoadConditions', {loaders})")
    config.write_text(text.replace('"mask"]', '"mask", "sketch"]'))
    sheet = np.asarray(Image.open(browse_dataset(config, count=2, out=tmp_path / "p.png")))
    assert sheet.shape[1] == 4 * 132 + 4


def test_where_the_degradation_is_found(config, recipe, tmp_path, repo):
    assert type(degradation_of(config)).__name__ == "Downscale"
    plain = tmp_path / "plain.py"
    plain.write_text("seed = 3\n")
    with pytest.raises(ConfigError, match="neither"):
        degradation_of(plain)
    odd = tmp_path / "odd.png"
    Image.fromarray(np.zeros((50, 64, 3), np.uint8)).save(odd)
    with pytest.raises(DegradationError, match="scale=4 does not divide"):
        browse_degradation(recipe, odd, out=tmp_path / "s.png")
    assert not (tmp_path / "s.png").exists()


def test_wrong_arguments_are_named(config, recipe, tmp_path):
    with pytest.raises(ValueError, match="seed=-1"):
        browse_degradation(recipe, seed=-1, out=tmp_path / "a.png")
    with pytest.raises(ValueError, match="seed=-1"):
        browse_dataset(config, seed=-1, out=tmp_path / "a.png")
    for make, given in ((browse_degradation, recipe), (browse_dataset, config)):
        with pytest.raises(ValueError, match=r"a.jpg': expected a name that ends in .png"):
            make(given, out=tmp_path / "a.jpg")
    assert not list(tmp_path.glob("a.*"))


def test_a_degradation_that_leaves_the_range_is_refused(recipe, tmp_path, monkeypatch):
    monkeypatch.setattr("pitikit.apis.browse.degradation_of", lambda *_: lambda image, rng: image * 3)
    with pytest.raises(DegradationError, match="the result of <lambda>: given values from"):
        browse_degradation(recipe, samples=1, out=tmp_path / "s.png")


@pytest.mark.filterwarnings("error")
def test_an_option_of_the_degradation_counts(recipe):
    assert degradation_of(recipe, {"degradation.degradation.level": 90}).degradation.level != 20


def test_the_tool(config, recipe, run_tool, tmp_path):
    done = run_tool("browse", "degradation", recipe, "--samples", "2", "--out", "s.png", cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.strip() == "s.png" and (tmp_path / "s.png").is_file()
    failed = run_tool("browse", "degradation", recipe, "nowhere.png", "--out", "t.png", cwd=tmp_path)
    assert failed.returncode == 2 and "nowhere.png" in failed.stderr and "Traceback" not in failed.stderr
