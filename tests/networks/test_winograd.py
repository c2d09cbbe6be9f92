"""Convolutions by tiles against torch's own in float64."""

import threading

import pytest
import torch
import torch.nn.functional as F

from pitikit.networks import convolution, winograd
from pitikit.networks.convolution import Conv2d, has_matrix_units, is_tiled

CHANNELS = 96


def operands(batch, channels, out_channels, height, width):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(batch, channels, height, width, generator=generator)
    weight = torch.randn(out_channels, channels, 3, 3, generator=generator) * (9 * channels) ** -0.5
    bias = torch.randn(out_channels, generator=generator)
    g = torch.randn(batch, out_channels, height, width, generator=generator)
    return x, weight, bias, g


def expected(x, weight, bias, g):
    """The result, the gradient of the input and that of the weights, in float64."""
    x, weight, bias, g = (each.double() for each in (x, weight, bias, g))
    x, weight = x.requires_grad_(), weight.requires_grad_()
    y = F.conv2d(x, weight, bias, padding=1)
    return y.detach(), *torch.autograd.grad(y, (x, weight), g)


def relative(found, wanted):
    return ((found - wanted).norm() / wanted.norm()).item()


# All at once; in parts of the output channels; in strips of samples; in strips of lines, the last one shorter.
@pytest.mark.parametrize("buffer", [2**22, 36 * 7 * 12 + 1, 36 * 5 * 7 * 8, 36 * 5 * 7 * 2, 16 * 5 * 7 + 1])
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("batch", [3, 1])
def test_like_torch(buffer, memory_format, batch, monkeypatch):
    monkeypatch.setattr(winograd, "BUFFER", buffer)
    x, weight, bias, g = operands(batch, 7, 12, 12, 20)
    y, g_x, g_weight = expected(x, weight, bias, g)
    x, weight, g = (each.contiguous(memory_format=memory_format) for each in (x, weight, g))
    assert relative(winograd.convolve(x, weight, bias), y) < 2e-6
    assert relative(winograd.convolve(x, weight), y - bias[:, None, None]) < 2e-6
    assert relative(winograd.input_gradient(g, weight), g_x) < 2e-6
    assert relative(winograd.weight_gradient(g, x), g_weight) < 4e-6


@pytest.mark.parametrize("batch, side, tile", [(1, 16, 2), (2, 16, 4), (1, 20, 4)])
def test_tiles_are_small_where_pixels_are_few(batch, side, tile):
    x, weight, bias, g = operands(batch, 64, 96, side, side)
    assert winograd._way(x).tile == tile
    y, g_x, g_weight = expected(x, weight, bias, g)
    bound = {2: 6e-7, 4: 3e-6}[tile]
    assert relative(winograd.convolve(x, weight, bias), y) < bound
    assert relative(winograd.input_gradient(g, weight), g_x) < bound
    assert relative(winograd.weight_gradient(g, x), g_weight) < bound


def test_the_rounding_is_that_of_the_documentation():
    x, weight, bias, g = operands(1, 192, 192, 64, 64)
    y, g_x, g_weight = expected(x, weight, bias, g)
    assert relative(winograd.convolve(x, weight, bias), y) < 2e-6
    assert relative(winograd.input_gradient(g, weight), g_x) < 3e-6
    assert relative(winograd.weight_gradient(g, x), g_weight) < 4e-6


def test_a_result_is_not_written_over_by_the_next():
    x, weight, bias, _ = operands(1, 8, 8, 8, 8)
    first = winograd.convolve(x, weight, bias)
    kept = first.clone()
    winograd.convolve(-x, weight, bias)
    assert torch.equal(first, kept)


@pytest.mark.parametrize("batch", [1, 3])
def test_what_is_left_in_memory_does_not_matter(batch, monkeypatch):
    monkeypatch.setattr(winograd, "BUFFER", 36 * 5 * 7 * 2)
    operands_ = x, weight, bias, g = operands(batch, 7, 12, 12, 20)
    wanted = expected(*operands_)

    def results():
        return winograd.convolve(x, weight, bias), winograd.input_gradient(g, weight), winograd.weight_gradient(g, x)

    results()
    for kept in winograd._buffers._kept.values():
        kept.fill_(torch.nan)
    for found, exact in zip(results(), wanted, strict=True):
        assert relative(found, exact) < 4e-6


