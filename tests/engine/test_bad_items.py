"""A training on pairs of which some cannot be read."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from pitikit.data.dataset import StandInId
from pitikit.engine.bad_items import BadItems, TooManyBadItemsError
from pitikit.weights import read_checkpoint

COUNT = 24


@pytest.fixture
def data(tmp_path):
    """Config of a set of pairs, two neighbours and one more of which are bad, one without its mask."""
    root = tmp_path / "data"
    rng = np.random.default_rng(0)
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for k in range(COUNT):
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(root / f"images/p{k:02d}.png")
        Image.fromarray(rng.integers(0, 22, (32, 32), dtype=np.uint8)).save(root / f"labels/p{k:02d}.png")
    (root / "images/p05.png").write_bytes(b"nothing")
    (root / "images/p06.png").write_bytes((root / "images/p00.png").read_bytes()[:700])
    Image.fromarray(np.full((32, 32), 77, np.uint8)).save(root / "labels/p17.png")
    (root / "labels/p20.png").unlink()
    return dict(
        type="PairedImageDataset",
        root=str(root),
        image="images/{id}.png",
        on_error="skip",
        max_bad=0.2,
        pipeline=[
            dict(type="LoadImage"),
            dict(type="LoadMask", num_classes=22),
            dict(type="ResizePair", size=32, image_size=16),
            dict(type="RandomFlip", prob=0.5),
            dict(type="PackInputs"),
        ],
    )


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
def test_it_goes_on_counts_and_resumes(data, run, recorder, compare, tmp_path, capsys):
    options = dict(train_dataloader__dataset=data, train_cfg__max_iters=30, default_hooks__logger__interval=5)
    # The rate of the last stage would fall sooner in the half.
    options.update(custom_hooks__0__stages__1__until=30, default_hooks__checkpoint__interval=10)
    whole, halves = recorder(), recorder()
    runner = run(tmp_path / "a", hooks=(whole,), **options)
    bad = runner.train_loop.bad_items
    assert set(bad.found) == {"p05", "p06", "p17"}
    # 60 draws are more than two passes over 23 items.
    assert bad.replaced >= 6
    said = capsys.readouterr().out
    assert said.count("'p06'") == 1 and said.count("item 'p17'") == 1 and "77" in said
    assert "1 items without a partner are left out" in said and "'p20'" in said
    assert "bad_items: 3" in said
    ids = {name for names, _ in whole.batches.values() for name in names}
    assert not ids & {"p05", "p06", "p17", "p20"} and {"p07", "p18"} <= ids

    # The same, killed after 20 iterations and gone on with two workers; warned of once in all.
    run(tmp_path / "b", hooks=(halves,), **{**options, "train_cfg__max_iters": 20})
    capsys.readouterr()
    resumed = run(tmp_path / "b", resume=True, hooks=(halves,), **options, train_dataloader__num_workers=2)
    assert halves.batches == whole.batches
    assert resumed.train_loop.bad_items.state() == bad.state()
    assert "skipping" not in capsys.readouterr().out
    assert not compare(*(read_checkpoint(tmp_path / name / "iter_30.pth") for name in "ab"))


def test_a_draw_counts_once_however_many_items_it_passed_over():
    items = type("Items", (), dict(on_error="skip", max_bad=1.0, missing=(), __len__=lambda self: 9))()
    hub, said = SimpleNamespace(update_scalar=lambda name, value: None), []
    runner = SimpleNamespace(logger=SimpleNamespace(warning=said.append), message_hub=hub, iter=0)
    batch = {"id": [StandInId("p07", (("p05", "a"), ("p06", "b"))), "p01"]}
    bad = BadItems(items)
    bad.take(batch, runner)
    assert bad.state() == {"found": {"p05": "a", "p06": "b"}, "replaced": 1} and len(said) == 2
    assert [type(name) for name in batch["id"]] == [str, str]


def test_too_many(data, run, tmp_path):
    data["max_bad"] = 0.1
    with pytest.raises(TooManyBadItemsError, match=r"iteration \d+: 3 of 23 items are bad, max_bad allows 2: .*'p17'"):
        run(tmp_path / "a", train_dataloader__dataset=data)


def test_without_skipping_nothing_is_added(run, tmp_path):
    run(tmp_path, train_cfg__max_iters=1)
    checkpoint = read_checkpoint(tmp_path / "iter_1.pth")
    assert "bad_items" not in checkpoint["meta"]["data"]
    assert "train/bad_items" not in checkpoint["logs"]


def test_in_a_mixture(data, run, tmp_path):
    other = {**data, "ids": ["p01", "p02"], "on_error": "raise"}
    mixture = dict(type="MixedDataset", datasets=[other, data])
    runner = run(tmp_path, train_dataloader__dataset=mixture)
    bad = runner.train_loop.bad_items
    assert set(bad.found) == {"p05", "p06", "p17"} and bad.total == 23


def test_a_batch_of_stand_ins_can_be_saved(data, run, tmp_path):
    """The file that a loss that is not finite leaves is read without unpickling."""
    data["ids"] = ["p05", "p01", "p06", "p02"]
    data["max_bad"] = 0.5
    spoilt = [dict(type="EpsMSE", weight=float("nan"))]
    with pytest.raises(RuntimeError, match="not finite"):
        run(tmp_path, train_dataloader__dataset=data, model__losses=spoilt)
    assert set(read_checkpoint(tmp_path / "failed_batch.pth")["batch"]["id"]) <= {"p01", "p02"}


def test_files_that_were_passed_over_are_warned_of_once(tmp_path):
    class Part:
        passed_over_report = "images: 1 file passed over: 1 hidden (._1.jpg)"

    class Wrapper:
        datasets = (Part(), SimpleNamespace(passed_over_report=""))

    warned = []
    BadItems(Wrapper()).report_missing(SimpleNamespace(warning=warned.append))
    assert warned == [Part.passed_over_report]
