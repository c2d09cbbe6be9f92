"""The base of metrics that compare two sets of images in the features of a network."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
from mmengine.logging import print_log
from torch import Tensor

from pitikit.arguments import nearest
from pitikit.evaluation.bootstrap import SEED, Values
from pitikit.evaluation.distances import (
    KID_SUBSET,
    KID_SUBSETS,
    NEIGHBOUR,
    Statistics,
    clip_distance,
    covered,
    frechet_distance,
    kernel_distance,
    spread_of,
)
from pitikit.evaluation.extractors import AbsentWeightsError, Extractor, build_extractor, source_of
from pitikit.evaluation.feature_cache import FeatureCache
from pitikit.evaluation.image_metric import ImageMetric, image_pair, member, to_bytes
from pitikit.evaluation.references import Reference, read_reference, size_text
from pitikit.registry import DATASETS

DISTANCES = ("fid", "kid", "prc", "cmmd")
"""Frechet and kernel distance, precision and recall, and the distance of CMMD."""

#: Images of a set in a replicate of an interval; of more, the width follows from the root of the ratio.
REPLICATE = 500


class SetMetric(ImageMetric):
    """Distances of the images made from true ones, in the features of one network, which each image passes once.

    =====  ================================  =======================================================================
    name   columns                           value
    =====  ================================  =======================================================================
    fid    ``FID``, ``FID_CLIP``, ``FD_...``  :func:`~pitikit.evaluation.distances.frechet_distance`
    kid    ``KID_x1000``, ...                a thousand times :func:`~pitikit.evaluation.distances.kernel_distance`
    prc    ``precision``, ``recall``, ...    shares within the other set's manifold, see
                                             :func:`~pitikit.evaluation.distances.covered`
    cmmd   ``CMMD``, ``CMMD_CLIP``, ...      :func:`~pitikit.evaluation.distances.clip_distance`
    =====  ================================  =======================================================================

    Columns of another network than Inception, and CMMD's of another than its own, end in its name. Features are kept,
    not images: 8 KiB an image. Those of real images are kept between runs, see
    :mod:`~pitikit.evaluation.feature_cache`.

    Args:
        weights: of the extractor, see :func:`~pitikit.evaluation.extractors.find_extractor`. Without, the metric has no
            value, and a note how to get them.
        reference: what to compare with. None: the ground truth of the test set. A folder: its images and those of
            its subfolders, as they are, of all formats that are read here. A file ``.npz``: features that
            ``tools/evaluate.py --save-features`` wrote, or ``mu`` and ``sigma`` as of pytorch-fid (for fid alone). A
            dict: config of a dataset whose samples have ``image`` (3, h, w), such as the training images.
        batch: images that pass the network together; the value does not depend on it.
        device: of the network; the first GPU, if there is one, by default.
        extractor: of :data:`~pitikit.evaluation.extractors.EXTRACTORS`.
        distances: of :data:`DISTANCES`.
        kid_subset_size, kid_subsets: see :func:`~pitikit.evaluation.distances.kernel_distance`.
        bootstrap: replicates of an interval; 0 for none.
        cache: keep features of real images.
        collect_device, collect_dir, prefix: see mmengine's BaseMetric.

    Reads of a sample: ``pred`` uint8 (3, H, W) and, without a reference, ``image`` (3, H, W) in [-1, 1].

    The reference is read before the first image is made (:meth:`prepare`). A reference of another size than the
    images, and files of its folder that are no images, are in the notes.

    Raises:
        ValueError: the weights or the reference are damaged or foreign; or an image and its truth differ in size.
        DataError: an image of the reference cannot be read, or there are less than 2.
        FileNotFoundError: there is no such reference.
    """

    #: Defaults of ``extractor`` and ``distances``.
    EXTRACTOR = "inception"
    DISTANCES: tuple[str, ...] = ("fid",)

    def __init__(
        self,
        weights: str | Path | None = None,
        reference: str | Path | Annotated[Mapping[str, Any], DATASETS] | None = None,
        batch: int = 16,
        device: str | torch.device | None = None,
        extractor: str | None = None,
        distances: Sequence[str] | None = None,
        kid_subset_size: int | None = None,
        kid_subsets: int = KID_SUBSETS,
        bootstrap: int = 50,
        cache: bool = True,
        collect_device: str = "cpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device, prefix, collect_dir)
        place = type(self).__name__
        least = dict(batch=1, kid_subset_size=2, kid_subsets=1, bootstrap=0)
        given = dict(batch=batch, kid_subset_size=kid_subset_size, kid_subsets=kid_subsets, bootstrap=bootstrap)
        for argument, value in given.items():
            if value is not None and value < least[argument]:
                raise ValueError(f"{place}: got {argument}={value}, expected {least[argument]} or more")
        self.distances = tuple(distances or self.DISTANCES)
        for name in self.distances:
            if name not in DISTANCES:
                raise ValueError(f"{place}: distances={name!r}: no such distance; {nearest(name, DISTANCES)}")
        self.kid_subset_size, self.kid_subsets, self.bootstrap = kid_subset_size, kid_subsets, bootstrap
        self.reference = reference
        if isinstance(reference, (str, Path)) and not Path(reference).exists():
            raise FileNotFoundError(f"{place}: reference={str(reference)!r}: expected a folder or a file .npz")
        self._known: Reference | None = None
        self._made_size = ""
        name = extractor or self.EXTRACTOR
        self.label = source_of(name).label
        self.extractor: Extractor | None = None
        try:
            self.extractor = build_extractor(name, weights, batch, device)
        except AbsentWeightsError as error:
            self.absent = str(error)
            return
        self.cache = FeatureCache(self.extractor.key) if cache else None
        shown = "ground truth" if reference is None else str(reference)
        self.facts = dict(self.extractor.facts, reference=shown)

    @property
    def title(self) -> str:
        """The names of the values."""
        return "/".join(self.columns())

    def columns(self, *distances: str) -> tuple[str, ...]:
        """Names of the values of distances, of all by default."""
        end = f"_{self.label}" if self.label else ""
        known = {
            # Named so by those who proposed it (Stein et al. 2023).
            "fid": (f"FD{end}" if self.label == "DINOv2" else f"FID{end}",),
            "kid": (f"KID{end}_x1000",),
            "prc": (f"precision{end}", f"recall{end}"),
            # Its own network is a part of its definition.
            "cmmd": ("CMMD" if self.label == "CMMD" else f"CMMD{end or '_Inception'}",),
        }
        return tuple(column for name in distances or self.distances for column in known[name])

    # ---- images to features

    def prepare(self, sample: Mapping[str, Any]) -> None:
        """Read the reference; see :meth:`~pitikit.evaluation.image_metric.ImageMetric.prepare`."""
        super().prepare(sample)
        if self.extractor is not None and self.reference is not None:
            self._images(sample)
            for note in self.read_reference().notes(self._made_size):
                print_log(f"{self.title}: {note}", logger="current", level=logging.WARNING)

    def lacking(self, sample: Mapping[str, Any]) -> str:
        """The reason why samples like this one have no value; raises where sizes differ."""
        return "" if self.extractor is None or self._images(sample) else self._too_few(0)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep, for each image, its features and those of its truth: float32 (2, D), or (1, D)."""
        sets = [self._images(sample) for sample in data_samples]
        if self.extractor is None:
            self.results += [None] * len(sets)
            return
        made = iter(self.extractor([images[0] for images in sets if images]))
        true = iter(self.real_features([images[1] for images in sets if len(images) > 1]))
        for images in sets:
            rows = [next(features) for features, _ in zip((made, true), images, strict=False)]
            self.results.append(torch.stack(rows).numpy() if rows else None)

    def _images(self, sample: Mapping[str, Any]) -> list[Tensor]:
        """The images to compare, in grey levels: the image and its truth, the image alone, or none."""
        image = member(sample, "pred")
        pair = image_pair(sample) if self.reference is None else (image,)
        self._made_size = self._made_size if image is None else size_text(image)
        return [] if pair is None or image is None else [to_bytes(p).byte() for p in pair if p is not None]

    def real_features(self, images: list[Tensor]) -> Tensor:
        """Real images (3, H, W) of grey levels to (N, D); those that were kept need not pass the network."""
        assert self.extractor is not None
        if self.cache is None:
            return self.extractor(images)
        return self.cache.features(images, self.extractor)

    def read_reference(self) -> Reference:
        """The reference, read at first use."""
        assert self.extractor is not None and self.reference is not None
        if self._known is None:
            self._known = read_reference(self.reference, self.real_features, self.extractor.key)
        return self._known

    def use_reference(self, reference: Reference) -> None:
        """Compare with these features, which :meth:`real_features` made, in the place of what ``reference`` names."""
        self._known = reference

    def _too_few(self, count: int) -> str:
        wanted = "an 'image' (the ground truth)" if self.reference is None else "a 'pred'"
        return f"{count} samples with {wanted}, expected 2 or more"

    # ---- features to values

    def compute_metrics(self, results: list) -> dict[str, float | None]:
        """The distances of the two sets."""
        if self.extractor is None:
            return self.unknown(self.absent, *self.columns())
        made = [features for features in results if features is not None]
        if len(made) < 2:
            return self.unknown(self._too_few(len(made)), *self.columns())
        both = torch.from_numpy(np.stack(made))
        fake = both[:, 0]
        known = Reference(both[:, 1]) if self.reference is None else self.read_reference()
        real = known.features
        self.facts["images"] = len(fake)
        if isinstance(real, Tensor):
            self.facts["reference_images"] = len(real)
        if known.sha256:
            self.facts["reference_sha256"] = known.sha256
        compute: dict[str, Callable[..., Values]] = dict(fid=self._fid, kid=self._kid, prc=self._prc, cmmd=self._cmmd)
        found: dict[str, float | None] = {}
        for name in self.distances:
            columns = self.columns(name)
            reason = self._reason(name, real, fake)
            values: Values = self.unknown(reason, *columns) if reason else compute[name](columns, real, fake)
            found.update(values)
        notes = known.notes(self._made_size)
        fewest, width = min(len(fake), len(real) if isinstance(real, Tensor) else len(fake)), fake.shape[1]
        if "fid" in self.distances and fewest < width:
            few = f"of {fewest} images, fewer than the {width} features of the network, it is biased upwards"
            notes.insert(0, f"{few}; compare it only with that of as many images")
        if notes:
            self.notes[self.columns()[0]] = ". ".join(notes)
        return found

    def _reason(self, name: str, real: Tensor | Statistics, fake: Tensor) -> str:
        """The reason why a distance has no value; empty where it has one."""
        if not isinstance(real, Tensor):
            return "" if name == "fid" else "needs images as reference, got their mean and covariance"
        smaller = min(len(real), len(fake))
        if name == "kid" and smaller < (self.kid_subset_size or 2):
            return f"got {smaller} images, expected {self.kid_subset_size} or more, the size of a subset"
        if name == "prc" and smaller <= NEIGHBOUR:
            return f"got {smaller} images, expected {NEIGHBOUR + 1} or more"
        return ""

    def _fid(self, columns: Sequence[str], real: Tensor | Statistics, fake: Tensor) -> Values:
        found = {columns[0]: frechet_distance(real, fake)}
        fixed = None if isinstance(real, Tensor) else spread_of(real)

        def replicate(others: Any, made: Tensor) -> float:
            return frechet_distance(fixed or others, made)

        self._spread(found, real, fake, replicate)
        return found

    def _kid(self, columns: Sequence[str], real: Tensor, fake: Tensor) -> Values:
        size, subsets = self.kid_subset_size, self.kid_subsets
        found = {columns[0]: 1000 * kernel_distance(real, fake, size, subsets)}
        self.facts["kid"] = dict(subset_size=size or min(KID_SUBSET, len(real), len(fake)), subsets=subsets)
        self._spread(found, real, fake, lambda others, made: 1000 * kernel_distance(others, made, subsets=1))
        return found

    def _cmmd(self, columns: Sequence[str], real: Tensor, fake: Tensor) -> Values:
        found = {columns[0]: clip_distance(real, fake)}
        self._spread(found, real, fake, clip_distance)
        return found

    def _prc(self, columns: Sequence[str], real: Tensor, fake: Tensor) -> Values:
        # Both manifolds stay as they are in the replicates: images that come twice would have no ball.
        within = covered(real, fake), covered(fake, real)
        found: dict[str, float | None] = {}
        for column, each in zip(columns, within, strict=True):
            found.update(self.means(each, column, replicates=self.bootstrap))
        return found

    def _spread(
        self, found: Values, real: Tensor | Statistics, fake: Tensor, replicate: Callable[[Any, Tensor], float]
    ) -> None:
        """Keep the interval of the one value ``found``.

        An image and its truth are drawn together, two sets each on its own, statistics stay as they are. A replicate
        takes :data:`REPLICATE` images of a set at most; the width for more of them follows by the root.

        Args:
            found: name to value.
            real, fake: features, or statistics.
            replicate: features of real images (None of statistics) and of those made to a value.
        """
        ((name, _),) = found.items()
        drawn = min(len(fake), REPLICATE)
        share, generator = drawn / len(fake), np.random.default_rng(SEED + 1)
        of_real = min(len(real), REPLICATE) if isinstance(real, Tensor) else 0
        if isinstance(real, Tensor):
            share = max(share, of_real / len(real))

        def value(chosen: np.ndarray) -> Values:
            others = None
            if isinstance(real, Tensor):
                paired = self.reference is None
                others = real[chosen if paired else generator.integers(0, len(real), of_real)]
            return {name: replicate(others, fake[chosen])}

        self.spread(found, len(fake), value, self.bootstrap, share**0.5, drawn)
