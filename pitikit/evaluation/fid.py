"""Frechet and kernel distance of sets of images, in the features of Inception (Heusel et al. 2017)."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from pitikit.evaluation.image_metric import ImageMetric, image_pair, member, to_bytes
from pitikit.evaluation.inception import FEATURES, FILE_NAME, HOW_TO_GET, InceptionFeatures, find_inception
from pitikit.files import file_sha256
from pitikit.registry import DATASETS, METRICS

KID_SUBSET = 1000
KID_SUBSETS = 100
"""Bińkowski et al. 2018: the mean over so many subsets of so many images; a smaller set is taken whole, once."""


class _Identity(nn.Module):
    """A network for torchmetrics where the features are there already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet_distance(real: Tensor | tuple[Tensor, Tensor], fake: Tensor) -> float:
    """``|m1 - m2|^2 + Tr(S1 + S2 - 2 (S1 S2)^(1/2))`` of two sets of features (Heusel et al. 2017, eq. 6).

    Covariances divide by N - 1. Sets smaller than the number of features give a value that is biased upwards:
    compare only numbers of equally many images.

    Args:
        real: (N, D) features, N of 2 or more, or their mean (D,) and covariance (D, D).
        fake: (M, D), M of 2 or more.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    fake = fake.double()
    if isinstance(real, Tensor):
        real = real.double()
        rows = len(real) + len(fake)
        if rows < fake.shape[1]:
            # A rotation changes no distance, and all rows lie in the span of this basis: less to decompose.
            basis = torch.linalg.qr(torch.cat([real, fake]).T).Q  # (D, rows)
            real, fake = real @ basis, fake @ basis
    metric = FrechetInceptionDistance(feature=_Identity(fake.shape[1])).set_dtype(torch.float64)
    metric.update(fake, real=False)
    if isinstance(real, Tensor):
        metric.update(real, real=True)
    else:
        mean, covariance = (value.double() for value in real)
        # Sums as of two images with these statistics; the number cancels.
        metric.real_features_num_samples = torch.tensor(2)
        metric.real_features_sum = 2 * mean
        metric.real_features_cov_sum = covariance + 2 * torch.outer(mean, mean)
    return float(metric.compute())


def kernel_distance(real: Tensor, fake: Tensor, seed: int = 0) -> float:
    """Squared maximum mean discrepancy with the kernel ``(x y / D + 1)^3`` (Bińkowski et al. 2018), unbiased.

    It may be negative. Two sets of one size, 1000 images or fewer, are taken whole; otherwise the mean is
    over 100 subsets of the smaller's size, 1000 at most.

    Args:
        real, fake: (N, D) and (M, D) features, 2 or more.
        seed: of the choice of subsets.
    """
    from torchmetrics.image.kid import KernelInceptionDistance

    size = min(KID_SUBSET, len(real), len(fake))
    subsets = 1 if len(real) == len(fake) == size else KID_SUBSETS
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        # A warning that it keeps all features, which are few.
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        metric = KernelInceptionDistance(feature=_Identity(fake.shape[1]), subsets=subsets, subset_size=size)
        metric.update(real.double(), real=True)
        metric.update(fake.double(), real=False)
        return float(metric.compute()[0])


@METRICS.register_module()
class FID(ImageMetric):
    """``FID`` of the images made against true ones, and ``KID_x1000``, a thousand times their kernel distance.

    Both compare 2048 Inception features; see :func:`frechet_distance` and :func:`kernel_distance`. With the few
    hundred images of a small test set, FID is far above what it tends to (it needs thousands), and only numbers of
    equally many images can be compared; KID has no such bias. The arithmetic is torchmetrics', the network
    torch-fidelity's. Without the network's weights the metric has no value, and a note how to get them.

    Features (8 KiB an image) are kept, not images.

    Args:
        weights: the FID Inception, safetensors or .pth. By default ``inception_fid_pool3_fp16.safetensors`` in
            ``$PITIKIT_WEIGHTS`` or ``weights/``, or what torch.hub has downloaded before.
        reference: what to compare with. None: the ground truth of the test set. A folder: its .png and .jpg images,
            as they are. A file ``.npz`` with ``mu`` and ``sigma``, as pytorch-fid writes it (without KID). A dict:
            config of a dataset whose samples have ``image`` (3, h, w), such as the training images.
        batch: images that pass the network together; the value does not depend on it.
        device: of the network; the first GPU, if there is one, by default.
        collect_device, collect_dir, prefix: see mmengine's BaseMetric.

    Reads of a sample: ``pred`` uint8 (3, H, W) and, without a reference, ``image`` (3, H, W) in [-1, 1].

    Raises:
        ValueError: the weights or the reference are damaged or foreign; or an image and its truth differ in size.
        FileNotFoundError: there is no such reference.
    """

    def __init__(
        self,
        weights: str | Path | None = None,
        reference: str | Path | Annotated[Mapping[str, Any], DATASETS] | None = None,
        batch: int = 16,
        device: str | torch.device | None = None,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        if batch < 1:
            raise ValueError(f"FID: batch={batch}; expected 1 or more")
        self.batch, self.reference = batch, reference
        self._known: Tensor | tuple[Tensor, Tensor] | None = None
        if isinstance(reference, (str, Path)) and not Path(reference).exists():
            raise FileNotFoundError(f"FID: reference={str(reference)!r}: expected a folder or a file .npz")
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        path = find_inception(weights)
        self.network: nn.Module | None = None
        self._absent = f"no weights of Inception ({weights or FILE_NAME}): {HOW_TO_GET}"
        if path is None:
            # Logged now, before hours of sampling, and again in the notes.
            print_log(f"FID: {self._absent}", logger="current", level=logging.WARNING)
            return
        self.network = InceptionFeatures(path).to(self.device)
        shown = "ground truth" if reference is None else str(reference)
        self.facts = dict(network="Inception 2015-12-05, pool3", weights_sha256=file_sha256(path), reference=shown)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep, for each image, its features and those of its truth: float32 (2, 2048), or (1, 2048)."""
        sets = [self._images(sample) for sample in data_samples]
        if self.network is None:
            self.results += [None] * len(sets)
            return
        features = iter(self.features([image for images in sets for image in images]))
        for images in sets:
            rows = [next(features) for _ in images]
            self.results.append(np.stack(rows) if rows else None)

    def _images(self, sample: dict) -> list[Tensor]:
        """The images to compare, in grey levels: the image and its truth, the image alone, or none."""
        image = member(sample, "pred")
        pair = image_pair(sample) if self.reference is None else (image,)
        return [] if pair is None or image is None else [to_bytes(p) for p in pair if p is not None]

    def features(self, images: Sequence[Tensor]) -> np.ndarray:
        """Images (3, H, W) of grey levels 0..255, of any sizes, to float32 (N, 2048)."""
        assert self.network is not None
        rows: list[Tensor] = []
        start = 0
        while start < len(images):
            chunk = list(images[start : start + self.batch])
            # The network takes images of one size at a time.
            chunk = chunk[: next((i for i, p in enumerate(chunk) if p.shape != chunk[0].shape), len(chunk))]
            rows.append(self.network(torch.stack(chunk).to(self.device, torch.uint8)).float().cpu())
            start += len(chunk)
        return torch.cat(rows).numpy() if rows else np.zeros((0, FEATURES), np.float32)

    def _reference(self) -> Tensor | tuple[Tensor, Tensor]:
        """Features, or mean and covariance, of the reference; read at first use."""
        if self._known is None:
            if isinstance(self.reference, Mapping):
                self._known = self._features_of(dict(self.reference))
            elif Path(str(self.reference)).is_dir():
                pipeline = [dict(type="LoadImage"), dict(type="PackInputs")]
                config = dict(type="PairedImageDataset", root=str(self.reference), image="{id}.{png,jpg}")
                self._known = self._features_of({**config, "conditions": {}, "pipeline": pipeline})
            else:
                self._known = read_statistics(Path(str(self.reference)))
        return self._known

    def _features_of(self, config: dict[str, Any]) -> Tensor:
        dataset: Any = DATASETS.build(config)
        rows: list[np.ndarray] = []
        for start in range(0, len(dataset), self.batch):
            items = [dataset[index] for index in range(start, min(start + self.batch, len(dataset)))]
            if "image" not in items[0]:
                raise ValueError(f"FID: the samples of reference={config['type']} have no 'image', but {set(items[0])}")
            rows.append(self.features([to_bytes(item["image"]) for item in items]))
        return torch.from_numpy(np.concatenate(rows))

    def compute_metrics(self, results: list) -> dict[str, float | None]:
        """The distances of the two sets."""
        names = ("FID", "KID_x1000")
        if self.network is None:
            return self.unknown(self._absent, *names)
        made = [features for features in results if features is not None]
        if len(made) < 2:
            what = "an 'image' (the ground truth)" if self.reference is None else "a 'pred'"
            return self.unknown(f"{len(made)} samples with {what}, expected 2 or more", *names)
        both = torch.from_numpy(np.stack(made))
        fake = both[:, 0]
        real = both[:, 1] if self.reference is None else self._reference()
        self.facts["images"] = len(fake)
        found: dict[str, float | None] = dict(FID=frechet_distance(real, fake))
        if len(fake) < FEATURES:
            self.notes["FID"] = (
                f"of {len(fake)} images it is far above what it tends to with thousands; compare it with that of as "
                "many only"
            )
        if isinstance(real, Tensor):
            self.facts["reference_images"] = len(real)
            return {**found, "KID_x1000": 1000 * kernel_distance(real, fake)}
        return {**found, **self.unknown("KID needs images as reference, got their mean and covariance", names[1])}


def read_statistics(path: Path) -> tuple[Tensor, Tensor]:
    """``mu`` (2048,) and ``sigma`` (2048, 2048) of an ``.npz``, as pytorch-fid saves them.

    Raises:
        ValueError: the file is something else.
    """
    try:
        with np.load(path) as file:
            mean, covariance = torch.from_numpy(file["mu"]), torch.from_numpy(file["sigma"])
    except Exception as error:
        raise ValueError(f"{path}: expected an .npz with 'mu' and 'sigma' ({error})") from error
    if mean.shape != (FEATURES,) or covariance.shape != (FEATURES, FEATURES):
        raise ValueError(
            f"{path}: mu of {tuple(mean.shape)} and sigma of {tuple(covariance.shape)}; expected the {FEATURES} "
            "features of pool3"
        )
    return mean, covariance
