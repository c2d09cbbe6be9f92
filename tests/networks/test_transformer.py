"""What transformer and position embeddings start from."""

import pytest
import torch

from pitikit.networks.encoders import SemanticEncoder
from pitikit.networks.text import TextEncoder
from pitikit.networks.transformer import Transformer, grid_positions


def test_grid_positions_tell_every_cell_from_every_other():
    codes = grid_positions(16, 96)
    assert codes.shape == (256, 96)
    distances = torch.cdist(codes, codes) + 100 * torch.eye(256)
    assert distances.min() > 1
    # Half says the row, half the column.
    cells = codes.view(16, 16, 2, 48)
    assert torch.equal(cells[:, 0, 0], cells[:, 9, 0])
    assert torch.equal(cells[0, :, 1], cells[9, :, 1])
    # Neighbours are more alike than cells far apart.
    assert distances[0, 1] < distances[0, 2] < distances[0, 6]
    with pytest.raises(ValueError, match="width=6"):
        grid_positions(4, 6)


def test_the_task_encoder_starts_with_them_when_told():
    arguments = dict(input_size=32, channels=(4, 4, 8, 8, 8), strides=(1, 2, 2, 2, 1, 1), width=16, layers=1, heads=2)
    encoder = SemanticEncoder(**arguments, position_init=0.5)
    torch.testing.assert_close(encoder.positional_embedding[0, 1:], 0.5 * grid_positions(4, 16))
    assert SemanticEncoder(**arguments).positional_embedding.abs().max() < 0.2


def test_a_layout_starts_with_them_whether_said_or_dropped():
    encoder = TextEncoder(vocabulary=5, length=12, width=16, layers=1, heads=2, init_std=0.5, grid=3)
    codes = 0.5 * grid_positions(3, 16)
    torch.testing.assert_close(encoder.positional_embedding[:9], codes)
    torch.testing.assert_close(encoder.padding_embedding[:9], codes)
    assert encoder.positional_embedding[9:].abs().max() < 0.1
    assert 0.3 < encoder.token_embedding.weight.std() < 0.7
    with pytest.raises(ValueError, match="16 words does not fit into length=12"):
        TextEncoder(vocabulary=5, length=12, width=16, layers=1, heads=2, grid=4)


def test_the_residual_stream_starts_small():
    torch.manual_seed(0)
    transformer = Transformer(64, layers=8, heads=4)
    for name, parameter in transformer.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        elif "c_" in name:
            expected = 0.5 / 64**0.5 / (4 if "c_proj" in name else 1)
            assert float(parameter.detach().std()) == pytest.approx(expected, rel=0.05), name
