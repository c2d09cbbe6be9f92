"""Frozen weights under autocast: cast once, and anew when they change."""

import copy

import pytest
import torch
from torch import nn

from pitikit.kernels.accelerate import accelerate
from pitikit.kernels.casts import CachedLinear

LAYERS = [
    (nn.Conv2d(8, 8, 3, padding=1), (1, 8, 6, 6)),
    (nn.Conv2d(8, 4, 1, bias=False), (2, 8, 6, 6)),
    (nn.Linear(8, 4), (2, 8)),
]


def run(layer, x, dtype=torch.bfloat16):
    with torch.autocast("cpu", dtype):
        return layer(x)


@pytest.fixture(params=LAYERS, ids=lambda pair: str(pair[0]))
def pair(request):
    """A plain layer that is frozen, and an input."""
    layer, shape = request.param
    return copy.deepcopy(layer).requires_grad_(False), torch.randn(shape)


@pytest.mark.parametrize("last", [False, True])
def test_results_and_gradients_are_those_of_autocast(pair, last):
    plain, x = pair
    fast = accelerate(copy.deepcopy(plain))
    if last and x.ndim == 4:
        x = x.contiguous(memory_format=torch.channels_last)
    found = []
    for layer in (fast, plain):
        x = x.detach().requires_grad_()
        y = run(layer, x)
        y.float().square().sum().backward()
        found.append([y, x.grad])
    for a, b in zip(*found, strict=True):
        assert a.dtype == b.dtype
        torch.testing.assert_close(a, b, rtol=0.02, atol=0.02)


def test_frozen_weights_are_cast_once_and_anew_when_they_change(pair):
    layer, x = pair
    accelerate(layer)
    before = run(layer, x)
    first = dict(layer.casts.kept)
    run(layer, x)
    assert first.keys() == {name for name, _ in layer.named_parameters()}
    assert all(layer.casts.kept[name] is first[name] for name in first)
    # Written to, as by an EMA or a checkpoint.
    layer.load_state_dict({name: value + 1 for name, value in layer.state_dict().items()})
    after = run(layer, x)
    assert not torch.equal(before, after)
    # Moved.
    for parameter in layer.parameters():
        parameter.data = parameter.data.clone() - 1
    torch.testing.assert_close(run(layer, x), before, rtol=0.02, atol=0.02)
    # In another precision.
    assert run(layer, x, torch.float16).dtype == torch.float16
    assert {name: value.dtype for name, value in layer.state_dict().items()} == dict.fromkeys(first, torch.float32)


def test_a_copy_keeps_its_own(pair):
    layer, x = pair
    expected = run(accelerate(layer), x)
    fresh = copy.deepcopy(layer)
    assert layer.casts.kept and not fresh.casts.kept
    assert torch.equal(run(fresh, x), expected)


def test_weights_that_learn_are_not_kept(pair):
    layer, x = pair
    run(accelerate(layer), x)
    assert layer.casts.kept
    layer.requires_grad_(True)
    run(layer, x).sum().backward()
    assert not layer.casts.kept
    assert layer.weight.grad.dtype == torch.float32


def test_nothing_is_kept_where_that_is_declined(pair):
    plain, x = pair
    fast = accelerate(copy.deepcopy(plain), keep_casts=False)
    assert not isinstance(fast, CachedLinear) and getattr(fast, "casts", None) is None
    assert torch.equal(run(fast, x), run(plain, x))


def test_nothing_is_cast_without_autocast():
    layer = accelerate(nn.Linear(4, 4).requires_grad_(False))
    with pytest.raises(RuntimeError, match="dtype"):
        layer(torch.randn(1, 4, dtype=torch.float64))
    layer(torch.randn(1, 4))
    assert not layer.casts.kept
