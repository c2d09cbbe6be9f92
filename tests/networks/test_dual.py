"""Two encoders side by side."""

import pytest
import torch

from pitikit.networks.dual import DualEncoder

CONDITION = dict(type="SemanticEncoder", input_size=32, channels=(4, 4, 8, 8, 8), width=16, layers=1, heads=2)
TEXT = dict(type="TextEncoder", vocabulary=9, length=5, width=16, layers=1, heads=2)


@torch.no_grad()
def test_tokens_stand_one_after_the_other_and_pooled_are_added():
    torch.manual_seed(0)
    encoder = DualEncoder(CONDITION, TEXT)
    given = {"condition": torch.rand(2, 3, 32, 32), "text": torch.tensor([[1, 2, 3, -1, -1], [4, -1, -1, -1, -1]])}
    tokens, pooled = encoder(given)
    (one, first), (other, second) = encoder.condition(given["condition"]), encoder.text(given["text"])
    assert torch.equal(tokens, torch.cat([one, other], dim=2)) and torch.equal(pooled, first + second)
    assert tokens.shape == (2, 16, 4 + 5) and encoder.in_channels == 3


def test_the_null_condition_is_that_of_both():
    encoder = DualEncoder(CONDITION, TEXT)
    null = encoder.null_condition(2)
    assert tuple(null) == encoder.parts == ("condition", "text")
    assert (null["condition"] == 1).all() and null["condition"].shape == (2, 3, 32, 32)
    assert (null["text"] == -1).all() and null["text"].shape == (2, 5)


def test_encoders_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="text: got an encoder of several conditions"):
        DualEncoder(CONDITION, dict(type="DualEncoder", condition=CONDITION, text=TEXT))
    encoder = DualEncoder(CONDITION, dict(TEXT, width=32))
    with pytest.raises(ValueError, match="tokens of the widths 16 and 32"):
        encoder(encoder.null_condition(1))
