"""Items of which a condition carries nothing."""

import numpy as np
import pytest
from PIL import Image

from pitikit.data.empty_conditions import EmptyPart, NotedId
from pitikit.engine.empty_conditions import EmptyConditions


def test_the_first_the_tenth_and_the_hundredth_of_a_kind_are_warned_of():
    warned = []
    counter = EmptyConditions(warned.append)
    for number in range(120):
        noted = NotedId(f"p{number}", (EmptyPart("sketch out of line", f"sketch {number}", "lines"),))
        batch = {"id": [noted, f"q{number}"]}
        counter.take(batch)
        assert [type(name) for name in batch["id"]] == [str, str]
    counter.take({"id": [NotedId("last", (EmptyPart("another kind", "a depth", "more"),))]})
    counter.take({"image": 3})
    counter.take([3])
    assert counter.found == {"sketch out of line": 120, "another kind": 1} and counter.items == 241
    assert len(warned) == 4 and "'p0': found sketch 0" in warned[0] and "so far" not in warned[0]
    assert warned[1].endswith("; 10 of 20 items so far") and warned[2].endswith("; 100 of 200 items so far")
    assert "'last'" in warned[3]


@pytest.mark.filterwarnings("ignore:This DataLoader will create")
@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_warns(run, tmp_path, capsys, workers):
    root = tmp_path / "data"
    for folder in ("images", "labels"):
        (root / folder).mkdir(parents=True)
    for k in range(4):
        Image.fromarray(np.full((32, 32, 3), 60 * k, np.uint8)).save(root / f"images/p{k}.png")
        label = np.full((32, 32), 255, np.uint8)
        label[:, : 16 * (k > 1)] = k
        Image.fromarray(label).save(root / f"labels/p{k}.png")
    pipeline = [
        dict(type="LoadImage"),
        dict(type="LoadMask", num_classes=22),
        dict(type="ResizePair", size=32, image_size=16),
        dict(type="PackInputs"),
    ]
    data = dict(type="PairedImageDataset", root=str(root), image="images/{id}.png", pipeline=pipeline)
    # Batches of two: ten passes over four items.
    options = dict(train_dataloader__dataset=data, train_dataloader__num_workers=workers, train_cfg__max_iters=20)
    runner = run(tmp_path / "run", custom_hooks__0__stages__1__until=20, **options)
    assert runner.train_loop.empty_conditions.found == {"mask with no label in it": 20}
    warned = [line for line in capsys.readouterr().out.splitlines() if "carries nothing" in line]
    assert len(warned) == 2 and "labels/p" in warned[0] and "10 of " in warned[1]
