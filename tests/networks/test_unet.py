"""The U-Net: its parts, and that torch can compile it."""

import pytest
import torch
from torch import nn

from pitikit.diffusion.types import Conditioning
from pitikit.networks.decoders import GlideUNet
from pitikit.networks.unet import AttentionBlock, ResBlock, timestep_embedding

SMALL = dict(
    image_size=16, channels=16, multipliers=(1, 2), res_blocks=1, attention_sizes=(8,), head_width=8, token_width=16,
    groups=8,
)  # fmt: skip


def filled(module):
    """Weights that are not zero anywhere: the last layers begin at zero, which would hide everything before them."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.2)
    return module


def test_timestep_embedding_is_that_of_its_equation():
    found = timestep_embedding(torch.tensor([0, 7]), 5)
    assert found.shape == (2, 5) and found[0].tolist() == [1, 1, 0, 0, 0]
    expected = torch.tensor([7.0, 0.07])
    torch.testing.assert_close(found[1], torch.cat([expected.cos(), expected.sin(), torch.zeros(1)]))


@pytest.mark.parametrize("resample, side", [(None, 8), ("up", 16), ("down", 4)])
def test_residual_block_is_that_of_its_equation(resample, side):
    block = filled(ResBlock(16, 24, 12, resample=resample, groups=8)).double()
    x, emb = torch.randn(2, 16, 8, 8, dtype=torch.float64), torch.randn(2, 12, dtype=torch.float64)
    scale, shift = block.emb_layers(emb).chunk(2, dim=1)
    h = block.in_layers[2](block.resampled(block.in_layers[0](x).sigmoid() * block.in_layers[0](x)))
    h = torch.einsum("bchw,bc->bchw", block.out_layers[0](h), 1 + scale) + shift.view(2, 24, 1, 1)
    expected = block.skip_connection(block.resampled(x)) + block.out_layers[3](h.sigmoid() * h)
    found = block(x, emb)
    assert found.shape == (2, 24, side, side)
    torch.testing.assert_close(found, expected)


def test_attention_block_is_that_of_its_equation():
    block = filled(AttentionBlock(16, 8, 12, groups=8)).double()
    x, tokens = torch.randn(2, 16, 2, 3, dtype=torch.float64), torch.randn(2, 12, 4, dtype=torch.float64)
    # By the Conv1d of the released weights, head by head.
    qkv = nn.Conv1d.forward(block.qkv, block.norm(x).flatten(2)).view(2, 2, 3, 8, 6)  # (B, heads, q k v, w, HW)
    kv = nn.Conv1d.forward(block.encoder_kv, tokens).view(2, 2, 2, 8, 4)  # (B, heads, k v, w, L)
    k, v = (torch.cat([kv[:, :, i], qkv[:, :, i + 1]], dim=-1) for i in (0, 1))
    weights = (qkv[:, :, 0].transpose(-1, -2) @ k / 8**0.5).softmax(dim=-1)  # (B, heads, HW, L + HW)
    out = (v @ weights.transpose(-1, -2)).reshape(2, 16, 6)
    expected = x + nn.Conv1d.forward(block.proj_out, out).view_as(x)
    torch.testing.assert_close(block(x, block.token_kv(tokens)), expected)
    found = block.log_attention(x, block.token_kv(tokens)).double().exp()
    torch.testing.assert_close(found, weights[:, 0], rtol=1e-5, atol=1e-7)


def test_layers_are_torch_s_own():
    """Faster layers for the CPU are put in place later, and nowhere else."""
    for module in GlideUNet(**SMALL).modules():
        if list(module.parameters(recurse=False)) and type(module).__name__ != "Pointwise":
            assert type(module) in (nn.Conv2d, nn.Linear, nn.GroupNorm), module


# The second traces the backward pass as well, and takes three times as long.
@pytest.mark.parametrize("backend", ["eager", pytest.param("aot_eager", marks=pytest.mark.slow)])
def test_torch_compiles_the_decoder_without_a_graph_break(backend):
    decoder = filled(GlideUNet(**SMALL, low_res=True, dropout=0.0))
    x, t = torch.randn(1, 3, 16, 16), torch.tensor([900])
    cond = Conditioning(torch.randn(1, 16, 9), torch.randn(1, 16), torch.randn(1, 3, 4, 4))
    expected = decoder(x, t, cond)
    expected.square().mean().backward()
    gradients = [parameter.grad.clone() for parameter in decoder.parameters()]
    decoder.zero_grad()
    found = torch.compile(decoder, fullgraph=True, backend=backend)(x, t, cond)
    found.square().mean().backward()
    torch.testing.assert_close(found, expected)
    for parameter, gradient in zip(decoder.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-3, atol=1e-5)