def test_threads_do_not_share_memory():
    x, weight, bias, _ = operands(1, 32, 32, 64, 64)
    wanted = [winograd.convolve(x * sign, weight, bias) for sign in (1, -1)]
    wrong = []

    def work(sign, result):
        wrong.extend(1 for _ in range(20) if not torch.equal(winograd.convolve(x * sign, weight, bias), result))

    threads = [threading.Thread(target=work, args=pair) for pair in zip((1, -1), wanted, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_within_inference_mode_and_then_with_gradients():
    winograd._minimal_filter.cache_clear()
    winograd._buffers._kept.clear()
    x, weight, bias, g = operands(1, CHANNELS, CHANNELS, 32, 32)
    conv = Conv2d(CHANNELS, CHANNELS, 3)
    with torch.inference_mode():
        conv(x)
    conv(x.requires_grad_()).backward(g)
    assert x.grad is not None and conv.weight.grad is not None


@pytest.mark.parametrize(
    "shape, dtype, tiled",
    [
        ((1, CHANNELS, 32, 32), torch.float32, True),
        ((8, CHANNELS, 32, 32), torch.float32, True),
        ((1, CHANNELS, 16, 16), torch.float32, True),
        ((8, CHANNELS, 12, 12), torch.float32, False),
        ((1, CHANNELS, 32, 34), torch.float32, False),
        ((1, CHANNELS - 1, 32, 32), torch.float32, False),
        ((1, CHANNELS, 32, 32), torch.float64, False),
    ],
)
def test_where_it_is_used(shape, dtype, tiled):
    # Not a matter of the batch: an image does not change with its neighbours.
    x = torch.zeros(shape, dtype=dtype)
    assert is_tiled(x, torch.zeros(CHANNELS, shape[1], 3, 3, dtype=dtype)) is tiled


@pytest.mark.parametrize("units", [False, True])
def test_under_autocast_it_is_used_where_bfloat16_is_slow(units, monkeypatch):
    monkeypatch.setattr(convolution, "has_matrix_units", lambda: units)
    calls = []
    for name in ("convolve", "input_gradient", "weight_gradient"):
        function = getattr(winograd, name)
        monkeypatch.setattr(winograd, name, lambda *a, f=function, n=name: calls.append(n) or f(*a))
    conv = Conv2d(CHANNELS, CHANNELS, 3)
    for side in (16, 32):
        x, _, _, g = operands(1, CHANNELS, CHANNELS, side, side)
        wanted = expected(x, conv.weight.detach(), conv.bias.detach(), g)
        conv.zero_grad()
        x.requires_grad_()
        with torch.autocast("cpu", torch.bfloat16):
            y = conv(x)
        y.backward(g.bfloat16())
        assert y.dtype == torch.bfloat16 and x.grad.dtype == conv.weight.grad.dtype == torch.float32
        for found, exact in zip((y, x.grad, conv.weight.grad), wanted, strict=True):
            assert relative(found.detach(), exact) < 0.01
    every = ["convolve", "input_gradient", "convolve", "input_gradient", "weight_gradient"]
    assert calls == ([] if units else every)
    conv.half()
    assert not is_tiled(x, conv.weight)


def test_what_the_processor_is_asked(monkeypatch):
    asked = has_matrix_units.__wrapped__
    for found, expected_answer in (({"amx_bf16": False}, False), ({"amx_bf16": True}, True), ({"neon": True}, True)):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found, raising=False)
        assert asked() is expected_answer


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("shape", [(1, 16), (2, 16), (2, 36)])
def test_in_a_layer(shape, frozen, memory_format):
    x, weight, bias, g = operands(shape[0], CHANNELS, 100, 32 if shape[1] > 16 else 16, shape[1])
    conv = Conv2d(CHANNELS, 100, 3)
    conv.load_state_dict({"weight": weight, "bias": bias})
    conv.requires_grad_(not frozen)
    wanted = expected(x, weight, bias, g)
    x = x.contiguous(memory_format=memory_format).requires_grad_()
    y = conv(x)
    y.backward(g)
    assert relative(y.detach(), wanted[0]) < 2e-6 and relative(x.grad, wanted[1]) < 3e-6
    assert y.is_contiguous(memory_format=memory_format)
    if not frozen:
        assert relative(conv.weight.grad, wanted[2]) < 4e-6
        assert relative(conv.bias.grad, g.double().sum((0, 2, 3))) < 2e-6
