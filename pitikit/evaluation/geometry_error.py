"""Agreement of depth and normals of an image, as a network estimates them, with its condition."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pitikit.evaluation.image_metric import NO_TRUTH, ImageMetric, condition_images, member, to_unit
from pitikit.registry import METRICS, MODELS

_REASONS = {
    "depth": "no sample has a 'depth': keep it, PackInputs(keep=['depth'])",
    "normal": "no sample has normals in its 'condition'",
}


class Errors(NamedTuple):
    """Errors of one image; NaN where there is nothing to compare with.

    Attributes:
        depth_abs_rel: mean of ``|d / d* - 1|``, 0 at best.
        depth_delta: share of pixels with ``max(d / d*, d* / d) < 1.25``, 1 at best.
        normal_angle: mean angle between the normals, degrees, 0 at best.
        depth_affine_abs_rel: mean of ``|d / d* - 1|`` after a fit of scale and shift, 0 at best.
    """

    depth_abs_rel: float
    depth_delta: float
    normal_angle: float
    depth_affine_abs_rel: float = math.nan


def geometry_target(
    depth: Tensor | None, normals: Tensor | None, shape: tuple[int, int], name: str = "a sample"
) -> Tensor:
    """The truth for an estimate, at the size of an image: (4, h, w) float32.

    Channel 0 is the logarithm of the depth, of the nearest pixel, NaN where there is none; channels 1 to 3 are normals
    of unit length, means over the pixels that fall together, 0 where there are none.

    Args:
        depth: (H, W) metres; what is not above 0 or not finite is no depth.
        normals: (3, H, W) as a condition encodes them, uint8 or [-1, 1]; a zero vector is no normal.
        shape: (h, w).
        name: of the sample, for the message.

    Raises:
        ValueError: ``normals`` are something else: their lengths are not 1.
    """
    target = torch.zeros(4, *shape)
    target[0] = math.nan
    if depth is not None:
        metres = F.interpolate(depth[None, None].float(), shape, mode="nearest-exact")[0, 0]
        known = (metres > 0) & metres.isfinite()
        target[0] = torch.where(known, metres, math.nan).log()
    if normals is not None:
        vectors = to_unit(normals)
        lengths = vectors.norm(dim=0)
        there = lengths > 0.1
        # A code of 8 bits moves a length by 0.007 at most.
        if there.any() and ((lengths[there] - 1).abs() > 0.03).float().mean() > 0.05:
            raise ValueError(
                f"{name}: three channels of its condition hold vectors of length {float(lengths[there].median()):.2f}; "
                "expected normals, of length 1; set normals= of GeometryError to their first channel, or to None if "
                "there are no normals"
            )
        small = F.interpolate((vectors * there)[None], shape, mode="area")[0]
        length = small.norm(dim=0, keepdim=True)
        target[1:] = torch.where(length > 0.1, small / length.clamp_min(1e-6), 0)
    return target


def geometry_errors(estimate: Tensor, target: Tensor) -> Errors:
    """Errors of one estimate.

    The estimated depth is multiplied by the factor that makes the mean of the logarithms that of the true ones, as in
    the scale-invariant error of Eigen, Puhrsch and Fergus (2014, section 3.2); relative error and delta are theirs too.
    ``depth_affine_abs_rel`` is of ``a d + b``, the least squares fit to the true depth, which many benchmarks use
    (Ranftl et al. 2020); what it makes less than a tenth of the smallest true depth counts as that.

    Args:
        estimate: (4, h, w), log-depth and normals of any length.
        target: (4, h, w), see :func:`geometry_target`.
    """
    abs_rel = affine = delta = angle = math.nan
    known = target[0].isfinite()
    if known.any():
        off = (estimate[0] - target[0])[known].double()
        off = off - off.mean()
        abs_rel = float((off.exp() - 1).abs().mean())
        delta = float((off.abs() < math.log(1.25)).double().mean())
        affine = _affine_abs_rel(*(each[0][known].double().exp() for each in (estimate, target)))
    there = target[1:].norm(dim=0) > 0.5
    if there.any():
        cosine = F.cosine_similarity(estimate[1:].double(), target[1:].double(), dim=0)[there]
        angle = float(cosine.clamp(-1, 1).acos().rad2deg().mean())
    return Errors(abs_rel, delta, angle, affine)


def _affine_abs_rel(depth: Tensor, truth: Tensor) -> float:
    """Mean of ``|(a depth + b) / truth - 1|`` of (N,) depths, a and b by least squares."""
    off = depth - depth.mean()
    power = off.square().sum()
    scale = (off * truth).sum() / power if power > 0 else power
    fitted = (truth.mean() + scale * off).clamp_min(float(truth.min()) / 10)
    return float((fitted / truth - 1).abs().mean())


@METRICS.register_module()
class GeometryError(ImageMetric):
    """``depth_abs_rel``, ``depth_delta``, ``depth_affine_abs_rel`` and ``normal_angle`` of images against their
    condition, means over images.

    A network estimates depth and normals of the image; see :class:`Errors` and :func:`geometry_errors`. The network
    is small and has errors of its own: the names with ``_ground_truth`` have its values on the true images, which a
    perfect model reaches. Where its file is not there, the metric has no value, and a note how to make it.

    On the 109 test images of NYU at 64x64 an estimator of 693 iterations reaches 0.17, 0.74 and 32 degrees. True
    images of other rooms reach 0.27, 0.53 and 47 against the same conditions, and so, nearly, do noise and flat grey:
    rooms are alike, so figures like these are no sign that a condition was followed.

    Args:
        estimator: config or module: images (B, 3, H, W) in [-1, 1] to (B, 4, H, W), log-depth and normals, and,
            optionally, facts to write beside the numbers in ``facts``.
        normals: first of the three channels of the condition that hold normals; None if it has none.
        collect_device, collect_dir, prefix: see mmengine's BaseMetric.

    Reads of a sample: ``pred`` uint8 (3, h, w); ``depth`` (H, W) metres; the normals in ``condition`` (C, H, W), in
    [-1, 1] or uint8; and ``image`` (3, h, w) in [-1, 1] if there is one. What has no depth, or no normals, has no
    value for them.

    Raises:
        ValueError: the channels of the condition hold no normals.
    """

    def __init__(
        self,
        estimator: Annotated[Any, MODELS],
        normals: int | None = 0,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.normals = normals
        self.estimator: nn.Module | None = None
        try:
            self.estimator = MODELS.build(estimator) if isinstance(estimator, dict) else estimator
        except FileNotFoundError as error:
            self.absent = str(error)
        if self.estimator is not None:
            self.estimator.eval()
            self.facts = dict(estimator=type(self.estimator).__name__, normals=normals)
            self.facts.update(getattr(self.estimator, "facts", {}))

    def lacking(self, sample: Mapping[str, Any]) -> str:
        """The reason why samples like this one lack a value; raises where the channels hold no normals."""
        if self.estimator is None:
            return ""
        depth, normals = member(sample, "depth"), self._normals(sample)
        geometry_target(depth, normals, (1, 1), str(sample.get("id", "a sample")))
        absent = [_REASONS[name] for name, part in (("depth", depth), ("normal", normals)) if part is None]
        return "; ".join(absent)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep the errors of each image and, where there is one, of its ground truth."""
        for sample in data_samples:
            image = member(sample, "pred")
            if image is None or self.estimator is None:
                self.results.append(None)
                continue
            target = geometry_target(
                member(sample, "depth"),
                self._normals(sample),
                (image.shape[-2], image.shape[-1]),
                str(sample.get("id", "a sample")),
            )
            truth = member(sample, "image")
            self.results.append((self._errors(image, target), None if truth is None else self._errors(truth, target)))

    def _normals(self, sample: Mapping[str, Any]) -> Tensor | None:
        """Channels of the normals, if the condition has as many."""
        parts = condition_images(sample)
        condition = parts.get("normals", next(iter(parts.values()), None))
        if condition is None or self.normals is None:
            return None
        channels = condition[self.normals : self.normals + 3]
        return channels if len(channels) == 3 else None

    @torch.no_grad()
    def _errors(self, image: Tensor, target: Tensor) -> Errors:
        assert self.estimator is not None
        device = next(iter(self.estimator.parameters()), image).device
        estimate = self.estimator(to_unit(image)[None].to(device))[0].cpu()
        if estimate.shape[1:] != target.shape[1:]:
            target = F.interpolate(target[None], estimate.shape[1:], mode="nearest-exact")[0]
        return geometry_errors(estimate, target)

    def compute_metrics(self, results: list) -> dict[str, float | None]:
        """The means over images."""
        names = Errors._fields
        if self.estimator is None:
            return self.unknown(self.absent, *names, *(f"{name}_ground_truth" for name in names))
        known = [pair for pair in results if pair is not None]
        made = self.means([errors for errors, _ in known], *names)
        true = self.means(
            [errors for _, errors in known if errors is not None], *(f"{name}_ground_truth" for name in names)
        )
        found: dict[str, float | None] = {}
        for name, theirs in zip(names, true, strict=True):
            if made[name] is None:
                found.update(self.unknown(_REASONS[name.partition("_")[0]], name, theirs))
            elif true[theirs] is None:
                found.update({name: made[name]})
                found.update(self.unknown(NO_TRUTH, theirs))
            else:
                found.update({name: made[name], theirs: true[theirs]})
        return found


def mean_errors(errors: Sequence[Errors]) -> Errors:
    """The mean of each over the images that have it; NaN where none has."""
    columns = np.array(errors, np.float64).reshape(-1, len(Errors._fields)).T
    known = [column[~np.isnan(column)] for column in columns]
    return Errors(*(float(column.mean()) if len(column) else math.nan for column in known))
