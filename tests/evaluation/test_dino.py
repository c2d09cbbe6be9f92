"""DINOv2's transformer against torch's own layers, with the same random weights."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from pitikit.evaluation.dino import PATCH, DinoV2, build_dino


def randomised(network):
    generator = torch.Generator().manual_seed(0)
    for value in network.parameters():
        value.data = torch.randn(value.shape, generator=generator) * 0.1
    return network.eval().requires_grad_(False)


@pytest.fixture
def network():
    return randomised(DinoV2(128, 3, side=4))


def images(side):
    return torch.randn(2, 3, side * PATCH, side * PATCH, generator=torch.Generator().manual_seed(1))


def torch_layer(block):
    """One of torch's layers with the weights of a block; its scales are part of the last weight before them."""
    layer = nn.TransformerEncoderLayer(128, 2, 512, 0.0, F.gelu, 1e-6, batch_first=True, norm_first=True)
    layer.load_state_dict(
        {
            "self_attn.in_proj_weight": block.attn.qkv.weight,
            "self_attn.in_proj_bias": block.attn.qkv.bias,
            "self_attn.out_proj.weight": block.ls1.gamma[:, None] * block.attn.proj.weight,
            "self_attn.out_proj.bias": block.ls1.gamma * block.attn.proj.bias,
            "linear1.weight": block.mlp.fc1.weight,
            "linear1.bias": block.mlp.fc1.bias,
            "linear2.weight": block.ls2.gamma[:, None] * block.mlp.fc2.weight,
            "linear2.bias": block.ls2.gamma * block.mlp.fc2.bias,
            **{
                f"norm{i}.{part}": getattr(getattr(block, f"norm{i}"), part)
                for i in (1, 2)
                for part in ("weight", "bias")
            },
        }
    )
    return layer.eval()


def test_features_are_those_of_torchs_layers(network):
    patches = (
        images(4).unfold(2, PATCH, PATCH).unfold(3, PATCH, PATCH).permute(0, 2, 3, 1, 4, 5).flatten(3).flatten(1, 2)
    )
    tokens = patches @ network.patch_embed.proj.weight.flatten(1).T + network.patch_embed.proj.bias
    x = torch.cat([network.cls_token.expand(2, -1, -1), tokens], 1) + network.pos_embed
    for block in network.blocks:
        x = torch_layer(block)(x)
    expected = F.layer_norm(x, (128,), network.norm.weight, network.norm.bias, 1e-6)[:, 0]
    assert expected.std() > 0.01 and torch.allclose(network(images(4)), expected, atol=1e-5)


def test_positions_of_another_size(network):
    """As the published code: bicubic by (n + 0.1) / N, which is not quite the ratio of the sizes."""
    grid = network.pos_embed[:, 1:].view(1, 4, 4, 128).permute(0, 3, 1, 2)
    ours = network.positions(3, 6)
    assert ours.shape == (1, 19, 128) and torch.equal(ours[:, :1], network.pos_embed[:, :1])
    expected = F.interpolate(grid, scale_factor=(3.1 / 4, 6.1 / 4), mode="bicubic").permute(0, 2, 3, 1)
    assert torch.equal(ours[:, 1:].view(1, 3, 6, 128), expected)
    assert torch.equal(network.positions(4, 4), network.pos_embed)
    assert network(images(6)).shape == (2, 128)


def test_the_network_follows_from_the_weights(network):
    built = build_dino(network.state_dict())
    assert torch.equal(built.eval()(images(4)), network(images(4)))
    for state in ({}, {**network.state_dict(), "more": torch.zeros(1)}, {"cls_token": torch.zeros(1)}):
        with pytest.raises(ValueError, match="not DINOv2, small, base or large"):
            build_dino(state)
