"""Extractors of the features that distances of sets compare: their list, their weights, and their use."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pitikit.arguments import nearest
from pitikit.evaluation import inception
from pitikit.files import file_sha256
from pitikit.networks.devices import to_device
from pitikit.resources import WEIGHTS_VARIABLE, find_weights, looked_for_weights
from pitikit.weights import AbsentWeightsError, WeightsError, fetch, find_downloaded

DOWNLOAD = "download"
"""In place of a path: the published file, fetched once and compared with its checksum."""


@dataclass(frozen=True)
class Source:
    """An extractor by name: what it is, and where its weights are found.

    Attributes:
        kind: see :func:`~pitikit.evaluation.feature_networks.build_network`.
        label: of its columns, such as 'CLIP' in ``FID_CLIP``; empty for Inception, whose FID is *the* FID.
        title: of the network.
        files: names that its weights may have.
        url: where they are published.
        sha256: their checksum, or as many digits of it as are published.
        hub: pattern of the name in torch.hub's folder.
        transform: what is done to images of another size.
    """

    kind: str
    label: str
    title: str
    files: tuple[str, ...]
    url: str
    sha256: str
    hub: str
    transform: str = "bilinear without antialiasing, corners as in TensorFlow 1"


def _clip(size: str, sha256: str) -> Source:
    """CLIP's vision transformer, 'L-14-336px'; in torch.hub's folder as torch-fidelity names it."""
    url = f"https://openaipublic.azureedge.net/clip/models/{sha256}/ViT-{size}.pt"
    name, title = f"clip-vit-{size.lower()}", f"CLIP ViT-{size.replace('-', '/', 1).replace('-', ' ')}"
    return Source("clip", "CLIP", title, (f"{name}.safetensors", f"ViT-{size}.pt"), url, sha256, f"{name}-{sha256}.pt")


def _dino(size: str, sha256: str) -> Source:
    """DINOv2's vision transformer, 'S', 'B' or 'L'."""
    name = f"dinov2_vit{size.lower()}14"
    url = f"https://dl.fbaipublicfiles.com/dinov2/{name}/{name}_pretrain.pth"
    files = (f"{name}_pretrain.safetensors", f"{name}_pretrain.pth")
    return Source("dinov2", "DINOv2", f"DINOv2 ViT-{size}/14", files, url, sha256, files[1])


_CLIP_LARGE = _clip("L-14-336px", "3035c92b350959924f9f00213499208652fc7ea050643e8b385c2dac08641f02")

EXTRACTORS: dict[str, Source] = {
    "inception": Source(
        "inception",
        "",
        "Inception 2015-12-05, pool3",
        (inception.FILE_NAME,),
        inception.URL,
        "6726825d",
        "*inception-2015-12-05-*.pth",
    ),
    "vgg16": Source(
        "vgg16",
        "VGG16",
        "VGG-16, fc2",
        ("vgg16.safetensors",),
        "https://download.pytorch.org/models/vgg16-397923af.pth",
        "397923af",
        "vgg16-397923af.pth",
    ),
    "clip-vit-b-32": _clip("B-32", "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af"),
    "clip-vit-b-16": _clip("B-16", "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"),
    "clip-vit-l-14": _clip("L-14", "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836"),
    "clip-vit-l-14-336px": _CLIP_LARGE,
    "cmmd": replace(
        _CLIP_LARGE, kind="cmmd", label="CMMD", transform="square at the centre, bicubic with antialiasing"
    ),
    "dinov2-vit-s-14": _dino("S", "b938bf1bc15cd2ec0feacfe3a1bb553fe8ea9ca46a7e1d8d00217f29aef60cd9"),
    "dinov2-vit-b-14": _dino("B", "0b8b82f85de91b424aded121c7e1dcc2b7bc6d0adeea651bf73a13307fad8c73"),
    "dinov2-vit-l-14": _dino("L", "d5383ea8f4877b2472eb973e0fd72d557c7da5d3611bd527ceeb1d7162cbf428"),
}


def source_of(name: str) -> Source:
    """The entry of :data:`EXTRACTORS`.

    Raises:
        ValueError: there is none of that name.
    """
    if name not in EXTRACTORS:
        raise ValueError(f"extractor={name!r}: no such extractor; {nearest(name, EXTRACTORS)}")
    return EXTRACTORS[name]


