"""Pretrained networks that losses look through: where their weights are found, and how they stay out of checkpoints."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from pitikit.resources import WEIGHTS_VARIABLE, find_weights, looked_for_weights
from pitikit.weights import AbsentWeightsError, WeightsError, fetch, find_downloaded, read_checkpoint, read_tensors

DOWNLOAD = "download"
"""In place of a path: torchvision's own file, fetched once and checked."""

#: Convolutions in each block of a VGG (Simonyan & Zisserman 2015); a pooling follows each block.
BLOCKS: dict[str, tuple[int, ...]] = {"vgg16": (2, 2, 3, 3, 3), "vgg19": (2, 2, 4, 4, 4)}

#: torchvision's files. Their names end in the first eight digits of their SHA-256: which is all that is published
#: and all that torch.hub compares.
FILES = {
    "vgg16": "vgg16-397923af.pth",
    "vgg19": "vgg19-dcbb9e9d.pth",
    "alexnet": "alexnet-owt-7be5be79.pth",
}
#: Where they are published.
DOWNLOADS = "https://download.pytorch.org/models/"


def layer_indices(network: str) -> dict[str, int]:
    """Place of each layer in torchvision's ``features``: 'conv2_2' is before the ReLU, 'relu2_2' after it.

    Raises:
        ValueError: ``network`` is neither 'vgg16' nor 'vgg19'.
    """
    if network not in BLOCKS:
        raise ValueError(f"network={network!r}: expected 'vgg16' or 'vgg19'")
    places: dict[str, int] = {}
    index = 0
    for block, count in enumerate(BLOCKS[network], start=1):
        for layer in range(1, count + 1):
            places[f"conv{block}_{layer}"], places[f"relu{block}_{layer}"] = index, index + 1
            index += 2
        index += 1
    return places


def find_backbone(network: str, weights: str | Path | None = None) -> Path:
    """The file with the ``features.*`` tensors of a network of torchvision, 'vgg16', 'vgg19' or 'alexnet'.

    Args:
        network: its name.
        weights: a file, looked for as :func:`~pitikit.resources.find_weights` does; 'download' for
            torchvision's file, which is fetched to torch.hub's folder unless it is there and compared with the
            published digits of its checksum; None for ``<network>_features.safetensors`` or
            ``<network>_features_fp16.safetensors``, or torchvision's file if it was downloaded before.

    Raises:
        AbsentWeightsError: there is none; the message explains how to get it.
    """
    if weights == DOWNLOAD:
        name = FILES[network]
        try:
            return fetch(DOWNLOADS + name, Path(name).stem.rpartition("-")[2])
        except WeightsError as error:
            raise AbsentWeightsError(f"{error}. {_how(network)}") from error
    if weights is not None:
        found = find_weights(weights)
        what = f"weights={str(weights)!r}: no such file; {looked_for_weights(weights)}"
    else:
        names = (f"{network}_features.safetensors", f"{network}_features_fp16.safetensors")
        found = next(filter(None, map(find_weights, names)), None) or find_downloaded(FILES[network])
        what = f"no weights of {network} are here"
    if found is None:
        raise AbsentWeightsError(f"{what}. {_how(network)}")
    return found


def _how(network: str) -> str:
    return (
        f"Put {network}_features.safetensors (torchvision's features.* tensors) into weights/ or the folder that "
        f"{WEIGHTS_VARIABLE} names, give weights=FILE, or weights='{DOWNLOAD}' to fetch {FILES[network]}"
    )


def read_features(path: Path, network: str, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Float32 tensors of a file named as ``expected``, without the prefix 'features.'; nothing is unpickled.

    Raises:
        ValueError: the file is damaged, or of another network.
    """
    state = read_tensors(path)
    found = {name.removeprefix("features."): value for name, value in state.items() if name.startswith("features.")}
    if network in BLOCKS and len(found) != 2 * sum(BLOCKS[network]):
        # The first blocks of VGG-16 and VGG-19 have the same names and shapes.
        raise ValueError(
            f"{path}: not {network} of torchvision: expected {2 * sum(BLOCKS[network])} tensors 'features.*', "
            f"found {len(found)}"
        )
    for name, value in expected.items():
        if name not in found or found[name].shape != value.shape:
            shape = tuple(found[name].shape) if name in found else "none"
            raise ValueError(
                f"{path}: not {network} of torchvision: expected 'features.{name}' {tuple(value.shape)}, found {shape}"
            )
    return {name: found[name].float() for name in expected}


def vgg_features(network: str, deepest: str, weights: str | Path | None = None) -> nn.Module:
    """The layers of a VGG up to ``deepest``, such as 'relu4_3', frozen.

    Raises:
        AbsentWeightsError, ValueError: see :func:`find_backbone` and :func:`read_features`.
    """
    layers: list[nn.Module] = []
    channels, last = 3, layer_indices(network)[deepest]
    for block, count in enumerate(BLOCKS[network]):
        width = min(64 << block, 512)
        for _ in range(count):
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    features = nn.Sequential(*layers[: last + 1])
    features.load_state_dict(read_features(find_backbone(network, weights), network, features.state_dict()))
    return as_buffers(features)


def lpips_network(backbone: str, weights: str | Path | None = None) -> nn.Module:
    """The network of the ``lpips`` package (Zhang et al. 2018, version 0.1), frozen.

    It takes two batches (B, 3, H, W) in [-1, 1] and gives (B, 1, 1, 1).

    Args:
        backbone: 'vgg16' or 'alexnet'.
        weights: of the backbone, see :func:`find_backbone`; those on top come with the package.

    Raises:
        AbsentWeightsError, ValueError: see :func:`find_backbone` and :func:`read_features`.
    """
    import lpips

    name = {"vgg16": "vgg", "alexnet": "alex"}.get(backbone)
    if name is None:
        raise ValueError(f"network={backbone!r}: expected 'vgg16' or 'alexnet'")
    path = find_backbone(backbone, weights)
    with warnings.catch_warnings():
        # torchvision warns of the argument by which lpips declines pretrained weights.
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(pretrained=False, net=name, pnet_rand=True, verbose=False)
    linear = Path(lpips.__file__).parent / "weights" / "v0.1" / f"{name}.pth"
    heads = read_checkpoint(linear)
    for key, value in heads.items():
        network.get_parameter(key).data.copy_(value)
    # 'slice2.3.weight' of the package is 'features.3.weight' of torchvision.
    wanted = {key.partition(".")[2]: key for key in network.net.state_dict()}
    own = {short: network.net.state_dict()[key] for short, key in wanted.items()}
    state = read_features(path, backbone, own)
    network.net.load_state_dict({wanted[short]: value for short, value in state.items()})
    return as_buffers(network)


def as_buffers(module: nn.Module) -> nn.Module:
    """Turn every tensor of a module into a buffer that is not saved, and put the module into eval mode.

    So it follows its owner to a device, but no optimizer, EMA or checkpoint contains it.
    """
    for part in module.modules():
        tensors = [*part._parameters.items(), *part._buffers.items()]
        for name, value in tensors:
            if value is not None:
                delattr(part, name)
                part.register_buffer(name, value.detach(), persistent=False)
        if isinstance(part, (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)):
            # It would expect its counter in every state that is loaded. In eval mode its statistics count all the same.
            part.track_running_stats = False
    return module.eval()
