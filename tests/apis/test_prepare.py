import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from pitikit.apis import prepare
from pitikit.apis.conversion import Plan
from pitikit.apis.prepare import list_preparations, prepare_data
from pitikit.config import load_config
from pitikit.data.errors import DataError
from pitikit.data.preparation import Found, Item, Preparation, Sample
from pitikit.data.preparation.ade20k import ADE20K
from pitikit.data.reading import read_image
from pitikit.registry import DATASETS, PREPARATIONS
from tests.data.preparation import downloads

SETS = {
    "ade20k": downloads.ade20k,
    "ade20k_full": downloads.ade20k_full,
    "camvid": downloads.camvid_segnet,
    "cityscapes": downloads.cityscapes,
    "cocostuff": downloads.cocostuff,
    "diode": downloads.diode,
    "facades": downloads.facades_pix2pix,
    "nyu": downloads.nyu,
}


def plan_of(name, tmp_path, **options):
    return Plan(name, SETS[name](tmp_path / "source"), tmp_path / "out", **options)


def run(plan, **options):
    return prepare_data(plan, bar=False, **options)


@pytest.mark.parametrize("name", SETS)
def test_every_set_is_read_by_the_config_that_is_written(tmp_path, name):
    report = run(plan_of(name, tmp_path))
    assert report.status == 0 and not report.problems
    assert report.configs
    for path in report.configs:
        config = load_config(path)
        for role in ("train", "val"):
            dataset = DATASETS.build(config[f"{role}_dataloader"].dataset)
            split = next((s for s in ("val", "test") if s in report.counts), "train") if role == "val" else "train"
            assert len(dataset) == report.counts[split]
            item = dataset[0]
            assert item["image"].shape == (3, 64, 64) and item["condition"].shape[1:] == (256, 256)


def test_names_colours_and_pixels_of_the_classes(tmp_path):
    run(plan_of("ade20k", tmp_path))
    classes = json.loads((tmp_path / "out/classes.json").read_text())
    assert len(classes["classes"]) == len(classes["colours"]) == 150 and classes["classes"][2] == "sky"
    assert classes["pixels"]["train"] == {"0": 48, "1": 48, "2": 48, "149": 288, "255": 144}


def test_classes_without_colours_of_their_own_get_some(tmp_path):
    run(plan_of("cocostuff", tmp_path))
    classes = json.loads((tmp_path / "out/classes.json").read_text())
    assert len({tuple(each) for each in classes["colours"]}) == 182


def test_the_full_annotation_becomes_its_most_frequent_classes(tmp_path):
    report = run(plan_of("ade20k_full", tmp_path, options=dict(top=1)))
    assert json.loads((tmp_path / "out/id_map.json").read_text()) == {"0": 255, "300": 255, "2978": 0}
    classes = json.loads((tmp_path / "out/classes.json").read_text())
    assert classes["classes"] == ["wall"] and classes["pixels"]["train"] == {"0": 120, "255": 72}
    dataset = DATASETS.build(load_config(report.configs[0]).val_dataloader.dataset)
    assert set(np.unique(dataset[0]["label"])) == {0, 255}


def test_all_zero_masks_are_listed_and_left_out_without_a_fault(tmp_path):
    plan = plan_of("ade20k", tmp_path)
    downloads.put(plan.source / "annotations/training/ADE_train_00000002.png", downloads.plain(0))
    report = run(plan)
    assert report.status == 0 and report.counts == dict(train=2, val=2)
    assert "1 left out, without a label:\n  train/ADE_train_00000002: every pixel is unlabelled" in report.text()


def test_damaged_and_unpaired_files_are_listed_and_the_status_shows_them(tmp_path):
    plan = plan_of("cocostuff", tmp_path)
    image = plan.source / "train2017/000000000139.jpg"
    image.write_bytes(image.read_bytes()[:100])
    (plan.source / "train2017/000000000140.jpg").unlink()
    report = run(plan)
    assert report.status == 1 and report.counts == dict(train=1, val=1)
    assert [(each.kind, each.place) for each in report.problems] == [
        ("damaged", "train/000000000139"),
        ("unpaired", "stuffthingmaps/train2017/000000000140.png"),
    ]
    assert "1 left out, damaged:" in report.text() and "1 left out, unpaired:" in report.text()
    assert json.loads((tmp_path / "out/manifest.json").read_text())["problems"][0]["kind"] == "damaged"
    assert not (tmp_path / "out/images/train/000000000139.jpg").exists()


