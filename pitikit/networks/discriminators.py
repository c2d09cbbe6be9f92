"""Discriminators between real and generated images."""

from __future__ import annotations

import itertools

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations

from pitikit.registry import DISCRIMINATORS


@DISCRIMINATORS.register_module()
class PatchDiscriminator(nn.Module):
    """PatchGAN (Isola et al. 2017): a logit for each patch; the defaults are the released one, 2,764,737 values.

    Convolutions of width 4: one of stride 2 without a norm, ``layers - 1`` of stride 2 and one of stride 1 with it,
    and one to the logits. Leaky ReLU (0.2) between them.

    Args:
        in_channels: of the image.
        channels: of the first convolution; they double up to eight times that.
        layers: convolutions of stride 2; 3 give logits of patches of 70x70 pixels.
        instance_norm: normalise each feature map, without parameters, as released.
        spectral_norm: bound the gain of every convolution (Miyato et al. 2018); its weights have other names then.

    Raises:
        ValueError: no layers or no channels.
    """

    def __init__(
        self,
        in_channels: int = 3,
        channels: int = 64,
        layers: int = 3,
        instance_norm: bool = True,
        spectral_norm: bool = False,
    ) -> None:
        super().__init__()
        if min(in_channels, channels, layers) < 1:
            raise ValueError(f"in_channels={in_channels}, channels={channels}, layers={layers}: expected 1 or more")
        self.in_channels = in_channels
        # Each halving needs two pixels for one, the two convolutions of stride 1 one more each.
        self.smallest = 3 << layers

        def conv(width: int, new_width: int, stride: int) -> nn.Module:
            made = nn.Conv2d(width, new_width, 4, stride, padding=1)
            return parametrizations.spectral_norm(made) if spectral_norm else made

        modules: list[nn.Module] = [conv(in_channels, channels, 2), nn.LeakyReLU(0.2)]
        width = channels
        for layer in range(1, layers + 1):
            new_width = channels * min(2**layer, 8)
            norm = nn.InstanceNorm2d(new_width) if instance_norm else nn.Identity()
            modules += [conv(width, new_width, 2 if layer < layers else 1), norm, nn.LeakyReLU(0.2)]
            width = new_width
        # The places in the sequence are part of the released names.
        self.model = nn.Sequential(*modules, conv(width, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to logits (B, 1, h, w), high for real patches.

        Raises:
            ValueError: other channels, or an image of less than a patch.
        """
        _check_image(self, image, self.in_channels, self.smallest)
        return self.model(image)


@DISCRIMINATORS.register_module()
class StridedDiscriminator(nn.Module):
    """The released code's other discriminator: twelve convolutions, a logit for each 32x32 pixels; 4,867,873 values.

    One of width 7, then pairs of width 3 of which the first of each doubles the channels and the second halves the
    side, five times; two to the logits. Instance norms with parameters and leaky ReLU (0.2) between them.

    Args:
        in_channels: of the image.
        channels: of the first convolution; they double to sixteen times that.

    Raises:
        ValueError: no channels.
    """

    def __init__(self, in_channels: int = 3, channels: int = 32) -> None:
        super().__init__()
        if min(in_channels, channels) < 1:
            raise ValueError(f"in_channels={in_channels}, channels={channels}: expected 1 or more")
        self.in_channels = in_channels
        widths = [channels * (1 << index // 2) for index in range(10)]
        widths = [in_channels, *widths, channels, 1]
        for number, (width, new_width) in enumerate(itertools.pairwise(widths), start=1):
            size, stride = (7, 1) if number == 1 else (3, 2 if number % 2 == 0 and number < 11 else 1)
            # The names are the released ones.
            setattr(self, f"conv{number}", nn.Conv2d(width, new_width, size, stride, size // 2))
            if number < len(widths) - 1:
                setattr(self, f"norm{number}", nn.InstanceNorm2d(new_width, affine=True))

    #: With a smaller image the last norms would see a single place.
    smallest = 33

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to logits (B, 1, h, w), high for real patches.

        Raises:
            ValueError: other channels, or an image too small for the norms.
        """
        _check_image(self, image, self.in_channels, self.smallest)
        for number in range(1, 12):
            image = self.get_submodule(f"conv{number}")(image)
            image = F.leaky_relu(self.get_submodule(f"norm{number}")(image), 0.2)
        return self.get_submodule("conv12")(image)


def _check_image(discriminator: nn.Module, image: Tensor, channels: int, smallest: int) -> None:
    if image.ndim != 4 or image.shape[1] != channels or min(image.shape[2:]) < smallest:
        raise ValueError(
            f"{type(discriminator).__name__}: expected (B, {channels}, H, W) of {smallest} pixels or more, "
            f"found {tuple(image.shape)}"
        )
