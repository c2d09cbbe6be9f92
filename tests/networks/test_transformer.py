"""Initial values of transformer and position embeddings."""

import pytest
import torch

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


def test_the_residual_stream_starts_small():
    torch.manual_seed(0)
    transformer = Transformer(64, layers=8, heads=4)
    for name, parameter in transformer.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        elif "c_" in name:
            expected = 0.5 / 64**0.5 / (4 if "c_proj" in name else 1)
            assert float(parameter.detach().std()) == pytest.approx(expected, rel=0.05), name
