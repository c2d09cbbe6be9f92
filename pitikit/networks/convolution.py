"""Convolutions and norms of a decoder for the CPU at a batch of one, where weights weigh more than images.

On other devices, and where nothing is gained, they are torch's own. Numbers are the same within rounding.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from pitikit.networks import winograd

# What oneDNN computes in; others are left to torch.
DTYPES = (torch.float32, torch.bfloat16)
# Up to so many pixels in the batch a 3x3 convolution is a product of matrices: oneDNN would reorder weights that are
# many times larger than the image, which takes longer than the convolution itself (94 against 66 GFLOP/s measured
# for 768 channels of 8x8 in float32, 330 against 130 in bfloat16).
PRODUCT_PIXELS = 64
# The same for the gradient of the weights, which a product writes in the order that the parameter has; and for weights
# in another memory format, which are then more to copy than what that saves.
PRODUCT_GRADIENT_PIXELS = CONTIGUOUS_PIXELS = 256
# Filtering by tiles takes half the time where the weights are few beside the pixels of an image, and the channels
# enough for products of matrices. In float32: at 36 places the rounding of bfloat16 would show. The gradient of the
# weights gains from the whole batch.
# (For 384 channels of 64x64: 20 ms against 40 in float32 and, without matrix units, 67 in bfloat16.)
TILED_PIXELS, TILED_GRADIENT_PIXELS, TILED_CHANNELS = 256, 1024, 96


class KeptCasts:
    """Frozen parameters in another precision, cast once and not at every step; not part of a module's state."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[tuple, Tensor]] = {}

    def __reduce__(self) -> tuple:
        # A copied or pickled module makes its own.
        return KeptCasts, ()

    def get(self, name: str, parameter: Tensor, dtype: torch.dtype, memory_format: torch.memory_format) -> Tensor:
        """``parameter`` in ``dtype``, kept while it is frozen and unchanged."""
        if parameter.requires_grad:
            self._kept.pop(name, None)
            return parameter.to(dtype)
        # Written to in place (an EMA, a checkpoint) a tensor has another version; moved, another address.
        version = 0 if parameter.is_inference() else parameter._version
        state = (version, parameter.data_ptr(), parameter.device, dtype, memory_format)
        kept = self._kept.get(name)
        if kept is None or kept[0] != state:
            kept = state, parameter.detach().to(dtype, memory_format=memory_format)
            self._kept[name] = kept
        return kept[1]


def computing_dtype(x: Tensor) -> torch.dtype:
    """The precision in which autocast wants products with ``x``; its own without autocast, which spares float64."""
    kind = x.device.type
    wanted = torch.is_autocast_enabled(kind) and x.dtype != torch.float64
    return torch.get_autocast_dtype(kind) if wanted else x.dtype


class _Kept:
    """What the layers share: parameters in the precision of the computation.

    Attributes:
        keeps_casts: keep what a frozen parameter was cast to. Off where parameters are gathered for each use, to be
            gone again afterwards.
    """

    keeps_casts = True

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._casts = KeptCasts()

    def cast(
        self, name: str, dtype: torch.dtype, memory_format: torch.memory_format = torch.preserve_format
    ) -> Tensor | None:
        """The parameter ``name`` in ``dtype``."""
        parameter: Tensor | None = getattr(self, name)
        # Without autocast another dtype is a mistake, which torch's own message names.
        if parameter is None or parameter.dtype == dtype or not torch.is_autocast_enabled(parameter.device.type):
            return parameter
        if not self.keeps_casts:
            return parameter.to(dtype)
        return self._casts.get(name, parameter, dtype, memory_format)


class Linear(_Kept, nn.Linear):
    """nn.Linear that casts frozen weights once."""

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        dtype = computing_dtype(input)
        weight = self.cast("weight", dtype)
        assert weight is not None
        return F.linear(input.to(dtype), weight, self.cast("bias", dtype))


class Pointwise(_Kept, nn.Conv1d):
    """A convolution of width 1, as a product with (B, L, C): the released weights are Conv1d, a product is faster."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 1)

    def forward(self, input: Tensor) -> Tensor:
        """(B, L, in_channels) to (B, L, out_channels)."""
        dtype = computing_dtype(input)
        weight = self.cast("weight", dtype)
        assert weight is not None
        return F.linear(input.to(dtype), weight.squeeze(-1), self.cast("bias", dtype))


class Conv2d(_Kept, nn.Conv2d):
    """A convolution that keeps the size: 3x3 with padding 1, or 1x1.

    Args:
        in_channels, out_channels: of the feature map.
        kernel_size: 3 or 1.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)

    def forward(self, input: Tensor) -> Tensor:
        """(B, in_channels, H, W) to (B, out_channels, H, W)."""
        dtype = computing_dtype(input)
        x = input.to(dtype)
        if x.device.type != "cpu" or dtype not in DTYPES:
            weight, bias = self.cast("weight", dtype), self.cast("bias", dtype)
            return F.conv2d(x, weight, bias, padding=self.padding)  # type: ignore[arg-type]
        if self.kernel_size == (3, 3) and is_tiled(x, self.weight):
            return _Convolve.apply(x, self.weight, self.bias)
        order = layout(x)
        by_product = self.kernel_size == (3, 3) and is_product(x)
        weight = self.cast("weight", dtype, torch.contiguous_format if by_product else order)
        bias = self.cast("bias", dtype)
        assert weight is not None and bias is not None
        if self.kernel_size == (3, 3):
            return _Convolve.apply(x, weight, bias)
        if order is torch.channels_last:
            return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)
        return F.conv2d(x, weight, bias)


