"""All that is wrong with data, at once."""

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from pitikit.apis import check as module
from pitikit.apis.check import Probe, SplitReport, check_data, kind_of, write_sheet
from pitikit.config import ConfigError
from pitikit.data.errors import DataError

LOAD = """
load = [dict(type="LoadImage"), dict(type="LoadMask", num_classes=5), dict(type="ResizePair", size=32, image_size=16)]
"""
PAIRS = (
    LOAD
    + """
data = dict(type="PairedImageDataset", root={root!r}, image="images/{{id}}.png", metainfo=dict(classes=list("abcde")))
train_dataloader = dict(batch_size=2, dataset=dict(
    **data, ids={train}, pipeline=[*load, dict(type="RandomFlip", prob=0.5), dict(type="PackInputs")]))
val = dict(**data, ids={val}, test_mode=True, pipeline=[*load, dict(type="PackInputs", keep=["label"])])
val_dataloader = dict(batch_size=2, dataset=val)
test_dataloader = dict(batch_size=1, dataset=val)
"""
)
COUNT = 12


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "data"
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for k in range(COUNT):
        Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(root / f"images/p{k:02d}.png")
        label = np.zeros((40, 40), np.uint8)
        label[:, 20:] = 1 + k % 2
        label[:10] = 255
        Image.fromarray(label).save(root / f"labels/p{k:02d}.png")
    return root


@pytest.fixture
def config(root, tmp_path):
    names = [f"p{k:02d}" for k in range(COUNT)]
    path = tmp_path / "pairs.py"
    path.write_text(PAIRS.format(root=str(root), train=names[:8], val=names[8:]))
    return path


def test_good_data(config, tmp_path):
    report = check_data(config, out=tmp_path / "out", progress=False)
    assert report.status == 0 and report.same == {"test": "val"}
    train, val = report.splits
    assert (train.size, train.read, train.bad_count) == (8, 8, 0) and val.read == 4
    assert train.sizes == {"40×40": 8}
    image, condition = train.values["image"], train.values["condition"]
    assert image.shapes == {"(3, 16, 16) uint8": 8} and condition.shapes == {"(3, 32, 32) uint8": 8}
    assert 100 < image.mean < 155 and condition.low == 0 and condition.high <= 192
    # A quarter of each map is unlabelled, half of the rest is 0, and the other half 1 or 2 in turn.
    shares = {row["label"]: row["share"] for row in train.histogram()}
    assert shares == {0: 0.375, 1: 0.1875, 2: 0.1875, 3: 0, 4: 0, 255: 0.25}
    assert [row["items"] for row in train.histogram()] == [8, 4, 4, 0, 0, 8]
    text = report.table()
    assert "labels that never occur: 3 d, 4 e" in text and "test: the data of val" in text
    saved = json.loads((tmp_path / "out" / "report.json").read_text())
    assert saved["splits"][0]["labels"][1] == dict(label=1, name="b", share=0.1875, items=4)
    sheet = cv2.imread(str(tmp_path / "out" / "sheet_train.png"))
    assert sheet.shape[0] > 8 * 128 and sheet.shape[1] > 2 * 128


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 2])
def test_everything_bad_at_once(config, root, tmp_path, workers):
    (root / "images/p00.png").write_bytes(b"nothing")
    (root / "images/p01.png").write_bytes(b"nothing either")
    Image.fromarray(np.full((40, 40), 77, np.uint8)).save(root / "labels/p02.png")
    Image.fromarray(np.zeros((40, 30), np.uint8)).save(root / "labels/p03.png")
    (root / "labels/p04.png").unlink()
    (root / "labels/p05.png").unlink()
    Image.fromarray(np.full((40, 40, 3), 9, np.uint8)).save(root / "images/p06.png")
    # A mirrored image in the other split is the same image.
    image = Image.open(root / "images/p07.png")
    image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(root / "images/p11.png")
    report = check_data(config, out=tmp_path / "out", workers=workers, progress=False)
    assert report.status == 1
    train = report.splits[0]
    assert {kind: [each["item"] for each in entries] for kind, entries in train.bad.items()} == {
        "no mask": ["p04", "p05"],
        "a file that is no image": ["p00", "p01"],
        "label ids N to N": ["p02"],
        "mask of N×N pixels": ["p03"],
    }
    assert train.bad_count == 6 and (train.read, train.size) == (8, 8)
    assert train.notes == {"image of a single value": ["p06"]}
    assert report.shared() == {"train and val": ["p07"]}
    text = report.table()
    assert "6 bad" in text and "BAD 2 × no mask" in text and "p03.png" in text and "share 1 images: p07" in text
    # No advice to pass over them: that is what is asked here.
    assert "on_error" not in text


