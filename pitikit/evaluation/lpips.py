"""Learned perceptual distance (Zhang et al. 2018), with AlexNet."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from pitikit.evaluation.image_metric import PairMetric, to_unit
from pitikit.files import file_sha256
from pitikit.losses.backbones import DOWNLOAD, find_backbone
from pitikit.registry import METRICS
from pitikit.resources import WEIGHTS_VARIABLE, find_weights, looked_for_weights
from pitikit.weights import AbsentWeightsError, find_downloaded, read_checkpoint, read_tensors

FILE_NAME = "alexnet_features.safetensors"
SMALLEST = 31
"""Pixels: the side of an image of which AlexNet's two poolings leave something."""

HOW_TO_GET = (
    f"put {FILE_NAME} (torchvision's features.* tensors) into weights/ or into the folder that "
    f"{WEIGHTS_VARIABLE} names, set LPIPS(weights=FILE), or weights='download' (--download) to fetch torchvision's file"
)


def find_alexnet(weights: str | Path | None = None) -> Path | None:
    """The file of AlexNet's weights: the one given, or else in ``weights/``, or torchvision's own.

    Raises:
        AbsentWeightsError: ``weights`` is 'download', and it cannot be fetched.
    """
    if weights == DOWNLOAD:
        return find_weights(FILE_NAME) or find_backbone("alexnet", weights)
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
class LPIPS(PairMetric):
    """``LPIPS``: the mean perceptual distance to the true images, 0 for equal ones; AlexNet, version 0.1.

    Without the backbone's weights, the metric has no value, and a note how to get them.

    Args:
        weights: file with torchvision's ``features.*`` of AlexNet, safetensors or .pth; 'download' for torchvision's
            own, fetched once and checked. By default ``alexnet_features.safetensors`` in ``$PITIKIT_WEIGHTS`` or
            ``weights/``, or what torchvision has downloaded before.
        collect_device, collect_dir, prefix: see mmengine's BaseMetric.

    Reads of a sample: ``pred`` uint8 (3, H, W) and ``image`` (3, H, W) in [-1, 1], 31 pixels or more.

    Raises:
        ValueError: the file of weights is damaged or foreign; or images differ in size.
    """

    name = "LPIPS"
    smallest = SMALLEST

    def __init__(
        self,
        weights: str | Path | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        self.network: nn.Module | None = None
        try:
            path = find_alexnet(weights)
        except AbsentWeightsError as error:
            path, self.absent = None, str(error)
        if path is not None:
            self.network = build_lpips(path)
            self.facts = dict(network="AlexNet", version="0.1", weights_sha256=file_sha256(path))
        elif not self.absent:
            named = FILE_NAME if weights is None else f"weights={str(weights)!r}; {looked_for_weights(weights)}"
            self.absent = f"no weights of AlexNet ({named}): {HOW_TO_GET}"

    @torch.no_grad()
    def value(self, image: Tensor, truth: Tensor) -> float:
        """The distance of a pair."""
        assert self.network is not None
        return float(self.network(to_unit(image)[None], to_unit(truth)[None]))