def test_a_file_that_was_repaired_is_taken_by_the_next_run(tmp_path):
    plan = plan_of("cocostuff", tmp_path)
    image = plan.source / "train2017/000000000139.jpg"
    whole = image.read_bytes()
    image.write_bytes(whole[:100])
    run(plan)
    image.write_bytes(whole)
    report = run(plan)
    assert report.made == 1 and report.status == 0


def test_a_file_that_broke_later_is_taken_out(tmp_path):
    plan = plan_of("cocostuff", tmp_path)
    run(plan)
    (plan.source / "train2017/000000000139.jpg").write_bytes(b"x")
    report = run(plan)
    assert report.status == 1 and report.counts == dict(train=2, val=1)
    assert not (tmp_path / "out/images/train/000000000139.jpg").exists()
    assert "000000000139" not in [
        item["id"] for item in DATASETS.build(load_config(report.configs[0]).train_dataset).items
    ]


def test_what_is_done_is_not_done_again(tmp_path):
    plan = plan_of("ade20k", tmp_path)
    first = run(plan)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out/images").rglob("*.jpg")}
    (tmp_path / "out/mask/train/ADE_train_00000001.png").unlink()
    (tmp_path / "out/mask/train/ADE_train_00000003.png").write_bytes(b"")
    second = run(plan)
    assert (first.made, second.made, run(plan).made) == (5, 2, 0)
    assert {path for path, time in before.items() if path.stat().st_mtime_ns != time} == {
        tmp_path / f"out/images/train/ADE_train_0000000{number}.jpg" for number in (1, 3)
    }


def test_two_runs_have_the_same_checksums_and_a_change_shows(tmp_path):
    plan = plan_of("ade20k", tmp_path)
    sums = []
    for name in ("a", "b"):
        run(Plan(plan.name, plan.source, tmp_path / name))
        sums.append(json.loads((tmp_path / name / "manifest.json").read_text())["checksums"])
    assert sums[0] == sums[1] and sorted(sums[0]) == ["images/train", "images/val", "mask/train", "mask/val"]
    downloads.put(plan.source / "annotations/training/ADE_train_00000001.png", downloads.plain(7))
    assert run(Plan(plan.name, plan.source, tmp_path / "a")).made == 1
    changed = json.loads((tmp_path / "a/manifest.json").read_text())["checksums"]
    assert [key for key in changed if changed[key] != sums[0][key]] == ["mask/train"]


def test_other_settings_need_another_folder(tmp_path):
    plan = plan_of("ade20k", tmp_path)
    run(plan)
    with pytest.raises(ValueError, match=r"prepared with other settings \(size: None there, 8 now\)"):
        run(Plan(plan.name, plan.source, plan.target, size=8))
    (tmp_path / "other").mkdir()
    (tmp_path / "other/mine.txt").touch()
    with pytest.raises(ValueError, match="expected an empty or a new one"):
        run(Plan(plan.name, plan.source, tmp_path / "other"))


def test_items_that_the_source_no_longer_has_are_taken_out_with_a_note(tmp_path):
    plan = plan_of("ade20k", tmp_path)
    run(plan)
    for path in list(plan.source.rglob("ADE_train_00000003.*")):
        path.unlink()
    report = run(plan)
    assert report.counts == dict(train=2, val=2) and not list(plan.target.rglob("ADE_train_00000003.*"))
    assert f"1 items of an earlier run taken out: {plan.source} no longer has them" in report.text()


@pytest.mark.parametrize("target", ["source", "source/ADEChallengeData2016/out", "."])
def test_source_and_target_lie_apart(tmp_path, target):
    plan = plan_of("ade20k", tmp_path)
    with pytest.raises(ValueError, match="expected one apart"):
        run(Plan(plan.name, plan.source, tmp_path / target))


def test_limit_takes_the_first_of_each_split_and_can_be_raised(tmp_path):
    plan = plan_of("ade20k", tmp_path)
    assert run(plan, limit=1).counts == dict(train=1, val=1)
    report = run(plan, limit=2)
    assert (report.counts, report.made) == (dict(train=2, val=2), 2)
    assert "official" not in report.text() and "20210" in run(plan).text()