def how_to_get(name: str) -> str:
    """The ways to get an extractor's weights."""
    source = source_of(name)
    return (
        f"put {' or '.join(source.files)} ({source.title}) into weights/ or into the folder that {WEIGHTS_VARIABLE} "
        f"names, set weights=FILE, or weights='{DOWNLOAD}' (--download) to fetch {source.url}"
    )


def find_extractor(name: str, weights: str | Path | None = None) -> Path:
    """The file of an extractor's weights.

    Args:
        name: of :data:`EXTRACTORS`.
        weights: a file; 'download' for the published one; None for one of the known names in ``weights/`` or in
            ``$PITIKIT_WEIGHTS``, or what torch.hub has downloaded before.

    Raises:
        AbsentWeightsError: there is none; the message explains how to get it.
        ValueError: no such extractor.
    """
    source = source_of(name)
    if weights is not None and weights != DOWNLOAD:
        found = find_weights(weights)
    else:
        found = next(filter(None, map(find_weights, source.files)), None) or find_downloaded(source.hub)
    if found is None and weights == DOWNLOAD:
        try:
            return fetch(source.url, source.sha256, source.hub if "*" not in source.hub else "")
        except WeightsError as error:
            raise AbsentWeightsError(f"{error}; {how_to_get(name)}") from error
    if found is None:
        named = source.files[0] if weights is None else f"weights={str(weights)!r}; {looked_for_weights(weights)}"
        raise AbsentWeightsError(f"no weights of {source.title} ({named}): {how_to_get(name)}")
    return found


class Extractor(nn.Module):
    """Features of images, in float32, as they are whatever else is in the batch.

    Args:
        network: uint8 (B, 3, H, W) to features (B, D), or to a tuple that begins with them. Always in eval mode.
        key: identifies network, weights and transform; features of one key may be compared and kept.
        label: see :class:`Source`.
        facts: what the features depend on, to be stored with a number.
        batch: images of one size that pass the network together.
        device: of the network; the first GPU, if there is one, by default.
    """

    def __init__(
        self,
        network: nn.Module,
        key: str,
        label: str,
        facts: Mapping[str, Any],
        batch: int = 16,
        device: str | torch.device | None = None,
    ) -> None:
        super().__init__()
        self.network = to_device(network.eval().requires_grad_(False), device)
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.key, self.label, self.facts, self.batch = key, label, dict(facts), batch

    @torch.no_grad()
    def forward(self, images: list[Tensor]) -> Tensor:
        """Images (3, H, W) of grey levels 0..255, of any sizes, to float32 (N, D) on the CPU."""
        rows: list[Tensor] = []
        start = 0
        while start < len(images):
            chunk = images[start : start + self.batch]
            # The network takes images of one size at a time.
            chunk = chunk[: next((i for i, p in enumerate(chunk) if p.shape != chunk[0].shape), len(chunk))]
            rows.append(self._features(torch.stack(chunk).to(self.device, torch.uint8)).float().cpu())
            start += len(chunk)
        return torch.cat(rows) if rows else torch.zeros(0, 0)

    def _features(self, images: Tensor) -> Tensor:
        # The ten bits of TF32 would be seen in the distance of sets that are close.
        flags = torch.backends.cudnn.flags(enabled=True, allow_tf32=False)
        with flags if images.is_cuda else nullcontext():
            found = self.network(images)
        return found if isinstance(found, Tensor) else found[0]


def build_extractor(
    name: str, weights: str | Path | None = None, batch: int = 16, device: str | torch.device | None = None
) -> Extractor:
    """Build an extractor of :data:`EXTRACTORS`; arguments as of :func:`find_extractor` and :class:`Extractor`.

    Raises:
        AbsentWeightsError: its weights are nowhere.
        ValueError: the file is damaged or foreign.
    """
    # Imported here: torch-fidelity takes a second.
    from pitikit.evaluation.feature_networks import build_network

    source = source_of(name)
    path = find_extractor(name, weights)
    try:
        network = build_network(source.kind, path)
    except WeightsError:
        raise
    except (RuntimeError, ValueError, LookupError, AttributeError) as error:
        raise ValueError(f"{path}: not {source.title} ({str(error)[:300]})") from error
    facts = dict(network=source.title, weights_sha256=file_sha256(path))
    parts = (name, source.transform, facts["weights_sha256"], version("torch-fidelity"))
    key = hashlib.sha256("\n".join(parts).encode()).hexdigest()
    return Extractor(network, key, source.label, facts, batch, device)
