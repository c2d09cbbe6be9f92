"""Fine detail of images, relative to the true ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from pitikit.evaluation.image_metric import NO_TRUTH, ImageMetric, image_pair, to_bytes
from pitikit.registry import METRICS

#: ITU-R BT.601: what of red, green and blue makes up brightness.
LUMA = torch.tensor([0.299, 0.587, 0.114])


@METRICS.register_module()
class Sharpness(ImageMetric):
    """``sharpness``: energy of the high spatial frequencies of all images over that of the true ones.

    1 is as much fine detail as the truth has, less is blur, more is noise or ringing. Energy is the mean power of the
    brightness in grey levels, under a Hann window, at frequencies from ``cutoff`` to 1/2 cycle a pixel.

    Reads of a sample: ``pred`` uint8 (3, H, W) and ``image`` (3, H, W) in [-1, 1].

    Args:
        cutoff: in cycles a pixel. The default, 1/8, is the finest that an image of a quarter of the side holds: what
            an upsampler from 64 to 256 has to make up.
        collect_device, prefix, collect_dir: see mmengine's BaseMetric.

    Raises:
        ValueError: ``cutoff`` out of range, or image and truth differ in size.
    """

    def __init__(
        self,
        cutoff: float = 0.125,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        if not 0 <= cutoff < 0.5:
            raise ValueError(f"cutoff={cutoff}: expected 0 to 0.5 cycles a pixel")
        self.cutoff = cutoff
        self.facts = dict(cutoff=cutoff)

    def lacking(self, sample: Mapping[str, Any]) -> str:
        """The reason why samples like this one have no value; raises where sizes differ."""
        return NO_TRUTH if image_pair(sample) is None else ""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep two numbers an image."""
        for sample in data_samples:
            pair = image_pair(sample)
            if pair is not None:
                self.results.append(tuple(high_energy(to_bytes(image), self.cutoff) for image in pair))

    def compute_metrics(self, results: list) -> dict[str, float | None]:
        """The ratio of the sums, so that a flat image does not decide it."""
        if not results:
            return self.unknown(NO_TRUTH, "sharpness")
        found = self.ratios(results, "sharpness")
        if found["sharpness"] is None:
            return self.unknown("the true images have no detail at these frequencies", "sharpness")
        return found


def high_energy(image: Tensor, cutoff: float) -> float:
    """Mean power of (3, H, W), in squared grey levels, at frequencies of ``cutoff`` cycles a pixel and above."""
    grey = torch.einsum("c,chw->hw", LUMA, image.float())
    height, width = grey.shape
    # Without a window the jump from one border to the opposite one counts as detail.
    window = torch.hann_window(height, False)[:, None] * torch.hann_window(width, False)
    power = torch.fft.fft2((grey - grey.mean()) * window).abs().square() / window.square().sum()
    frequency = torch.hypot(torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width))
    return float(power[frequency >= cutoff].double().sum() / (height * width))