def test_size_and_extractors_are_in_the_manifest(tmp_path):
    report = run(plan_of("ade20k", tmp_path, size=8, extract=["canny"]))
    settings = json.loads((tmp_path / "out/manifest.json").read_text())["settings"]
    assert settings["size"] == 8 and settings["extract"][0]["high"] == 200
    assert read_image(tmp_path / "out/images/train/ADE_train_00000001.jpg").shape == (8, 11, 3)
    assert [path.name for path in report.configs] == ["dataset_mask.py", "dataset_sketch.py"]


def test_photographs_alone_train_without_a_condition(tmp_path):
    for number in range(3):
        downloads.put(tmp_path / f"source/{number}.jpg", downloads.photograph())
    report = run(Plan("photographs", tmp_path / "source", tmp_path / "out"))
    dataset = DATASETS.build(load_config(report.configs[0]).train_dataloader.dataset)
    assert report.configs[0].name == "dataset_images.py" and len(dataset) == 3 and dataset[0]["condition"].min() == 255


SEGMENTER = dict(type="segmenter", network=dict(type="SceneSegmenter", weights="weights/scenes_segmenter.safetensors"))


def test_photographs_with_the_label_maps_of_a_named_segmenter(tmp_path):
    for number in range(3):
        downloads.put(tmp_path / f"source/{number}.jpg", downloads.photograph(32, 48))
    report = run(Plan("photographs", tmp_path / "source", tmp_path / "out", extract=[SEGMENTER, "canny"]))
    assert [path.name for path in report.configs] == ["dataset_mask.py", "dataset_sketch.py"]
    dataset = DATASETS.build(load_config(report.configs[0]).val_dataloader.dataset)
    assert len(dataset.metainfo["classes"]) == 22 and dataset[0]["label"].max() < 22
    settings = json.loads((tmp_path / "out/manifest.json").read_text())["settings"]
    assert "weights_sha256" in settings["extract"][0]
    assert len(json.loads((tmp_path / "out/classes.json").read_text())["classes"]) == 22


def test_what_is_extracted_has_the_classes_and_the_loader_of_its_extractor(tmp_path):
    plan = Plan("nyu", downloads.nyu(tmp_path / "source", count=2), tmp_path / "out", size=64, extract=[SEGMENTER])
    (plan.source / "classMapping40.mat").unlink()
    report = run(plan)
    config = load_config(next(path for path in report.configs if path.name == "dataset_mask.py"))
    assert config.load[1].num_classes == len(config.classes) == 22
    assert json.loads((tmp_path / "out/classes.json").read_text())["classes"] == list(config.classes)


@pytest.mark.parametrize(("name", "extractor"), [("ade20k", SEGMENTER), ("nyu", SEGMENTER), ("two_folders", "canny")])
def test_an_extractor_of_what_the_set_has_is_refused_at_the_start(tmp_path, name, extractor):
    if name == "two_folders":
        for number in range(2):
            downloads.put(tmp_path / f"source/A/{number}.jpg", downloads.photograph())
            downloads.put(tmp_path / f"source/B/{number}.png", downloads.plain(255 * (np.arange(16) == 3)))
        # The first item is damaged.
        (tmp_path / "source/B/0.png").write_bytes(b"x")
        plan = Plan(name, tmp_path / "source", tmp_path / "out", dict(kind="sketch"), extract=[extractor])
    else:
        plan = plan_of(name, tmp_path, extract=[extractor])
    member = "sketch" if extractor == "canny" else "mask"
    with pytest.raises(ValueError, match=f"extract: got an extractor of {member}, which {name} has; leave it out"):
        run(plan)
    assert not plan.target.exists()


def test_files_out_of_reach_are_missing(tmp_path, monkeypatch):
    plan = plan_of("ade20k", tmp_path)
    for folder, suffix in (("images", "jpg"), ("annotations", "png")):
        path = plan.source / folder / f"training/ADE_train_00000001.{suffix}"
        path.unlink()
        path.symlink_to(tmp_path / "gone")
    report = run(plan)
    assert report.status == 1 and report.counts == dict(train=2, val=2)
    assert [(each.kind, each.place, each.text) for each in report.problems] == [
        ("missing", f"{folder}/training/ADE_train_00000001.{suffix}", "linked to nothing")
        for folder, suffix in (("annotations", "png"), ("images", "jpg"))
    ]

    def scandir(path, scan=os.scandir):
        if str(path).endswith("validation"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)
    report = run(Plan(plan.name, plan.source, tmp_path / "other"))
    assert report.status == 1 and report.counts == dict(train=2)
    assert "images/validation/: in a folder that cannot be read (Permission denied)" in report.text()


