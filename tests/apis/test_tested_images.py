"""Images of a test: ids, cost and grid of one rank and of all."""

import pickle

import pytest
import torch

from pitikit.apis import tested_images as module
from pitikit.apis.tested_images import Progress, grid_rows
from pitikit.evaluation.generate import Generated, GeneratedBatch


def batch(*names, sampled=0):
    image = torch.zeros(len(names), 3, 8, 8, dtype=torch.uint8)
    made = [Generated(name, 0, each, None, bool(sampled)) for name, each in zip(names, image, strict=True)]
    given = {"id": list(names), "condition": image, "image": image}
    return GeneratedBatch(given, {}, made, sampled, 2 * sampled, 0.5 * sampled)


def test_ranks_together_are_as_one(monkeypatch):
    batches = [batch("a", "b", sampled=2), batch("c", "d"), batch("e", sampled=1)]
    monkeypatch.setattr(module, "GRID_ROWS", 3)
    whole, parts = Progress(), [Progress(), Progress(), Progress()]
    for place, done in enumerate(batches):
        whole.take(place, done)
        # The last rank has none.
        parts[place % 2].take(place, done)
    monkeypatch.setattr(module, "all_gather_object", lambda own: pickle.loads(pickle.dumps(parts)))
    found = parts[1].of_all_ranks()
    assert found.ids == whole.ids == set("abcde") and found.made == whole.made == 3
    assert found.cost() == whole.cost() == {"network_calls": 2.0, "seconds_per_image": 0.5}
    assert [place for place, _ in found.rows] == [place for place, _ in whole.rows] == [0, 0, 1]
    assert Progress().cost() == {}


def test_an_id_that_two_ranks_have_is_refused(monkeypatch):
    parts = [Progress(), Progress()]
    for part in parts:
        part.take(0, batch("a"))
    with pytest.raises(ValueError, match="id 'a': two samples of the test set have it"):
        parts[0].take(1, batch("a"))
    monkeypatch.setattr(module, "all_gather_object", lambda own: parts)
    with pytest.raises(ValueError, match="id 'a': two samples of the test set have it"):
        parts[0].of_all_ranks()


def test_rows_do_not_keep_their_batch():
    own = Progress()
    own.take(0, batch(*map(str, range(100))))
    assert len(own.rows) == module.GRID_ROWS and len(pickle.dumps(own)) < 40_000


def test_dark_conditions_can_be_seen_in_the_grid():
    distance = torch.arange(16, dtype=torch.uint8).repeat(1, 16, 1)
    image = torch.full((3, 16, 16), 9, dtype=torch.uint8)
    batch = {"condition": distance[None], "image": image[None]}
    (row,) = grid_rows(GeneratedBatch(batch, {}, [Generated("a", 0, image, None, True)]))
    assert list(row) == ["condition", "result", "ground truth"]
    assert row["condition"][0, 0, 0] == 0 and row["condition"][0, 0, 1] > 30
    # What is made dark is shown dark.
    assert torch.equal(row["result"], image)


def test_a_grid_shows_the_image_of_a_condition_with_a_text_and_none_of_a_text_alone():
    image = torch.full((3, 16, 16), 9, dtype=torch.uint8)
    mask, text = torch.full((1, 3, 16, 16), 200, dtype=torch.uint8), torch.tensor([[1, 2, -1]])
    for condition, titles in (({"condition": mask, "text": text}, ["condition", "result"]), (text, ["result"])):
        done = GeneratedBatch({"condition": condition}, {}, [Generated("a", 0, image, None, True)])
        (row,) = grid_rows(done)
        assert list(row) == titles and ("condition" not in row or torch.equal(row["condition"], mask[0]))


def test_the_grid_has_each_of_several_conditions():
    image = torch.full((3, 16, 16), 9, dtype=torch.uint8)
    condition = {"mask": image[None], "sketch": image[None, :1], "text": torch.tensor([[1, -1]])}
    (row,) = grid_rows(GeneratedBatch({"condition": condition}, {}, [Generated("a", 0, image, None, True)]))
    assert list(row) == ["mask", "sketch", "result"] and row["sketch"].shape == (1, 16, 16)
