"""Dropout's mask."""

import pytest
import torch

from pitikit.networks.layers import Dropout, Transformer


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_dropout_keeps_the_mean_and_passes_gradients_where_it_passes_values(order, dtype):
    torch.manual_seed(0)
    x = torch.ones(3, 8, 40, 41, dtype=dtype).contiguous(memory_format=order).requires_grad_()
    y = Dropout(0.1)(x)
    assert y.dtype == dtype and y.is_contiguous(memory_format=order)
    (gradient,) = torch.autograd.grad(y, x, torch.ones_like(y))
    assert torch.equal(gradient, y)
    dropped = (y == 0).float()
    # 39,360 draws: a standard deviation of 0.0015. Each of the four places within 64 bits alike.
    assert float(dropped.mean()) == pytest.approx(0.1, abs=0.006)
    flat = dropped.permute(0, 2, 3, 1).flatten() if order is torch.channels_last else dropped.flatten()
    for share in flat.view(-1, 4).mean(dim=0):
        assert float(share) == pytest.approx(0.1, abs=0.012)
    kept = y.detach()[y != 0].float()
    assert float(kept.min()) == float(kept.max()) == pytest.approx(1 / 0.9, rel=0.005)


def test_dropout_depends_on_the_seed_alone():
    x, drop = torch.randn(2, 3, 5, 7), Dropout(0.5)
    drawn = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        drawn.append(drop(x))
    assert torch.equal(drawn[0], drawn[1]) and not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize(("p", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_dropout_at_its_ends(p, expected):
    x = torch.randn(4, 5)
    assert torch.equal(Dropout(p)(x), expected * x) and torch.equal(Dropout(0.5).eval()(x), x)


def test_the_residual_stream_starts_small():
    torch.manual_seed(0)
    transformer = Transformer(64, layers=8, heads=4)
    for name, parameter in transformer.named_parameters():
        if name.endswith("bias"):
            assert not parameter.any()
        elif "c_" in name:
            expected = 0.5 / 64**0.5 / (4 if "c_proj" in name else 1)
            assert float(parameter.detach().std()) == pytest.approx(expected, rel=0.05), name