@pytest.mark.parametrize("names", ["training", "training/ADE_train_00000001.*"])
def test_what_is_out_of_reach_takes_nothing_out(tmp_path, names):
    plan = plan_of("ade20k", tmp_path)
    run(plan)
    files = {path for path in plan.target.rglob("ADE_*")}
    # Moved to another disk that is not there now.
    moved = [path for folder in ("images", "annotations") for path in sorted((plan.source / folder).glob(names))]
    for number, path in enumerate(moved):
        path.rename(tmp_path / f"{number}")
        path.symlink_to(tmp_path / "gone")
    for _ in range(2):
        report = run(plan)
        assert report.status == 1 and report.counts == dict(train=3, val=2) and report.made == 0
        count = 3 if names == "training" else 1
        assert f"{count} items of an earlier run kept: their source cannot be reached" in report.text()
        assert {path for path in plan.target.rglob("ADE_*")} == files
    for number, path in enumerate(moved):
        path.unlink()
        (tmp_path / f"{number}").rename(path)
    report = run(plan)
    assert report.status == report.made == 0 and "earlier run" not in report.text()


def test_normals_that_are_out_of_reach_are_not_replaced_by_derived_ones(tmp_path):
    plan = plan_of("diode", tmp_path)
    run(plan)
    for path in plan.source.rglob("*_normal.npy"):
        path.unlink()
        path.symlink_to(tmp_path / "gone")
    report = run(plan)
    assert report.made == 0 and "3 items of an earlier run kept" in report.text()


def test_an_item_whose_files_are_listed_and_cannot_be_opened_stays(tmp_path):
    plan = plan_of("ade20k", tmp_path)
    run(plan)
    # As a folder that may be listed and not entered has them.
    find, path = ADE20K.find, plan.source / "images/training/ADE_train_00000001.jpg"
    found = find(ADE20K(), plan.source)
    path.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ADE20K, "find", lambda *_: found)
        report = run(plan)
    assert report.status == 1 and report.counts == dict(train=3, val=2)
    assert "1 items of an earlier run kept: their source cannot be reached" in report.text()


def test_a_set_of_a_plugin_without_a_title(tmp_path):
    @PREPARATIONS.register_module(name="untitled_of_test", force=True)
    class Untitled(Preparation):
        def find(self, root):
            return Found([Item("train", "a", {})], [], {})

        def read(self, item):
            return Sample(downloads.photograph(), {})

    (tmp_path / "source").mkdir()
    report = run(Plan("untitled_of_test", tmp_path / "source", tmp_path / "out"))
    assert report.configs[0].read_text().startswith("# untitled_of_test: train 1 items")


def test_an_id_twice_is_taken_from_neither(tmp_path):
    @PREPARATIONS.register_module(name="twice_of_test", force=True)
    class Twice(Preparation):
        title, layout = "twice", "twice"

        def find(self, root):
            return Found([Item("train", name, {}) for name in ("a", "b", "a")], [], {})

        def read(self, item):
            return Sample(downloads.photograph(), {})

    (tmp_path / "source").mkdir()
    report = run(Plan("twice_of_test", tmp_path / "source", tmp_path / "out"))
    assert report.counts == dict(train=1) and report.status == 1
    assert report.problems[0].text == "2 items of this id"


