"""Guidances by a second network: a classifier, or a weaker version of the model."""

from __future__ import annotations

from copy import copy
from typing import Annotated, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pitikit.diffusion.guidance.base import Guidance, GuidanceInputs, NeedsInputs, Scaled, ScaleOf, finite, innermost
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import Denoise, Prediction, joined
from pitikit.files import file_sha256
from pitikit.registry import GUIDANCES, MODELS
from pitikit.resources import find_weights


@GUIDANCES.register_module()
class ClassifierGuidance(NeedsInputs):
    """Guidance by a classifier of clean images (Dhariwal & Nichol 2021, alg. 2), such as the segmenter of mIoU.

    eps - scale sqrt(1 - alpha_bar) grad log p(y | x0(x_t)): the gradient goes through the denoiser, at two to three
    times its time and at the memory of a training step. Of a label map log p is the mean over its pixels, so that a
    scale suits every size. Here 0 means none. At high noise the gradient is no help: put an ``Interval`` around it.

    The label is :attr:`SamplingRequest.label <pitikit.diffusion.samplers.SamplingRequest>`. A translation takes it from
    its label maps, a test from the batch: ``PackInputs(keep=['label'])``.

    Args:
        network: config or module, images (B, 3, H, W) in [-1, 1] to logits (B, K, H, W) or (B, K).
        scale: factor of the gradient.
        ignore: label id that does not count.
    """

    needs_null = False

    def __init__(self, network: Annotated[Any, MODELS], scale: float = 1.0, ignore: int = 255) -> None:
        self.scale = finite("ClassifierGuidance: scale", scale)
        built = MODELS.build(network) if isinstance(network, dict) else network
        self.network: nn.Module = built.eval()
        self.ignore = ignore
        self._label: Tensor | None = None

    def bound(self, inputs: GuidanceInputs) -> Guidance:
        """Copy the guidance with the labels of a sampling."""
        if self.scale and inputs.label is None:
            raise ValueError(
                "ClassifierGuidance: got no label, expected class ids (B, h, w): keep=['label'] in PackInputs of the "
                "test set, or SamplingRequest(label=...)"
            )
        changed = copy(self)
        changed._label = inputs.label
        return changed

    def wrap(self, denoise: Denoise, null_denoise: Denoise | None, schedule: NoiseSchedule) -> Denoise:
        """Move each prediction along the gradient."""
        label = self._label
        if not self.scale or label is None:
            return denoise

        def guided(x_t: Tensor, t: Tensor) -> Prediction:
            with torch.enable_grad():
                x = x_t.detach().requires_grad_()
                prediction = denoise(x, t)
                network = self.network.to(x.device)
                total = self.log_likelihood(network(prediction.x0), label.to(x.device))
                (gradient,) = torch.autograd.grad(total, x)
            prediction = prediction.detached(x_t)
            sigma = (1 - prediction.alpha_bar).sqrt().to(x_t.dtype)
            return prediction.with_eps(prediction.eps - self.scale * sigma * gradient)

        return guided

    def log_likelihood(self, logits: Tensor, label: Tensor) -> Tensor:
        """Sum over the batch of log p, of a label map the mean over its pixels that count.

        Raises:
            ValueError: label map and logits do not fit.
        """
        label = label.long()
        if label.ndim + 1 != logits.ndim or len(label) != len(logits):
            found, expected = tuple(label.shape), tuple(logits.shape)
            raise ValueError(f"ClassifierGuidance: got a label {found}, expected class ids for logits {expected}")
        if label.shape[1:] != logits.shape[2:]:
            # Ids pass through float32 unchanged.
            label = F.interpolate(label[:, None].float(), logits.shape[2:], mode="nearest-exact")[:, 0].long()
        loss = F.cross_entropy(logits, label, ignore_index=self.ignore, reduction="none").view(len(label), -1)
        return -(loss.sum(1) / (label != self.ignore).view(len(label), -1).sum(1).clamp_min(1)).sum()


def needs_label(guidance: Guidance) -> bool:
    """True for a guidance by a classifier, and for one around such."""
    inner = innermost(guidance)
    return isinstance(inner, ClassifierGuidance) and inner.scale != 0


@GUIDANCES.register_module()
class Autoguidance(Scaled, NeedsInputs):
    """Guidance away from a weaker version of the model (Karras et al. 2024), such as an earlier checkpoint.

    weak + scale (strong - weak), both with the condition. The weak model has the same networks and is loaded once.

    Args:
        weights: file of the weak model, exported or a training checkpoint (its EMA).
        scale: w of the paper.

    Attributes:
        sha256: of the file, to be stored with the images.

    Raises:
        FileNotFoundError: there is no such file.
    """

    needs_null = False

    def __init__(self, weights: str, scale: float = 2.0) -> None:
        super().__init__(scale)
        self.weights = str(weights)
        path = find_weights(self.weights)
        if path is None:
            raise FileNotFoundError(f"Autoguidance: weights={self.weights!r}: no such file; expected a weaker model's")
        self.sha256 = file_sha256(path)
        self._weak: Denoise | None = None

    def bound(self, inputs: GuidanceInputs) -> Guidance:
        """Copy the guidance with the weak model of a sampling."""
        if self.scale == 1:
            return self
        if inputs.weak is None:
            raise ValueError("Autoguidance: got no weak model; expected GuidanceInputs(weak=...), which makes one")
        changed = copy(self)
        changed._weak = inputs.weak(self.weights)
        return changed

    def wrap(
        self, denoise: Denoise, null_denoise: Denoise | None, schedule: NoiseSchedule, scale: ScaleOf | None = None
    ) -> Denoise:
        """Run both models and extrapolate from the weak one."""
        if self.scale == 1 or self._weak is None:
            return denoise
        both = joined(denoise, self._weak)

        def guided(x_t: Tensor, t: Tensor) -> Prediction:
            strong, weak = both(x_t, t)
            here = self.scale if scale is None else scale(t).to(x_t.dtype)
            return strong.with_eps(weak.eps + here * (strong.eps - weak.eps))

        return guided
