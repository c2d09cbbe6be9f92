"""Frechet and kernel distance of sets of images, in the features of Inception (Heusel et al. 2017)."""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor, nn

from pitikit.data.errors import DataError
from pitikit.data.listing import IMAGE_SUFFIXES, Passed, describe_passed, list_files
from pitikit.data.reading import read_image
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
        reference: what to compare with. None: the ground truth of the test set. A folder: its images and those of
            its subfolders, as they are, of all formats that are read here. A file ``.npz`` with ``mu`` and ``sigma``,
            as pytorch-fid writes it (without KID). A dict: config of a dataset whose samples have ``image``
            (3, h, w), such as the training images.
        batch: images that pass the network together; the value does not depend on it.
        device: of the network; the first GPU, if there is one, by default.
        collect_device, collect_dir, prefix: see mmengine's BaseMetric.

    Reads of a sample: ``pred`` uint8 (3, H, W) and, without a reference, ``image`` (3, H, W) in [-1, 1].

    The reference is read before the first image is made (:meth:`prepare`). A reference of another size than the
    images, and files of its folder that are no images, are in the notes.

    Raises:
        ValueError: the weights or the reference are damaged or foreign; or an image and its truth differ in size.
        DataError: an image of the reference cannot be read, or there are less than 2.
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
        self._passed: Passed = {}
        # 'width x height' -> number of images.
        self._reference_sizes: Counter[str] = Counter()
        self._made_size = ""
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

    def prepare(self, sample: Mapping[str, Any]) -> None:
        """Read the reference; see :meth:`~pitikit.evaluation.image_metric.ImageMetric.prepare`."""
        super().prepare(sample)
        if self.network is not None and self.reference is not None:
            self._reference()
            self._images(sample)
            for note in self._reference_notes():
                print_log(f"FID: {note}", logger="current", level=logging.WARNING)

    def lacking(self, sample: Mapping[str, Any]) -> str:
        """The reason why samples like this one have no value; raises where sizes differ."""
        return "" if self.network is None or self._images(sample) else self._too_few(0)

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

    def _images(self, sample: Mapping[str, Any]) -> list[Tensor]:
        """The images to compare, in grey levels: the image and its truth, the image alone, or none."""
        image = member(sample, "pred")
        pair = image_pair(sample) if self.reference is None else (image,)
        self._made_size = self._made_size if image is None else _size(image)
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
                self._known = self._features_of(self._dataset(dict(self.reference)))
            elif Path(str(self.reference)).is_dir():
                self._known = self._features_of(self._folder(Path(str(self.reference))))
            else:
                self._known = read_statistics(Path(str(self.reference)))
        return self._known

    def _folder(self, folder: Path) -> Iterable[Tensor]:
        """The images (3, h, w) in a folder and below it."""
        self._passed = {}
        paths = list_files(folder, IMAGE_SUFFIXES, self._passed).values()
        if len(paths) < 2:
            wanted = "2 or more for FID to compare with"
            raise DataError(f"{len(paths)} images", wanted, describe_passed(self._passed), folder)
        return (torch.tensor(read_image(path)).permute(2, 0, 1) for path in paths)

    def _dataset(self, config: dict[str, Any]) -> Iterable[Tensor]:
        """The images (3, h, w) of a dataset."""
        dataset: Any = DATASETS.build(config)
        for index in range(len(dataset)):
            item = dataset[index]
            if "image" not in item:
                raise ValueError(f"FID: the samples of reference={config['type']} have no 'image', but {set(item)}")
            yield item["image"]

    def _features_of(self, images: Iterable[Tensor]) -> Tensor:
        rows, chunk = list[np.ndarray](), list[Tensor]()
        self._reference_sizes.clear()
        for image in images:
            self._reference_sizes[_size(image)] += 1
            chunk.append(to_bytes(image))
            if len(chunk) == self.batch:
                rows.append(self.features(chunk))
                chunk = []
        return torch.from_numpy(np.concatenate([*rows, self.features(chunk)]))

    def _reference_notes(self) -> list[str]:
        """Hints about the images of the reference: other sizes than those made, and files that are none."""
        notes = []
        others = [size for size, _ in self._reference_sizes.most_common() if size != self._made_size]
        if others and self._made_size:
            shown = ", ".join(others[:3]) + (f" and {len(others) - 3} other sizes" if len(others) > 3 else "")
            count = sum(self._reference_sizes[size] for size in others)
            notes.append(
                f"{count} of {self._reference_sizes.total()} reference images are of {shown}, the images made of "
                f"{self._made_size}: it measures the difference in size as well; reduce the reference to that size"
            )
        if text := describe_passed(self._passed):
            notes.append(f"{self.reference}: {text}")
        return notes

    def _too_few(self, count: int) -> str:
        wanted = "an 'image' (the ground truth)" if self.reference is None else "a 'pred'"
        return f"{count} samples with {wanted}, expected 2 or more"

    def compute_metrics(self, results: list) -> dict[str, float | None]:
        """The distances of the two sets."""
        names = ("FID", "KID_x1000")
        if self.network is None:
            return self.unknown(self._absent, *names)
        made = [features for features in results if features is not None]
        if len(made) < 2:
            return self.unknown(self._too_few(len(made)), *names)
        both = torch.from_numpy(np.stack(made))
        fake = both[:, 0]
        real = both[:, 1] if self.reference is None else self._reference()
        self.facts["images"] = len(fake)
        found: dict[str, float | None] = dict(FID=frechet_distance(real, fake))
        notes = self._reference_notes()
        if len(fake) < FEATURES:
            few = f"of {len(fake)} images it is far above what it tends to with thousands"
            notes.insert(0, f"{few}; compare it with that of as many only")
        if notes:
            self.notes["FID"] = ". ".join(notes)
        if isinstance(real, Tensor):
            self.facts["reference_images"] = len(real)
            return {**found, "KID_x1000": 1000 * kernel_distance(real, fake)}
        return {**found, **self.unknown("KID needs images as reference, got their mean and covariance", names[1])}


def _size(image: Tensor) -> str:
    """'width x height' of (3, h, w)."""
    return f"{image.shape[-1]}x{image.shape[-2]}"


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
