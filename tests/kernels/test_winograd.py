"""Convolutions by tiles against torch's own in float64."""

import threading

import pytest
import torch
import torch.nn.functional as F

from pitikit.kernels import winograd


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
@pytest.mark.parametrize("buffer", [2**22, 36 * 7 * 12 + 1, 36 * 5 * 7 * 8, 36 * 5 * 7 * 2])
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
    for kept in winograd.BUFFERS.kept.values():
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
