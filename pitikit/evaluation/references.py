"""Sets of real images to compare with: a folder, a dataset, a file of features, or one of their statistics."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import numpy as np
import torch
from torch import Tensor

from pitikit.data.errors import DataError
from pitikit.data.listing import IMAGE_SUFFIXES, Passed, describe_passed, list_files
from pitikit.data.reading import read_image
from pitikit.evaluation.distances import Statistics
from pitikit.evaluation.feature_cache import image_key
from pitikit.evaluation.image_metric import to_bytes
from pitikit.files import file_sha256, write_atomically
from pitikit.registry import DATASETS

CHUNK = 64
"""Images in memory at a time, at most."""
CHUNK_BYTES = 2**26
"""As many of them as take so many bytes, of large ones fewer."""

_KIND = "pitikit features 1"


def size_text(image: Tensor) -> str:
    """'width x height' of (3, h, w)."""
    return f"{image.shape[-1]}x{image.shape[-2]}"


@dataclass
class Reference:
    """Features of a set of real images, or their statistics.

    Attributes:
        features: (N, D), or mean and covariance.
        sizes: 'width x height' -> number of images.
        passed: files that are no images.
        sha256: of the pixels of all images in their order, or of the file with their statistics; '' where unknown.
    """

    features: Tensor | Statistics
    sizes: Counter[str] = field(default_factory=Counter)
    passed: Passed = field(default_factory=dict)
    sha256: str = ""

    def notes(self, size: str) -> list[str]:
        """Hints: images of another size than ``size``, that of those made, and files that are none."""
        notes = []
        others = [each for each, _ in self.sizes.most_common() if each != size]
        if others and size:
            shown = ", ".join(others[:3]) + (f" and {len(others) - 3} other sizes" if len(others) > 3 else "")
            count = sum(self.sizes[each] for each in others)
            notes.append(
                f"{count} of {self.sizes.total()} reference images are of {shown}, the images made of {size}: the "
                "value measures that difference as well; bring the reference to their size"
            )
        return notes + ([text] if (text := describe_passed(self.passed)) else [])


def read_reference(
    source: str | Path | Mapping[str, Any], features: Callable[[list[Tensor]], Tensor], key: str
) -> Reference:
    """Features of a folder, a dataset or a file; of images a few at a time.

    Args:
        source: a folder; a file of :func:`save_features`, or one with ``mu`` and ``sigma`` as pytorch-fid writes it; or
            the config of a dataset whose samples have ``image`` (3, h, w).
        features: images (3, H, W) of grey levels to (N, D).
        key: of the extractor, which a file of features must have.

    Raises:
        DataError: an image cannot be read, or there are less than 2.
        ValueError: a file is something else, or of another extractor; a sample has no image.
    """
    if isinstance(source, Mapping):
        dataset: Any = DATASETS.build(dict(source))
        _need_two(len(dataset), f"reference={source['type']}")
        return reference_of(_images(dataset, source["type"]), features)
    path = Path(source)
    if not path.is_dir():
        return _read_file(path, features, key)
    passed: Passed = {}
    paths = list_files(path, IMAGE_SUFFIXES, passed).values()
    _need_two(len(paths), path, passed)
    found = reference_of((torch.tensor(read_image(each)).permute(2, 0, 1) for each in paths), features)
    found.passed = passed
    return found


def _need_two(count: int, place: str | Path, passed: Passed | None = None) -> None:
    if count < 2:
        raise DataError(f"{count} images", "2 or more to compare with", describe_passed(passed or {}), place)


def _images(dataset: Any, kind: str) -> Iterator[Tensor]:
    for index in range(len(dataset)):
        item = dataset[index]
        if "image" not in item:
            raise ValueError(f"reference={kind}: its samples have no 'image', but {set(item)}")
        yield item["image"]


def reference_of(images: Iterable[Tensor], features: Callable[[list[Tensor]], Tensor]) -> Reference:
    """Features of images (3, h, w), uint8 or [-1, 1], a few of which are in memory at a time."""
    rows, chunk, sizes = list[Tensor](), list[Tensor](), Counter[str]()
    digest = hashlib.sha256()
    for image in images:
        sizes[size_text(image)] += 1
        chunk.append(to_bytes(image).byte())
        digest.update(image_key(chunk[-1]))
        if len(chunk) == CHUNK or sum(each.numel() for each in chunk) >= CHUNK_BYTES:
            rows.append(features(chunk))
            chunk = []
    rows += [features(chunk)] if chunk else []
    return Reference(torch.cat(rows), sizes, sha256=digest.hexdigest())


# ---- files


def save_features(path: str | Path, reference: Reference, key: str, facts: Mapping[str, Any]) -> Path:
    """Write features of real images, to be given in the place of these; ``facts`` are those of the extractor."""
    if not isinstance(reference.features, Tensor):
        raise ValueError(f"{path}: got mean and covariance, expected features to save")
    header = json.dumps(dict(kind=_KIND, extractor=key, facts=facts, sizes=reference.sizes, sha256=reference.sha256))
    features = reference.features.numpy()

    def write(temporary: Path) -> None:
        with open(temporary, "wb") as file:
            np.savez(file, features=features, header=np.array(header))

    return write_atomically(path, write)


def _read_file(path: Path, features: Callable[[list[Tensor]], Tensor], key: str) -> Reference:
    try:
        # np.load takes what is no archive for a pickle, and advises to read that.
        if not is_zipfile(path):
            raise ValueError("it is no archive of arrays")
        with np.load(path) as file:
            content = {name: file[name] for name in file.files}
        header = json.loads(str(content["header"])) if "header" in content else None
        if header is not None and (header["kind"] != _KIND or content["features"].ndim != 2):
            raise ValueError(f"of another kind, {header['kind']!r}, features {content['features'].shape}")
    except Exception as error:
        raise ValueError(f"{path}: expected an .npz with 'features', or 'mu' and 'sigma' ({error})") from error
    if header is None:
        statistics = _statistics(path, content, features([torch.zeros(3, 64, 64)]).shape[1])
        return Reference(statistics, sha256=file_sha256(path))
    if header.get("extractor") != key:
        facts = header.get("facts", {})
        raise ValueError(
            f"{path}: features of {facts.get('network')}, weights {str(facts.get('weights_sha256'))[:8]}…; expected "
            "those of this metric's extractor, weights and transform; save them anew with --save-features"
        )
    found = torch.from_numpy(content["features"])
    _need_two(len(found), path)
    # Files of the first version have no hash of the images.
    return Reference(found, Counter(header["sizes"]), sha256=header.get("sha256") or file_sha256(path))


def _statistics(path: Path, content: Mapping[str, np.ndarray], width: int) -> Statistics:
    if not {"mu", "sigma"} <= content.keys():
        raise ValueError(f"{path}: expected an .npz with 'features', or 'mu' and 'sigma', found {sorted(content)}")
    mean, covariance = torch.from_numpy(content["mu"]), torch.from_numpy(content["sigma"])
    if mean.shape != (width,) or covariance.shape != (width, width):
        raise ValueError(
            f"{path}: mu of {tuple(mean.shape)} and sigma of {tuple(covariance.shape)}; expected the {width} features "
            "of this metric's extractor"
        )
    return mean, covariance