def is_product(x: Tensor) -> bool:
    """Whether a 3x3 convolution of (B, C, H, W) on the CPU is computed as a product of matrices."""
    return x.shape[0] * x.shape[2] * x.shape[3] <= PRODUCT_PIXELS


def is_tiled(x: Tensor, weight: Tensor) -> bool:
    """Whether a 3x3 convolution of (B, C, H, W) on the CPU is computed by tiles, in float32, whatever B is."""
    height, width = x.shape[2:]
    whole = height % winograd.MULTIPLE == width % winograd.MULTIPLE == 0
    enough = height * width >= TILED_PIXELS and min(weight.shape[:2]) >= TILED_CHANNELS
    spared = x.dtype == torch.bfloat16 and torch.is_autocast_enabled("cpu") and not has_matrix_units()
    return weight.dtype == torch.float32 and (x.dtype == torch.float32 or spared) and whole and enough


@cache
def has_matrix_units() -> bool:
    """Whether products in bfloat16 are several times faster than in float32: no x86 CPU without AMX."""
    capabilities: Mapping[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("amx_bf16", True))


def layout(x: Tensor) -> torch.memory_format:
    """``torch.channels_last`` if (B, C, H, W) lies in memory as (B, H, W, C), ``torch.contiguous_format`` otherwise."""
    last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
    return torch.channels_last if last else torch.contiguous_format


class _Convolve(torch.autograd.Function):
    """A 3x3 convolution that remembers its input only if the weights learn: by products, by tiles, or torch's own."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C', H, W)."""
        ctx.save_for_backward(x if ctx.needs_input_grad[1] else None, weight)
        ctx.shape, ctx.order, ctx.small, ctx.tiled = x.shape, layout(x), is_product(x), is_tiled(x, weight)
        ctx.inner_order = _inner_order(x, weight)
        batch, _, height, width = x.shape
        if ctx.small:
            y = F.linear(_columns(x).t(), weight.flatten(1), bias)  # (B * H * W, C')
            y = y.view(batch, height, width, -1).permute(0, 3, 1, 2)
        elif ctx.tiled:
            y = winograd.convolve(x.float(), weight, bias).to(x.dtype)
        else:
            y = F.conv2d(x.contiguous(memory_format=ctx.inner_order), weight, bias, padding=1)
        return y.contiguous(memory_format=ctx.order)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Gradients of x, weight and bias, those that are wanted."""
        x, weight = ctx.saved_tensors
        batch, _, height, width = ctx.shape
        wants_x, wants_weight, wants_bias = ctx.needs_input_grad
        g_x = g_weight = g_bias = None
        if wants_bias:
            g_bias = g.sum(dim=(0, 2, 3))
        if wants_weight and batch * height * width <= PRODUCT_GRADIENT_PIXELS:
            g_weight = (_rows(g).t() @ _columns(x).t()).view(weight.shape)
            wants_weight = False
        if wants_x and ctx.small:
            # This way round, and then transposed, is half as long as the product that gives the columns themselves.
            columns = (_rows(g) @ weight.flatten(1)).view(batch, height * width, -1).transpose(1, 2)
            # In float32, as a convolution would add up.
            g_x = F.fold(columns.float(), (height, width), 3, padding=1).to(g.dtype)
            wants_x = False
        if wants_x and ctx.tiled:
            g_x = winograd.input_gradient(g.float(), weight).to(g.dtype)
            wants_x = False
        if wants_weight and ctx.tiled and batch * height * width >= TILED_GRADIENT_PIXELS:
            g_weight = winograd.weight_gradient(g.float(), x.float())
            wants_weight = False
        if wants_x or wants_weight:
            # Without gradients of the weights only shape and layout of the input are looked at.
            order = dict(memory_format=ctx.inner_order)
            x = torch.empty(ctx.shape, dtype=g.dtype, **order) if x is None else x.contiguous(**order)
            weight = weight.to(g.dtype)
            found = convolution_gradients(g.contiguous(**order), x, weight, 1, wants_x, wants_weight)
            g_x, g_weight = found[0] if wants_x else g_x, found[1] if wants_weight else g_weight
        return None if g_x is None else g_x.contiguous(memory_format=ctx.order), g_weight, g_bias


def convolution_gradients(
    g: Tensor, x: Tensor, weight: Tensor, padding: int, wants_x: bool, wants_weight: bool
) -> tuple[Tensor | None, Tensor | None]:
    """Torch's own gradients of a convolution's input and weights, None where not wanted."""
    wanted = [wants_x, wants_weight, False]
    gradients = torch.ops.aten.convolution_backward(
        g, x, weight, None, [1, 1], [padding, padding], [1, 1], False, [0, 0], 1, wanted
    )
    return gradients[0], gradients[1]


def _inner_order(x: Tensor, weight: Tensor) -> torch.memory_format:
    small = x.shape[0] * x.shape[2] * x.shape[3] <= CONTIGUOUS_PIXELS
    return torch.contiguous_format if small and layout(weight) is torch.contiguous_format else layout(x)


def _columns(x: Tensor) -> Tensor:
    """The 3x3 neighbourhoods of every pixel: (C * 9, B * H * W)."""
    return F.unfold(x, 3, padding=1).transpose(0, 1).flatten(1)


def _rows(x: Tensor) -> Tensor:
    """(B, C, H, W) to (B * H * W, C)."""
    return x.permute(0, 2, 3, 1).flatten(0, 2)
