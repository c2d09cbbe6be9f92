"""Encoders of several conditions side by side, each by its name."""

import pytest
import torch
from torch import nn

from pitikit.networks.encoders import Encoder
from pitikit.networks.parts import PartsEncoder

IMAGE = dict(type="SemanticEncoder", input_size=32, channels=(4, 4, 8, 8, 8), width=16, layers=1, heads=2)
MASK, SKETCH = dict(IMAGE, in_channels=3), dict(IMAGE, in_channels=1)
TEXT = dict(type="TextEncoder", vocabulary=9, length=5, width=16, layers=1, heads=2)
GIVEN = {"mask": torch.rand(2, 3, 32, 32), "sketch": torch.rand(2, 1, 32, 32)}


class Maps(Encoder):
    """Two tokens and pooled zeros, with maps (B, 4, s, s) of the condition's mean for the decoder."""

    def __init__(self, sizes=(4, 2), null=1.0):
        super().__init__()
        self.sizes, self.null, self.fitted = sizes, null, None

    def fit(self, decoder):
        self.fitted = decoder

    def null_condition(self, batch):
        return torch.full((batch, 1, 32, 32), self.null)

    def forward(self, condition):
        mean = condition.mean((1, 2, 3))
        maps = tuple(mean.view(-1, 1, 1, 1).expand(-1, 4, size, size) for size in self.sizes)
        return torch.zeros(len(condition), 16, 2), torch.zeros(len(condition), 16), maps


@torch.no_grad()
def test_tokens_stand_in_the_order_of_the_parts_and_pooled_are_added():
    encoder = PartsEncoder({"mask": MASK, "sketch": SKETCH, "text": TEXT})
    given = {"text": torch.tensor([[1, 2, 3, -1, -1], [4, -1, -1, -1, -1]]), **GIVEN}
    tokens, pooled = encoder(given)
    own = {name: encoder.part(name)(given[name]) for name in ("mask", "sketch", "text")}
    assert torch.equal(tokens, torch.cat([each[0] for each in own.values()], dim=2))
    torch.testing.assert_close(pooled, sum(each[1] for each in own.values()))
    assert encoder.parts == ("mask", "sketch", "text") and tokens.shape == (2, 16, 4 + 4 + 5)
    assert {name.split(".")[0] for name in encoder.state_dict()} == {"mask", "sketch", "text"}


def test_the_null_condition_is_that_of_each():
    null = PartsEncoder({"sketch": SKETCH, "text": TEXT}).null_condition(2)
    assert (null["sketch"] == 1).all() and null["sketch"].shape == (2, 1, 32, 32)
    assert (null["text"] == -1).all() and null["text"].shape == (2, 5)


@torch.no_grad()
def test_maps_for_the_decoder_are_added_up_and_those_of_one_part_stay():
    decoder = nn.Identity()
    both = PartsEncoder({"mask": Maps(), "sketch": Maps()})
    both.fit(decoder)
    assert both.part("mask").fitted is decoder and both.part("sketch").fitted is decoder
    given = {"mask": torch.full((2, 1, 32, 32), 0.5), "sketch": torch.full((2, 1, 32, 32), 0.25)}
    tokens, _, maps = both(given)
    assert tokens.shape == (2, 16, 4) and [tuple(each.shape) for each in maps] == [(2, 4, 4, 4), (2, 4, 2, 2)]
    assert all((each == 0.75).all() for each in maps)
    one = PartsEncoder({"mask": MASK, "sketch": Maps()})
    one.fit(decoder)
    assert all((each == 0.25).all() for each in one({**given, "mask": GIVEN["mask"]})[2])
    other = PartsEncoder({"mask": Maps(), "sketch": Maps(sizes=(4,))})
    with pytest.raises(ValueError, match=r"maps of the shapes mask \[\(4, 4, 4\), \(4, 2, 2\)\]; sketch \[\(4, 4, 4\)"):
        other(given)


def test_encoders_that_do_not_fit_are_refused():
    for encoders, words in (
        ({}, "encoders: got none"),
        ({"mask": dict(type="PartsEncoder", encoders={"a": MASK})}, "mask: got an encoder of several conditions"),
        ({"a.b": MASK}, "got the name 'a.b'"),
        ({"forward": MASK}, "got the name 'forward'"),
        ({"mask": Maps(null=0.0)}, "mask: got a null condition of other values, expected 1"),
    ):
        with pytest.raises(ValueError, match=words):
            PartsEncoder(encoders)
    encoder = PartsEncoder({"mask": MASK, "sketch": dict(SKETCH, width=32)})
    with pytest.raises(ValueError, match="PartsEncoder: got tokens of the widths 16 and 32"):
        encoder(encoder.null_condition(1))
