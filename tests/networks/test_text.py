"""The encoder of texts and layouts."""

import pytest
import torch

from pitikit.networks.text import TextEncoder
from pitikit.networks.transformer import grid_positions


def test_a_layout_starts_with_the_grid_whether_said_or_dropped():
    encoder = TextEncoder(vocabulary=5, length=12, width=16, layers=1, heads=2, init_std=0.5, grid=3)
    codes = 0.5 * grid_positions(3, 16)
    torch.testing.assert_close(encoder.positional_embedding[:9], codes)
    torch.testing.assert_close(encoder.padding_embedding[:9], codes)
    assert encoder.positional_embedding[9:].abs().max() < 0.1
    assert 0.3 < encoder.token_embedding.weight.std() < 0.7
    with pytest.raises(ValueError, match="16 words does not fit into length=12"):
        TextEncoder(vocabulary=5, length=12, width=16, layers=1, heads=2, grid=4)


def test_text_padding_is_learned_and_ids_are_checked():
    torch.manual_seed(0)
    encoder = TextEncoder(vocabulary=5, length=4, width=8, layers=1, heads=2)
    tokens, pooled = encoder(torch.tensor([[0, 1, -1, -1], [4, 4, 4, 4]]))
    assert tokens.shape == (2, 8, 4) and pooled.shape == (2, 8)
    torch.testing.assert_close(tokens[:, :, -1], pooled)
    torch.testing.assert_close(encoder(encoder.null_condition(1))[1], encoder(torch.full((1, 4), -1))[1])
    with pytest.raises(ValueError, match=r"expected -1..4, found 0..5"):
        encoder(torch.tensor([[0, 1, 2, 5]]))
    with pytest.raises(ValueError, match=r"\(B, 4\)"):
        encoder(torch.zeros(2, 3, dtype=torch.int64))
