"""Metrics, one file each. Importing the package registers them."""

from pitikit.evaluation.colour import Colour
from pitikit.evaluation.diversity import Diversity
from pitikit.evaluation.edge_error import EdgeError
from pitikit.evaluation.fid import CLIPFID, CMMD, FID, FDDINOv2, PrecisionRecall
from pitikit.evaluation.geometry_error import GeometryError
from pitikit.evaluation.geometry_estimator import GeometryEstimator
from pitikit.evaluation.lpips import LPIPS
from pitikit.evaluation.mean_iou import MeanIoU
from pitikit.evaluation.psnr import PSNR
from pitikit.evaluation.segmenter import SceneSegmenter
from pitikit.evaluation.sharpness import Sharpness
from pitikit.evaluation.ssim import SSIM
from pitikit.evaluation.transformers_segmenter import TransformersSegmenter

__all__ = [
    "CLIPFID",
    "CMMD",
    "FDDINOv2",
    "PrecisionRecall",
    "FID",
    "LPIPS",
    "PSNR",
    "SSIM",
    "Colour",
    "Diversity",
    "EdgeError",
    "GeometryError",
    "GeometryEstimator",
    "MeanIoU",
    "SceneSegmenter",
    "Sharpness",
    "TransformersSegmenter",
]
