"""A convolution by tiles or by a product where that is faster in float32, that casts frozen weights once."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.grad import conv2d_weight

from pitikit.kernels import products, winograd
from pitikit.kernels.casts import FrozenCastCache, is_cast

# Tiles take half the time where the weights are few beside the pixels of an image, and the channels enough for
# products of matrices: for 384 channels of 64x64 20 ms against 40. The gradient of the weights gains from the whole
# batch.
LEAST_PIXELS, LEAST_GRADIENT_PIXELS, LEAST_CHANNELS = 256, 1024, 96
# Up to so many pixels in the batch a product of matrices is faster than torch's convolution, and the gradient of the
# weights, which it writes in the order that the parameter has.
PRODUCT_PIXELS, PRODUCT_GRADIENT_PIXELS = 64, 256
# Up to so many torch's is faster in the order in which the weights lie in memory.
CONTIGUOUS_PIXELS = 256


class FastConv2d(nn.Conv2d):
    """nn.Conv2d padded with zeros; one of 3x3 and padding 1 by tiles or, of few pixels, by a product.

    See :mod:`pitikit.kernels.winograd` and :mod:`pitikit.kernels.products`.

    Attributes:
        casts: None where they are not to be kept.
    """

    casts: FrozenCastCache | None

    def forward(self, input: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H', W')."""
        if torch.compiler.is_compiling():
            return super().forward(input)
        if is_cast(input):
            if self.casts is None:
                return super().forward(input)
            weight, bias = (self.casts.get(self, name, input) for name in ("weight", "bias"))
            assert weight is not None
            return F.conv2d(input, weight, bias, self.stride, self.padding, self.dilation, self.groups)
        if input.ndim != 4 or input.device.type != "cpu" or not is_tileable(self):
            return super().forward(input)
        if self._is_faster(input):
            return _Convolve.apply(input, self.weight, self.bias)
        if pixels(input) <= CONTIGUOUS_PIXELS:
            # In the order of the weights, which are more to copy than the image.
            return super().forward(input.contiguous()).contiguous(memory_format=layout(input))
        return super().forward(input)

    def _is_faster(self, x: Tensor) -> bool:
        if not x.dtype == self.weight.dtype == torch.float32:
            return False
        # Tiles for any batch: an image must not change with its neighbours.
        height, width = x.shape[2:]
        tiled = height % winograd.TILE == width % winograd.TILE == 0 and height * width >= LEAST_PIXELS
        return tiled or pixels(x) <= PRODUCT_PIXELS


def is_tileable(layer: nn.Conv2d) -> bool:
    """True if tiles and products can be faster: 3x3, padding 1, enough channels."""
    return (
        layer.kernel_size == (3, 3)
        and layer.stride == layer.padding == layer.dilation == (1, 1)
        and layer.groups == 1
        and min(layer.in_channels, layer.out_channels) >= LEAST_CHANNELS
    )


def pixels(x: Tensor) -> int:
    """Count the pixels of a batch (B, C, H, W)."""
    return x.shape[0] * x.shape[2] * x.shape[3]


class _Convolve(torch.autograd.Function):
    """Convolution by tiles or a product that stores its input only if the weights learn."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """(B, C, H, W) to (B, C', H, W)."""
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        ctx.order = layout(x)
        form = products if pixels(x) <= PRODUCT_PIXELS else winograd
        return form.convolve(x, weight, bias).contiguous(memory_format=ctx.order)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Gradients of x, weight and bias, those that are wanted."""
        x, weight = ctx.saved_tensors
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        # Gradients that are differentiated again (a gradient penalty) are torch's own.
        once = not torch.is_grad_enabled()
        g_x = _input_gradient(g, weight, once).contiguous(memory_format=ctx.order) if wants_x else None
        g_weight = _weight_gradient(g, x, weight, once) if wants_weight else None
        return g_x, g_weight, g.sum(dim=(0, 2, 3)) if wants_bias else None


def _input_gradient(g: Tensor, weight: Tensor, once: bool) -> Tensor:
    if once:
        return (products if pixels(g) <= PRODUCT_PIXELS else winograd).input_gradient(g, weight)
    return F.conv_transpose2d(g, weight, padding=1)


def _weight_gradient(g: Tensor, x: Tensor, weight: Tensor, once: bool) -> Tensor:
    if once and pixels(g) <= PRODUCT_GRADIENT_PIXELS:
        return products.weight_gradient(g, x)
    if once and pixels(g) >= LEAST_GRADIENT_PIXELS:
        return winograd.weight_gradient(g, x)
    return conv2d_weight(x, weight.shape, g, padding=1)


def layout(x: Tensor) -> torch.memory_format:
    """``torch.channels_last`` if (B, C, H, W) lies in memory as (B, H, W, C), ``torch.contiguous_format`` otherwise."""
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format
