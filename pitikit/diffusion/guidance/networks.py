"""Guidances by a second network: one that reads the image, or a weaker version of the model."""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from typing import Annotated, Any

import torch
from torch import Tensor, nn

from pitikit.diffusion.consistency import make_agreement
from pitikit.diffusion.guidance.base import Guidance, GuidanceInputs, NeedsInputs, Scaled, ScaleOf, finite
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import Denoise, Prediction, joined
from pitikit.files import file_sha256
from pitikit.registry import GUIDANCES, MODELS
from pitikit.resources import find_weights


@GUIDANCES.register_module()
class ConsistencyGuidance(NeedsInputs):
    """Guidance by what a network reads in the estimated image: it should be the condition; no training is needed.

    eps + scale sqrt(1 - alpha_bar) grad l(c, S(x0(x_t))), with l as of
    :class:`~pitikit.losses.consistency.ConsistencyLoss`: the gradient goes through the denoiser, at two to three times
    its time and at the memory of a training step. l is a mean over the image, so that a scale suits every size. Here 0
    means none. At high noise the gradient is no help: put an ``Interval`` around it.

    Labels and depth are those of the inputs that a translation reads; a test takes them from the batch,
    ``PackInputs(keep=['label'])``. Normals and edges are in the condition.

    Args:
        network: config or module S, images (B, 3, H, W) in [-1, 1] to (B, K, h, w).
        target: what it reads, 'label', 'depth', 'normals' or 'edges'.
        scale: factor of the gradient.
        source: member of the batch with the truth, if another than that of the target.
        options: of the target, see :mod:`pitikit.diffusion.consistency`.

    Raises:
        ValueError, TypeError: an unknown target, an unknown option.
    """

    needs_null = False

    def __init__(
        self,
        network: Annotated[Any, MODELS],
        target: str = "label",
        scale: float = 1.0,
        source: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> None:
        place = type(self).__name__
        self.scale = finite(f"{place}: scale", scale)
        built = MODELS.build(network) if isinstance(network, dict) else network
        self.network: nn.Module = built.eval()
        self.agreement = make_agreement(place, target, source, **(options or {}))
        self.needs = (self.agreement.source,) if self.scale else ()
        self._truth: Tensor | None = None

    def bound(self, inputs: GuidanceInputs) -> Guidance:
        """Copy the guidance with the truth of a sampling."""
        changed = copy(self)
        changed._truth = self.agreement.truth(inputs.truths) if self.scale else None
        return changed

    def wrap(self, denoise: Denoise, null_denoise: Denoise | None, schedule: NoiseSchedule) -> Denoise:
        """Move each prediction along the gradient."""
        truth = self._truth
        if not self.scale or truth is None:
            return denoise

        def guided(x_t: Tensor, t: Tensor) -> Prediction:
            with torch.enable_grad():
                x = x_t.detach().requires_grad_()
                prediction = denoise(x, t)
                network = self.network.to(x.device)
                total = self.agreement.distance(network(prediction.x0), truth.to(x.device)).sum()
                (gradient,) = torch.autograd.grad(total, x)
            prediction = prediction.detached(x_t)
            sigma = (1 - prediction.alpha_bar).sqrt().to(x_t.dtype)
            return prediction.with_eps(prediction.eps + self.scale * sigma * gradient)

        return guided


@GUIDANCES.register_module()
class ClassifierGuidance(ConsistencyGuidance):
    """Guidance by a classifier of clean images (Dhariwal & Nichol 2021, alg. 2), such as the segmenter of mIoU.

    eps - scale sqrt(1 - alpha_bar) grad log p(y | x0(x_t)), of a label map the mean over its pixels:
    :class:`ConsistencyGuidance` by labels. The label is
    :attr:`SamplingRequest.label <pitikit.diffusion.samplers.SamplingRequest>`.

    Args:
        network: config or module, images (B, 3, H, W) in [-1, 1] to logits (B, K, H, W) or (B, K).
        scale: factor of the gradient; 0 for none.
        ignore: label id that does not count.
    """

    def __init__(self, network: Annotated[Any, MODELS], scale: float = 1.0, ignore: int = 255) -> None:
        super().__init__(network, "label", scale, options=dict(ignore=ignore))


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