def test_a_run_that_was_stopped_at_its_very_start_can_be_repeated(tmp_path, monkeypatch):
    plan = plan_of("ade20k", tmp_path)
    # While the manifest was written, and right after it.
    plan.target.mkdir()
    (plan.target / ".manifest.json.999999999.tmp").write_text("{")
    with monkeypatch.context() as patch:
        patch.setattr(prepare, "Records", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(plan)
    assert run(plan).made == 5
    assert not list(plan.target.glob(".*.tmp"))


def interrupted(*_):
    raise KeyboardInterrupt


def test_files_of_a_killed_run_that_were_not_noted_are_removed_and_those_of_a_user_stay(tmp_path, monkeypatch):
    plan = plan_of("ade20k", tmp_path)
    # Files of the second item of a split, whose record was not written.
    run(plan)
    lines = (plan.target / "items.jsonl").read_text().splitlines(keepends=True)
    (plan.target / "items.jsonl").write_text("".join(line for line in lines if "00000002" not in line))
    report = run(plan, limit=1)
    assert len(DATASETS.build(load_config(report.configs[0]).train_dataset)) == report.counts["train"] == 2
    assert not list(plan.target.rglob("*00000002*")) and "of no item" not in report.text()
    mine = [
        downloads.put(plan.target / f"{folder}/{name}", downloads.photograph())
        for folder, name in (
            ("images", "train/mine.jpg"),
            ("mask", "mine.png"),
            ("images", "train/ADE_train_00000001.png"),
        )
    ]
    downloads.put(plan.target / "sheets/1.png", downloads.photograph())
    downloads.put_text(plan.target / "images/train/ADE_train_00000001.txt", "a caption")
    report = run(plan)
    assert all(path.is_file() for path in mine)
    names = "images/train/ADE_train_00000001.png, images/train/mine.jpg, mask/mine.png"
    assert f"3 files of no item, which the dataset may read ({names}); remove those" in report.text()


def test_a_run_that_goes_on_is_not_complete_until_it_ends(tmp_path, monkeypatch):
    plan = plan_of("ade20k", tmp_path)
    run(plan, limit=1)
    manifest = plan.target / "manifest.json"
    assert json.loads(manifest.read_text())["complete"] is True
    with monkeypatch.context() as patch:
        patch.setattr(prepare.Converter, "__call__", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run(plan)
    left = json.loads(manifest.read_text())
    assert left["complete"] is False and left["counts"] == dict(train=1, val=1)
    run(plan)
    assert json.loads(manifest.read_text())["complete"] is True


@pytest.mark.parametrize("text", ["[]", '{"settings": []}', "{}", "", "{"])
def test_a_manifest_that_was_edited(tmp_path, text):
    plan = plan_of("ade20k", tmp_path)
    run(plan)
    (plan.target / "manifest.json").write_text(text)
    with pytest.raises(ValueError, match=r"manifest.json: got .*, expected the file as it was written; restore it, or"):
        run(plan)


@pytest.mark.parametrize("place", ["{}/colours.json", "~/colours.json"])
def test_a_table_of_colours_that_was_edited_is_another_setting(tmp_path, monkeypatch, place):
    monkeypatch.setenv("HOME", str(tmp_path))
    table = downloads.put_text(tmp_path / "colours.json", json.dumps({"a": [1, 1, 1]}))
    downloads.put(tmp_path / "source/A/1.jpg", downloads.photograph())
    downloads.put(tmp_path / "source/B/1.png", np.full((12, 16, 3), (1, 1, 1), np.uint8))
    plan = Plan("two_folders", tmp_path / "source", tmp_path / "out", dict(colours=place.format(tmp_path)))
    run(plan)
    assert run(plan).made == 0
    table.write_text(json.dumps({"b": [2, 2, 2], "a": [1, 1, 1]}))
    with pytest.raises(ValueError, match=r"prepared with other settings \(sha256: "):
        run(plan)


def test_a_setting_that_is_there_no_more_is_another_one(tmp_path):
    plan = plan_of("ade20k", tmp_path)
    run(plan)
    manifest = plan.target / "manifest.json"
    text = json.loads(manifest.read_text())
    text["settings"]["sha256"] = dict(colours="0f")
    manifest.write_text(json.dumps(text))
    with pytest.raises(ValueError, match=r"\(sha256: {'colours': '0f'} there, None now\)"):
        run(plan)


def test_names_that_are_no_utf_8_or_hold_spaces(tmp_path):
    for name in (os.fsdecode(b"caf\xe9"), "two words", "caf\u00e9"):
        downloads.put(tmp_path / f"source/A/{name}.jpg", downloads.photograph())
        downloads.put(tmp_path / f"source/B/{name}.png", downloads.plain(1))
    plan = Plan("two_folders", tmp_path / "source", tmp_path / 'my "out" 2', dict(every=0))
    report = run(plan)
    assert report.status == 0 and report.counts == dict(train=3) and run(plan).made == 0
    assert len(DATASETS.build(load_config(report.configs[0]).train_dataset)) == 3
    command, line = report.text().splitlines()[-2:]
    assert shlex.split(command)[-1] == str(report.configs[0])
    assert json.loads(line.partition("..., ")[2].rstrip("]")) == str(report.configs[0])


def test_archives_beside_unpaired_files_are_named_with_their_command(tmp_path):
    plan = plan_of("ade20k", tmp_path)
    shutil.rmtree(plan.source / "annotations")
    (plan.source / "annotations.zip").touch()
    report = run(plan)
    assert report.status == 1 and "no items (0 made now)" in report.text()
    assert "no item is whole; expected ADEChallengeData2016/{images,annotations}/" in report.text()
    assert f"annotations.zip: packed; unpack with unzip -q {plan.source / 'annotations.zip'} -d" in report.text()


def test_a_source_that_is_not_there_is_found_before_networks_are(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: got no such file or folder, expected the download, ADE"):
        run(Plan("ade20k", tmp_path / "nowhere", tmp_path / "out", extract=["hed"]))


def test_extractors_of_one_member(tmp_path):
    with pytest.raises(ValueError, match="extract: got extractors of sketch, sketch, expected one of each"):
        run(plan_of("ade20k", tmp_path, extract=["canny", dict(type="canny", low=50)]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(workers=-1), "workers=-1; expected 0"),
        (dict(limit=0), "limit=0"),
        (dict(), "size=1"),
        (dict(), "no such file or folder"),
    ],
)
def test_wrong_values(tmp_path, options, message):
    plan = plan_of("ade20k", tmp_path, size=1 if message == "size=1" else None)
    if "no such" in message:
        plan = Plan("ade20k", tmp_path / "nowhere", tmp_path / "out")
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        run(plan, **options)


def test_an_unknown_set_and_an_unknown_option(tmp_path):
    with pytest.raises(KeyError, match="did you mean 'ade20k'"):
        run(Plan("ade20", tmp_path, tmp_path / "out"))
    with pytest.raises(TypeError, match="unknown argument 'crops'; did you mean 'crop'"):
        run(plan_of("nyu", tmp_path, options=dict(crops=None)))


def test_nothing_of_the_set_is_there(tmp_path):
    (tmp_path / "source").mkdir()
    with pytest.raises(DataError, match="nothing of CMP Facades"):
        run(Plan("facades", tmp_path / "source", tmp_path / "out"))
    assert not (tmp_path / "out").exists()


SLOWLY = """
import time
from pitikit.data.preparation import writing
plain = writing.Converter.__call__
def slow(self, item):
    time.sleep(0.2)
    return plain(self, item)
writing.Converter.__call__ = slow
from pathlib import Path
from pitikit.apis.conversion import Plan
from pitikit.apis.prepare import prepare_data
prepare_data(Plan("nyu", Path({source!r}), Path({target!r})), bar=False)
"""


def test_a_killed_run_goes_on_where_it_was(tmp_path, repo):
    source, target = downloads.nyu(tmp_path / "source", count=6), tmp_path / "out"
    script = SLOWLY.format(source=str(source), target=str(target))
    process = subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "PYTHONPATH": str(repo)})
    records = target / "items.jsonl"
    deadline = time.monotonic() + 120
    while not (records.is_file() and records.read_text().count("\n") >= 2) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = records.read_text().count("\n")
    assert 2 <= done < 6
    # A line that was cut, and a file that was being written.
    with open(records, "a") as file:
        file.write('{"key": "train/00')
    (target / f"images/train/.0009.png.{process.pid}.tmp").write_bytes(b"half")
    report = run(Plan("nyu", source, target))
    assert report.made == 6 - done and report.counts == dict(train=3, test=3)
    assert not list(target.rglob("*.tmp"))
    run(Plan("nyu", source, tmp_path / "whole"))
    sums = [json.loads((path / "manifest.json").read_text())["checksums"] for path in (target, tmp_path / "whole")]
    assert sums[0] == sums[1]


def test_the_folder_is_held_before_anything_is_written(tmp_path, monkeypatch):
    plan, held = plan_of("facades", tmp_path), []
    monkeypatch.setattr(prepare, "occupied", lambda folder: held.append(folder) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run(plan)
    assert held == [plan.target] and not list(plan.target.iterdir())


def test_the_list_has_every_set_with_its_files_and_options():
    text = list_preparations()
    for name in PREPARATIONS.module_dict:
        assert f"\n{name}: " in f"\n{text}"
    assert "crop=(45, 471, 41, 601)" in text and "canny: Edges by Canny" in text
