"""The encoder of condition images."""

import torch

from pitikit.networks.encoders import SemanticEncoder
from pitikit.networks.transformer import grid_positions


def test_position_embeddings_start_with_the_grid_when_told():
    arguments = dict(input_size=32, channels=(4, 4, 8, 8, 8), strides=(1, 2, 2, 2, 1, 1), width=16, layers=1, heads=2)
    encoder = SemanticEncoder(**arguments, position_init=0.5)
    torch.testing.assert_close(encoder.positional_embedding[0, 1:], 0.5 * grid_positions(4, 16))
    assert SemanticEncoder(**arguments).positional_embedding.abs().max() < 0.2
