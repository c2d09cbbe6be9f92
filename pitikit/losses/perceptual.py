"""Losses on what pretrained networks see in the estimated clean image (PITI, sec. 3.3)."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from pitikit.arguments import nearest
from pitikit.diffusion.types import Prediction, Target
from pitikit.losses.backbones import layer_indices, lpips_network, vgg_features
from pitikit.losses.denoising import Loss
from pitikit.losses.gating import Gate
from pitikit.registry import LOSSES

#: The last layers of four blocks. The paper states neither its levels nor their weights.
LEVELS: Mapping[str, float] = {"relu1_2": 1.0, "relu2_2": 1.0, "relu3_3": 1.0, "relu4_3": 1.0}
DISTANCES = ("rms", "l1", "mse")


class GatedImageLoss(Loss):
    """A loss on the estimated clean image, clamped to [-1, 1], of the samples that a gate lets through.

    Args:
        weight, name: see :class:`~pitikit.losses.denoising.Loss`.
        start, max_t, alpha_power: when it acts, see :class:`~pitikit.losses.gating.Gate`.
    """

    def __init__(
        self, weight: float, name: str, start: int = 100, max_t: int | None = None, alpha_power: float = 0.0
    ) -> None:
        super().__init__(weight, name)
        self.gate = Gate(start, max_t, alpha_power)

    def forward(self, pred: Prediction, target: Target) -> Tensor:
        """(B,); 0 while the gate is closed, and for samples that it leaves out, which cost nothing."""
        value = target.x0.new_zeros(len(target.x0))
        if self.gate.open:
            weight = self.sample_weights(pred, target)
            rows = weight.nonzero().flatten()
            if len(rows):
                distance = self.distance_of(pred.x0[rows].clamp(-1, 1), target, rows)
                value = value.index_add(0, rows, (weight[rows] * distance).to(value.dtype))
        self.gate.advance()
        return value

    @abstractmethod
    def distance_of(self, image: Tensor, target: Target, rows: Tensor) -> Tensor:
        """Images (B, 3, H, W) in [-1, 1], estimated for ``rows`` (B,) of the batch, to (B,)."""

    @abstractmethod
    def try_on(self, image: Tensor) -> None:
        """Evaluate what the loss looks through on an image (1, 3, H, W); an error shows that it cannot process it."""

    def sample_weights(self, pred: Prediction, target: Target) -> Tensor:
        """Weight of each sample, (B,): the gate's."""
        return self.gate.weights(target.t, pred.alpha_bar)