def test_binary_masks_and_rotations_that_are_not_shared_are_noted(config, root, tmp_path):
    Image.fromarray(np.where(np.eye(40) > 0, 255, 0).astype(np.uint8)).save(root / "labels/p00.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.open(root / "images/p01.png").save(root / "images/p01.png", exif=exif)
    report = check_data(config, split="train", out=tmp_path / "out", progress=False)
    notes = report.splits[0].notes
    assert report.status == 0 and sorted(notes.values()) == [["p00"], ["p01"]]
    text = report.table()
    assert "note: 1 × label map of 0 and 255 alone, where 255 is 'no label'" in text
    assert "a binary mask of two classes needs id_map={0: 0, 255: 1}" in text
    assert "note: 1 × image rotated by its EXIF orientation, mask not alike: compare them on the sheet: p01" in text


def test_a_set_of_which_little_is_left(config, root, tmp_path):
    for k in range(6):
        (root / f"labels/p{k:02d}.png").unlink()
    (root / "images/p07.png").write_bytes((root / "images/p06.png").read_bytes())
    (train,) = check_data(config, "train", tmp_path / "out", progress=False).splits
    assert len(train.bad["no mask"]) == 6 and train.read == 8 and train.values["image"].shapes
    assert train.twice == [["p06", "p07"]] and not train.problems
    for k in (6, 7):
        (root / f"images/p{k:02d}.png").write_bytes(b"nothing")
    (train,) = check_data(config, "train", tmp_path / "out", progress=False).splits
    assert train.problems == ["not one item is good"]


def test_the_rows_of_a_sheet_are_those_of_its_seed(config, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SHEET_ROWS", 2)

    def sheet(seed):
        return check_data(config, "train", tmp_path, seed=seed, progress=False).folder.joinpath("sheet_train.png")

    found = [sheet(seed).read_bytes() for seed in (0, 1, 0)]
    assert found[0] == found[2] != found[1]


@pytest.mark.parametrize("name", ["image", "condition", "low_res"])
def test_numbers_that_are_not_finite_make_an_input_bad(name):
    probe = Probe()
    probe.dataset, probe.places = [{"id": "a", name: torch.tensor([1.0, float("nan"), 2.0])}], [0]
    found = probe[0]
    kind = f"{name} with values that are not finite"
    assert found.error == (kind, f"item 'a': {kind}, 1 of 3") and not found.values


def test_what_is_kept_for_metrics_may_have_holes():
    nothing = torch.full((2,), float("inf"))
    probe = Probe()
    probe.dataset, probe.places = [{"id": "a", "height": torch.tensor([1.0, float("nan"), 2.0]), "far": nothing}], [0]
    found = probe[0]
    assert found.error is None and "far" not in found.values
    assert (found.values["height"].low, found.values["height"].high) == (1, 2)
    assert found.notes == ["height with values that are not finite", "far with values that are not finite"]


GEOMETRY = """
train_dataloader = dict(batch_size=2, dataset=dict(
    type="PairedImageDataset", root={root!r}, image=None, conditions=dict(depth="{{id}}.npy"), pipeline=[
        dict(type="LoadNormals", derive=True), dict(type="LoadDepth", unit={unit!r}, far=10.0),
        dict(type="ResizePair", size=32, image_size=16), dict(type="PackInputs", keep=["depth"])]))
"""


def test_depth_with_holes_is_as_good_as_for_a_training(tmp_path):
    depth = np.tile(np.linspace(1, 8, 40, dtype=np.float32), (40, 1))
    for k, hole in enumerate((np.nan, -np.inf, -1, 0)):
        depth[:10, k] = hole
        np.save(tmp_path / f"{k}.npy", depth)
    np.save(tmp_path / "tiny.npy", depth[-2:, -2:])
    (tmp_path / "geometry.py").write_text(GEOMETRY.format(root=str(tmp_path), unit="m"))
    (train,) = check_data(tmp_path / "geometry.py", out=tmp_path / "out", progress=False).splits
    assert (train.read, train.bad_count) == (5, 0) and not train.problems
    assert train.values["depth"].low == 0


def test_a_wrong_unit_is_noted_with_the_likely_one(tmp_path):
    depth = np.tile(np.linspace(1, 8, 40, dtype=np.float32), (40, 1))
    for k in range(3):
        np.save(tmp_path / f"{k}.npy", np.roll(depth, k) * 1000)
    (tmp_path / "geometry.py").write_text(GEOMETRY.format(root=str(tmp_path), unit="m"))
    report = check_data(tmp_path / "geometry.py", out=tmp_path / "out", progress=False)
    assert "note: every item: depth out of range (the values look like millimetres" in report.table()
    # As the note advises.
    (tmp_path / "geometry.py").write_text(GEOMETRY.format(root=str(tmp_path), unit="mm"))
    assert "out of range" not in check_data(tmp_path / "geometry.py", out=tmp_path / "out", progress=False).table()


def test_the_most_frequent_fault_comes_first_with_a_few_of_its_items():
    report = SplitReport("train")
    for name in "abcdef":
        report.add_bad(DataError("no mask" if name > "a" else "no image", "one", item=name))
    lines = report.lines()
    assert [line for line in lines if "BAD" in line] == ["  BAD 5 × no mask", "  BAD 1 × no image"]
    assert ["'b'" in lines[2], "'c'" in lines[3], "'d'" in lines[4]] == [True] * 3
    assert lines[5] == "      and 2 more, in report.json"


def test_what_all_items_have_is_said_once(config, root, tmp_path):
    for path in (root / "labels").glob("*.png"):
        Image.fromarray(np.full((40, 40), 255, np.uint8)).save(path)
    text = check_data(config, "val", tmp_path / "out", progress=False).table()
    assert "note: every item: mask with no label in it" in text and "note: every item: label map without" not in text


def test_sheets_show_edges(tmp_path):
    distance = torch.arange(32, dtype=torch.uint8).repeat(1, 32, 1)
    image = torch.full((3, 32, 32), 200, dtype=torch.uint8)
    write_sheet(tmp_path / "a.png", [({"condition": distance, "image": image}, "")])
    row = cv2.imread(str(tmp_path / "a.png"))[40, :132]
    # An edge is black, and what is next to it is not.
    assert row[4:8].max() == 0 and row[8:12].min() > 30
    # A bright one stays as it is, and so does one of colours.
    for condition in (distance + 200, torch.cat([distance, distance, distance])):
        write_sheet(tmp_path / "a.png", [({"condition": condition, "image": image}, "")])
        assert cv2.imread(str(tmp_path / "a.png"))[40, 8:12].max() == condition[0, 0, 1]


def test_a_blank_condition_is_said_to_be_one(tmp_path):
    blank = torch.full((3, 32, 32), 255, dtype=torch.uint8)
    write_sheet(tmp_path / "a.png", [({"condition": blank, "image": blank}, "")])
    assert (cv2.imread(str(tmp_path / "a.png"))[26:, :256] < 100).any()


def test_one_split_and_a_count(config, tmp_path):
    report = check_data(config, "val", tmp_path / "out", count=2, progress=False)
    assert [split.name for split in report.splits] == ["val"] and report.splits[0].read == 2
    # Spread evenly: the first and the last of four.
    assert sorted(item for items in report.splits[0].digests.values() for item in items) == ["p08", "p11"]
    assert "2 of 4 items read" in report.table()


SCENES = """
load = [dict(type="LoadImage"), dict(type="LoadCaption", length=20,
        tokenizer=dict(type="WordTokenizer", words="pitikit.scenes:VOCABULARY"))]
train_dataloader = dict(batch_size=2, dataset=dict(
    type="SceneWorld", length=5000, size=32, members=["image", "caption"],
    pipeline=[*load, dict(type="ResizePair", size=32, image_size=16), dict(type="PackInputs")]))
"""


def test_captions_of_scenes(tmp_path):
    (tmp_path / "scenes.py").write_text(SCENES)
    report = check_data(tmp_path / "scenes.py", out=tmp_path / "out", count=3, progress=False)
    (train,) = report.splits
    assert (train.size, train.read, report.status) == (5000, 3, 0)
    assert train.values["condition"].low >= -1 and not train.histogram()
    assert (cv2.imread(train.sheet)[:, :100] < 100).any()


def test_captions_beside_masks(tmp_path):
    config = SCENES.replace("load = [", "load = [dict(type='LoadMask', num_classes=22), ")
    config = config.replace('"caption"', '"mask", "caption"')
    (tmp_path / "scenes.py").write_text(config)
    (train,) = check_data(tmp_path / "scenes.py", out=tmp_path / "out", count=3, progress=False).splits
    assert train.read == 3 and {"condition.condition", "condition.text"} <= set(train.values)
    assert train.values["condition.text"].low >= -1 and train.values["condition.condition"].high > 100
    sheet = cv2.imread(train.sheet)
    assert sheet.std() > 20


def test_a_synthetic_set_has_an_end(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SYNTHETIC_COUNT", 2)
    (tmp_path / "scenes.py").write_text(SCENES)
    assert check_data(tmp_path / "scenes.py", out=tmp_path / "out", progress=False).splits[0].read == 2


def test_ctrl_c_reports_what_was_read(config, tmp_path, monkeypatch):
    read = Probe.__getitem__

    def interrupted(self, number):
        if number == 7:
            raise KeyboardInterrupt
        return read(self, number)

    monkeypatch.setattr(Probe, "__getitem__", interrupted)
    monkeypatch.setattr(module, "BATCH", 2)
    report = check_data(config, out=tmp_path / "out", progress=False)
    assert report.status == 130 and [split.read for split in report.splits] == [6]
    assert json.loads((tmp_path / "out" / "report.json").read_text())["interrupted"] is True
    assert "interrupted" in report.table() and (tmp_path / "out" / "sheet_train.png").is_file()


def test_sets_that_cannot_be_built_and_shapes_that_make_no_batch(config, root, tmp_path):
    text = config.read_text()
    config.write_text(text.replace('dict(type="ResizePair", size=32, image_size=16)', "*()"))
    Image.fromarray(np.zeros((20, 20, 3), np.uint8)).save(root / "images/p00.png")
    Image.fromarray(np.zeros((20, 20), np.uint8)).save(root / "labels/p00.png")
    report = check_data(config, "train", tmp_path / "a", progress=False)
    assert report.status == 1 and any("make no batch" in line for line in report.splits[0].problems)
    config.write_text(text.replace(str(root), str(root / "elsewhere")))
    report = check_data(config, "train", tmp_path / "b", progress=False)
    assert report.status == 1 and "no such folder" in report.splits[0].bad
    config.write_text(text.replace("image=", "conditions=dict(mask='labes/{id}.png'), image="))
    report = check_data(config, "train", tmp_path / "c", progress=False)
    assert len(report.splits[0].bad["no mask"]) == 8 and "labes/p00.png" in report.table()


def test_what_is_refused(config, tmp_path):
    with pytest.raises(ValueError, match="split='tran'"):
        check_data(config, "tran")
    with pytest.raises(ValueError, match="count=0"):
        check_data(config, count=0)
    (tmp_path / "none.py").write_text("model = None")
    with pytest.raises(ConfigError, match="got no train_dataloader, expected data to check"):
        check_data(tmp_path / "none.py", "train")


def test_an_error_of_no_class_of_ours_has_its_item():
    probe = Probe()
    probe.dataset, probe.places = {}, [3]
    assert probe[0].error == ("KeyError", "item '#3': KeyError: 3")


def test_kinds():
    assert kind_of(DataError("label ids 0 to 77, out of range: 77 (9 pixels)")) == "label ids N to N"
    assert kind_of(DataError("an image that cannot be decoded (12 bytes)")) == "an image that cannot be decoded"
    assert kind_of(KeyError("x")) == "KeyError"


def test_from_the_command_line(run_tool, config, root, tmp_path):
    (root / "images/p00.png").write_bytes(b"nothing")
    done = run_tool("check_data", config, "--out", tmp_path / "o", cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "BAD 1 × a file that is no image" in done.stdout and "8/8" in done.stderr


def test_what_was_passed_over_is_in_the_report(root, tmp_path):
    (root / "images/._p00.png").touch()
    (root / "images/p00.txt").touch()
    path = tmp_path / "all.py"
    path.write_text(PAIRS.format(root=str(root), train=None, val=["p00"]))
    report = check_data(path, "train", out=tmp_path / "out", progress=False)
    line = f"  note: {root}: 2 files passed over: 1 hidden, or left by a system or an editor (images/._p00.png); "
    assert report.status == 0 and line in report.table()
    (saved,) = json.loads((tmp_path / "out" / "report.json").read_text())["splits"]
    assert "2 files passed over" in saved["passed_over"][0]


@pytest.mark.parametrize("whole", [False, True], ids=["terminal", "system"])
def test_names_and_terminals_that_are_no_utf_8(whole, root, tmp_path, repo, python):
    for folder in ("images", "labels"):
        os.rename(root / folder / "p00.png", os.fsencode(root / folder) + b"/caf\xe9.png")
        os.rename(root / folder / "p01.png", os.fsencode(root / folder) + "/ж.png".encode())
    Image.fromarray(np.zeros((40, 30), np.uint8)).save(os.fsencode(root / "labels") + b"/caf\xe9.png", "PNG")
    (root / "labels" / "ж.png").unlink()
    os.rename(root / "labels/p02.png", os.fsencode(root / "images") + b"/._\xff.png")
    path = tmp_path / "all.py"
    path.write_text(PAIRS.format(root=str(root), train=None, val=["p03"]))
    out = tmp_path / "out"
    command = [repo / "tools" / "check_data.py", path, "--split", "train", "--out", out]
    if whole:
        environment = {**os.environ, "PYTHONPATH": str(repo), "LC_ALL": "C", "PYTHONUTF8": "0"}
        done = subprocess.run([sys.executable, *command], capture_output=True, env=environment, encoding="ascii")
    else:
        done = python(*command, environment={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 1 and "Traceback" not in done.stderr, done.stderr
    assert "3 bad" in done.stdout and "passed over" in done.stdout
    (split,) = json.loads((out / "report.json").read_bytes())["splits"]
    bad = {entry["item"] for entries in split["bad"].values() for entry in entries}
    assert {os.fsencode(name) for name in bad} == {b"caf\xe9", "ж".encode(), b"p02"}
