"""What the losses of a model need of a batch."""

import pytest
import torch

from pitikit.losses.denoising import EpsMSE
from pitikit.models.members import members_for


class Needing(EpsMSE):
    """A loss that needs members of the batch."""

    def __init__(self, *needs):
        super().__init__()
        self.needs = needs


def test_they_are_found_by_name_each_once():
    label, image, text = torch.zeros(2, 4, 4), torch.zeros(2, 3, 4, 4), torch.zeros(2, 5)
    batch = {"label": label, "condition": {"condition": image, "text": text}, "id": ["a", "b"]}
    found = members_for([EpsMSE(), Needing("label"), Needing("label", "condition", "condition.text")], batch)
    assert found.keys() == {"label", "condition", "condition.text"}
    assert found["label"] is label and found["condition"] is image and found["condition.text"] is text
    assert members_for([EpsMSE()], {}) == {}


def test_what_is_not_there_is_an_error_with_the_way_to_keep_it():
    batch = {"condition": torch.zeros(2, 3, 4, 4), "id": ["a", "b"]}
    expected = r"losses: Needing got a batch with condition, id, expected 'depth' in it; keep it: PackInputs\(keep="
    with pytest.raises(ValueError, match=expected):
        members_for([Needing("condition"), Needing("depth")], batch)
    image = torch.zeros(2, 3, 4, 4)
    expected = r"expected 'condition' in it; of a condition of several parts name one by source='condition.NAME'"
    with pytest.raises(ValueError, match=expected):
        members_for([Needing("condition")], {"condition": {"mask": image, "sketch": image}})
