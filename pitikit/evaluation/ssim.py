"""Structural similarity (Wang et al. 2004)."""

from __future__ import annotations

from torch import Tensor

from pitikit.evaluation.image_metric import PairMetric, to_bytes
from pitikit.registry import METRICS

WINDOW = 11


@METRICS.register_module()
class SSIM(PairMetric):
    """``SSIM`` of each image and its truth, 1 for equal ones, its mean over images.

    As in the paper: windows of 11x11 with a Gaussian of 1.5 pixels, wherever they lie within the image, K1 = 0.01 and
    K2 = 0.03 of 255 grey levels; the mean over red, green and blue. The arithmetic is torchmetrics'.

    Reads of a sample: ``pred`` uint8 (3, H, W) and ``image`` (3, H, W) in [-1, 1], 11 pixels or more.

    Raises:
        ValueError: the two differ in size.
    """

    name = "SSIM"
    smallest = WINDOW

    def value(self, image: Tensor, truth: Tensor) -> float:
        """The similarity of a pair."""
        from torchmetrics.functional.image import structural_similarity_index_measure

        made, true = (to_bytes(each)[None].double() for each in (image, truth))
        _, map_of = structural_similarity_index_measure(made, true, data_range=255.0, return_full_image=True)
        # torchmetrics reflects the image at its border, and has values there too.
        edge = WINDOW // 2
        return float(map_of[..., edge:-edge, edge:-edge].mean())
