"""Metrics, one file each. Importing the package registers them."""

from pitikit.evaluation.lpips import LPIPS
from pitikit.evaluation.mean_iou import MeanIoU
from pitikit.evaluation.psnr import PSNR
from pitikit.evaluation.segmenter import SceneSegmenter

__all__ = ["LPIPS", "PSNR", "MeanIoU", "SceneSegmenter"]