class ClampedImageLoss(GatedImageLoss):
    """A loss between the estimated clean image, clamped to [-1, 1], and the true one.

    Args:
        weight, name, start, max_t, alpha_power: see :class:`GatedImageLoss`.
    """

    def distance_of(self, image: Tensor, target: Target, rows: Tensor) -> Tensor:
        """(B,), see :meth:`distance`."""
        return self.distance(image, target.x0[rows])

    def try_on(self, image: Tensor) -> None:
        """Compare the image with itself."""
        self.distance(image, image)

    @abstractmethod
    def distance(self, image: Tensor, truth: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] each, to (B,); only ``image`` has gradients."""


class BackboneLoss(ClampedImageLoss):
    """A loss that looks through a pretrained network, whose weights are read when a training begins.

    Args:
        weight, name, start, max_t, alpha_power: see :class:`ClampedImageLoss`.
        weights: file of the network, see :func:`~pitikit.losses.backbones.find_backbone`.
    """

    # Holds the device before the network is there.
    anchor: Tensor

    def __init__(
        self,
        weight: float,
        name: str,
        weights: str | Path | None = None,
        start: int = 100,
        max_t: int | None = None,
        alpha_power: float = 0.0,
    ) -> None:
        super().__init__(weight, name, start, max_t, alpha_power)
        self.weights = weights
        self.network: nn.Module | None = None
        self.register_buffer("anchor", torch.empty(0), persistent=False)

    def prepare(self) -> None:
        """Read the network; not called for a model that only samples.

        Raises:
            pitikit.losses.backbones.AbsentWeightsError: there are no weights.
            ValueError: they are damaged, or another network's.
        """
        if self.network is None:
            self.network = self.build().to(self.anchor.device)

    @abstractmethod
    def build(self) -> nn.Module:
        """The network with its weights."""

    def train(self, mode: bool = True) -> BackboneLoss:
        """The network stays in eval mode."""
        super().train(mode)
        if self.network is not None:
            self.network.eval()
        return self


@LOSSES.register_module()
class PerceptualLoss(BackboneLoss):
    """The distance of features at several levels of a VGG: sum of w_m |psi_m(x0-hat) - psi_m(x0)|.

    Args:
        weight: factor on the value; 0.004 is the released one.
        network: 'vgg19', the released one, or 'vgg16'.
        levels: layer to its weight; 'conv2_2' is before the ReLU, 'relu2_2' after it.
        distance: of a level: 'rms', the norm over the square root of the number of features; 'l1', the mean
            difference; 'mse', the mean squared difference.
        weights: file of torchvision's ``features.*``; see :func:`~pitikit.losses.backbones.find_backbone`.
        start, max_t, alpha_power: when it acts, see :class:`~pitikit.losses.gating.Gate`.

    Raises:
        ValueError: an unknown network, level or distance.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        weight: float = 0.004,
        name: str = "perceptual",
        network: str = "vgg19",
        levels: Mapping[str, float] = LEVELS,
        distance: str = "rms",
        weights: str | Path | None = None,
        start: int = 100,
        max_t: int | None = None,
        alpha_power: float = 0.0,
    ) -> None:
        super().__init__(weight, name, weights, start, max_t, alpha_power)
        places = layer_indices(network)
        for level in levels:
            if level not in places:
                raise ValueError(f"levels: {network} has no {level!r}; {nearest(level, places)}")
        if not levels or distance not in DISTANCES:
            raise ValueError(f"levels={dict(levels)}, distance={distance!r}: expected some, and one of {DISTANCES}")
        self.vgg = network
        self.levels = dict(levels)
        self.kind = distance
        # ImageNet's, for images in [0, 1].
        self.register_buffer("mean", torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1), persistent=False)

    def build(self) -> nn.Module:
        """The VGG up to the deepest level."""
        deepest = max(self.levels, key=layer_indices(self.vgg).__getitem__)
        return vgg_features(self.vgg, deepest, self.weights)

    def features(self, image: Tensor) -> dict[str, Tensor]:
        """(B, 3, H, W) in [-1, 1] to the feature maps (B, C, h, w) of the levels."""
        self.prepare()
        assert isinstance(self.network, nn.Sequential)
        wanted = {place: name for name, place in layer_indices(self.vgg).items() if name in self.levels}
        found = {}
        x = ((image + 1) / 2 - self.mean) / self.std
        for place, layer in enumerate(self.network):
            x = layer(x)
            if place in wanted:
                found[wanted[place]] = x
        return found

    def distance(self, image: Tensor, truth: Tensor) -> Tensor:
        """(B,), the weighted sum over levels."""
        with torch.no_grad():
            expected = self.features(truth)
        terms = []
        for name, found in self.features(image).items():
            difference = (found.float() - expected[name].float()).flatten(1)
            if self.kind == "l1":
                value = difference.abs().mean(dim=1)
            else:
                value = difference.square().mean(dim=1)
                if self.kind == "rms":
                    # The root's gradient has no bound at 0.
                    value = (value + 1e-12).sqrt()
            terms.append(self.levels[name] * value)
        return torch.stack(terms).sum(dim=0)


@LOSSES.register_module()
class ReleasedPerceptualLoss(PerceptualLoss):
    """The released form: mean squared difference of VGG-19's conv2_2 before the ReLU, weight 0.004.

    Args:
        weight, name, weights, start, max_t, alpha_power: see :class:`PerceptualLoss`.
    """

    def __init__(
        self,
        weight: float = 0.004,
        name: str = "perceptual",
        weights: str | Path | None = None,
        start: int = 100,
        max_t: int | None = None,
        alpha_power: float = 0.0,
    ) -> None:
        super().__init__(
            weight, name, "vgg19", {"conv2_2": 1.0}, "mse", weights, start, max_t=max_t, alpha_power=alpha_power
        )


@LOSSES.register_module()
class LPIPSLoss(BackboneLoss):
    """The learned perceptual distance (Zhang et al. 2018, version 0.1) of the ``lpips`` package.

    Args:
        weight: factor on the value.
        network: 'vgg16', which the authors recommend for training, or 'alexnet'.
        weights: file of torchvision's ``features.*``; see :func:`~pitikit.losses.backbones.find_backbone`.
        start, max_t, alpha_power: when it acts, see :class:`~pitikit.losses.gating.Gate`.

    Raises:
        ValueError: an unknown network.
    """

    def __init__(
        self,
        weight: float = 0.1,
        name: str = "lpips",
        network: str = "vgg16",
        weights: str | Path | None = None,
        start: int = 100,
        max_t: int | None = None,
        alpha_power: float = 0.0,
    ) -> None:
        super().__init__(weight, name, weights, start, max_t, alpha_power)
        if network not in ("vgg16", "alexnet"):
            raise ValueError(f"network={network!r}: expected 'vgg16' or 'alexnet'")
        self.backbone = network

    def build(self) -> nn.Module:
        """The package's network."""
        return lpips_network(self.backbone, self.weights)

    def distance(self, image: Tensor, truth: Tensor) -> Tensor:
        """(B,)."""
        self.prepare()
        assert self.network is not None
        return self.network(image, truth).flatten()
