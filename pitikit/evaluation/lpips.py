"""Learned perceptual distance (Zhang et al. 2018), with AlexNet."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from pitikit.evaluation.image_metric import ImageMetric, image_pair, to_unit
from pitikit.files import file_sha256
from pitikit.registry import METRICS
from pitikit.resources import WEIGHTS_VARIABLE, find_weights
from pitikit.weights import find_downloaded, read_checkpoint, read_tensors

FILE_NAME = "alexnet_features.safetensors"
SMALLEST = 31
"""Pixels: the side of an image of which AlexNet's two poolings leave something."""

_NO_PAIR = f"no sample has an 'image' (the ground truth) of {SMALLEST} pixels or more"

HOW_TO_GET = (
    f"put {FILE_NAME} (torchvision's features.* tensors) into weights/ or into the folder that "
    f"{WEIGHTS_VARIABLE} names, or set LPIPS(weights=FILE). Nothing is downloaded automatically; with "
    "a network, this puts torchvision's file where it is found: "
    "python -c \"import torchvision; torchvision.models.alexnet(weights='DEFAULT')\""
)


def find_alexnet(weights: str | Path | None = None) -> Path | None:
    """The file of AlexNet's weights: the one given, or else in ``weights/``, or torchvision's own."""
    if weights is not None:
        return find_weights(weights)
    return find_weights(FILE_NAME) or find_downloaded("alexnet-owt-*.pth")


def build_lpips(path: Path) -> nn.Module:
    """The ``lpips`` package's network, its backbone read from ``path`` and nothing unpickled.

    It takes two batches (B, 3, H, W) in [-1, 1] and gives (B, 1, 1, 1).

    Raises:
        ValueError: the file is damaged or is not AlexNet.
    """
    import lpips

    state = read_tensors(path)
    with warnings.catch_warnings():
        # torchvision warns of the argument by which lpips declines pretrained weights.
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(pretrained=False, net="alex", pnet_rand=True, verbose=False)
    linear = Path(lpips.__file__).parent / "weights" / "v0.1" / "alex.pth"
    heads = read_checkpoint(linear)
    for name, value in heads.items():
        network.get_parameter(name).data.copy_(value)
    # 'net.slice2.3.weight' is torchvision's 'features.3.weight'.
    wanted = {name: "features." + ".".join(name.split(".")[1:]) for name in network.net.state_dict()}
    absent = sorted(set(wanted.values()) - state.keys())
    if absent:
        raise ValueError(f"{path}: not AlexNet of torchvision, it has no {absent[0]!r}")
    try:
        network.net.load_state_dict({name: state[key].float() for name, key in wanted.items()})
    except RuntimeError as error:
        raise ValueError(f"{path}: not AlexNet of torchvision ({error})") from error
    return network.eval().requires_grad_(False)


@METRICS.register_module()
class LPIPS(ImageMetric):
    """``LPIPS``: the mean perceptual distance to the true images, 0 for equal ones; AlexNet, version 0.1.

    Without the backbone's weights, the metric has no value, and a note how to get them.

    Args:
        weights: file with torchvision's ``features.*`` of AlexNet, safetensors or .pth. By default
            ``alexnet_features.safetensors`` in ``$PITIKIT_WEIGHTS`` or ``weights/``, or what
            torchvision has downloaded before.
        collect_device, collect_dir, prefix: see mmengine's BaseMetric.

    Reads of a sample: ``pred`` uint8 (3, H, W) and ``image`` (3, H, W) in [-1, 1], 31 pixels or more.

    Raises:
        ValueError: the file of weights is damaged or foreign; or images differ in size.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        path = find_alexnet(weights)
        self.network = None if path is None else build_lpips(path)
        if path is not None:
            self.facts = dict(network="AlexNet", version="0.1", weights_sha256=file_sha256(path))
        self._absent = f"no weights of AlexNet ({weights or FILE_NAME}): {HOW_TO_GET}"
        if path is None:
            # Logged now, before hours of sampling, and again in the notes.
            print_log(f"LPIPS: {self._absent}", logger="current", level=logging.WARNING)

    def lacking(self, sample: Mapping[str, Any]) -> str:
        """The reason why samples like this one have no value; raises where sizes differ."""
        pair = image_pair(sample)
        too_small = pair is None or min(pair[0].shape[1:]) < SMALLEST
        return _NO_PAIR if self.network is not None and too_small else ""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep one number an image."""
        for sample in data_samples:
            pair = image_pair(sample)
            known = pair is not None and self.network is not None and min(pair[0].shape[1:]) >= SMALLEST
            self.results.append(self._distance(*pair) if known and pair is not None else None)

    @torch.no_grad()
    def _distance(self, image: Tensor, truth: Tensor) -> float:
        assert self.network is not None
        return float(self.network(to_unit(image)[None], to_unit(truth)[None]))

    def compute_metrics(self, results: list) -> dict[str, float | None]:
        """The mean over images."""
        values = [value for value in results if value is not None]
        if values:
            return {"LPIPS": sum(values) / len(values)}
        if self.network is None:
            return self.unknown(self._absent, "LPIPS")
        return self.unknown(_NO_PAIR, "LPIPS")
