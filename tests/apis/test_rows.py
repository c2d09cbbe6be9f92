"""Rows of a translation: what the loop that makes images gets of each input."""

import numpy as np
import torch

from pitikit.apis import rows
from pitikit.apis.edit import Edit, EditReader
from pitikit.apis.rows import InputRows


def test_a_row_has_what_was_given(translators, scene, monkeypatch):
    reader = translators["mask"].reader
    items = reader.find([scene.label, scene.label[::-1]])
    small = [np.full((8, 8, 3), value, np.uint8) for value in (3, 4)]
    plain = InputRows(reader, items)
    assert len(plain) == 2 and plain[1].keys() == {"id", "condition"} and plain[1]["id"] == "1"
    assert not torch.equal(plain[0]["condition"], plain[1]["condition"])
    enlarged = InputRows(reader, items, small)[1]["low_res"]
    assert enlarged.shape == (3, 8, 8) and int(enlarged.max()) == 4

    def edited():
        edit = Edit(np.stack([np.full((16, 16, 3), value, np.uint8) for value in (5, 6)]), mask=[np.eye(16)] * 2)
        return InputRows(reader, items, edits=EditReader(edit, reader, items, 16))

    row = edited()[1]
    assert row["start"].dtype == torch.uint8 and row["start"].shape == (3, 16, 16) and int(row["start"].max()) == 6
    assert row["mask"].dtype == torch.bool and torch.equal(~row["mask"][0], torch.eye(16).bool())
    assert torch.equal(row["blend"][..., 0], torch.eye(16))
    monkeypatch.setattr(rows, "KEPT", 0)
    again = edited()[1]
    assert all(torch.equal(again[key], row[key]) for key in ("condition", "start", "mask", "blend"))


def test_a_row_has_what_a_guidance_compares_with(translators, scene):
    reader = translators["geometry"].reader
    items = reader.find([dict(depth=scene.depth, normals=scene.normals)])
    row = InputRows(reader, items, needs=("depth", "condition"))[0]
    assert row.keys() == {"id", "condition", "depth"} and row["depth"].dtype == torch.float32
    assert row["depth"].shape == row["condition"].shape[1:]
    labels = translators["mask"].reader
    row = InputRows(labels, labels.find([scene.label]), needs=("label",))[0]
    assert torch.equal(row["label"], labels.read_label(labels.find([scene.label])[0]))
