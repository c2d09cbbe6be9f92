"""Frechet and kernel distance of sets of images, precision and recall, and CMMD: the metrics of sets by name."""

from __future__ import annotations

from pitikit.evaluation.set_metric import SetMetric
from pitikit.registry import METRICS


@METRICS.register_module()
class FID(SetMetric):
    """``FID`` of the images made against true ones, and ``KID_x1000``, a thousand times their kernel distance.

    Both compare 2048 features of Inception, which torch-fidelity extracts. With the few hundred images of a small test
    set, FID is far above what it tends to (it needs thousands), and only numbers of equally many images can be
    compared; KID has no such bias. ``distances=("fid", "kid", "prc")`` adds precision and recall for the same pass.

    Arguments, and what is read of a sample: see :class:`~pitikit.evaluation.set_metric.SetMetric`.
    """

    DISTANCES = ("fid", "kid")


@METRICS.register_module()
class CLIPFID(SetMetric):
    """``FID_CLIP``: the Frechet distance in the features of CLIP ViT-B/32 (Kynkäänniemi et al. 2023).

    See :class:`~pitikit.evaluation.set_metric.SetMetric`.
    """

    EXTRACTOR = "clip-vit-b-32"


@METRICS.register_module()
class FDDINOv2(SetMetric):
    """``FD_DINOv2``: the Frechet distance in the features of DINOv2 ViT-L/14 (Stein et al. 2023).

    See :class:`~pitikit.evaluation.set_metric.SetMetric`.
    """

    EXTRACTOR = "dinov2-vit-l-14"


@METRICS.register_module()
class PrecisionRecall(SetMetric):
    """``precision`` and ``recall`` of manifolds in the features of Inception (Kynkäänniemi et al. 2019).

    The paper, and torch-fidelity by default, take VGG-16: ``extractor="vgg16"``. See
    :class:`~pitikit.evaluation.set_metric.SetMetric`.
    """

    DISTANCES = ("prc",)


@METRICS.register_module()
class CMMD(SetMetric):
    """``CMMD``: maximum mean discrepancy in the features of CLIP ViT-L/14 at 336 pixels (Jayasumana et al. 2024).

    It suits few images better than FID does. See :class:`~pitikit.evaluation.set_metric.SetMetric`.
    """

    EXTRACTOR = "cmmd"
    DISTANCES = ("cmmd",)
