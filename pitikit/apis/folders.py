"""Measure a folder of images against a folder of real ones: the work of ``tools/evaluate.py``."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import print_log
from tqdm import tqdm

from pitikit import __version__
from pitikit.apis.image_sets import FoldersError, ImageSet
from pitikit.apis.protocol import plain
from pitikit.apis.report_lines import INTERVAL, report_lines
from pitikit.arguments import nearest
from pitikit.data.listing import split_suffix
from pitikit.evaluation.bootstrap import Interval
from pitikit.evaluation.diversity import Diversity
from pitikit.evaluation.image_metric import ImageMetric
from pitikit.evaluation.preparation import refuse_missing
from pitikit.evaluation.ranks import RankedMetrics
from pitikit.evaluation.references import reference_of, save_features
from pitikit.evaluation.set_metric import SetMetric
from pitikit.files import check_writable, file_sha256, write_text
from pitikit.registry import METRICS

#: Metrics of two sets: name -> extractor and distance.
OF_SETS = {
    "fid": ("inception", "fid"),
    "kid": ("inception", "kid"),
    "prc": ("inception", "prc"),
    "clip-fid": ("clip-vit-b-32", "fid"),
    "clip-kid": ("clip-vit-b-32", "kid"),
    "fd-dinov2": ("dinov2-vit-l-14", "fid"),
    "dinov2-prc": ("dinov2-vit-l-14", "prc"),
    "vgg16-prc": ("vgg16", "prc"),
    "cmmd": ("cmmd", "cmmd"),
}
#: Metrics of an image and the real one of the same name: name -> type.
OF_PAIRS = {"psnr": "PSNR", "ssim": "SSIM", "lpips": "LPIPS", "sharpness": "Sharpness", "colour": "Colour"}
#: Metrics of several images of one name: name -> type.
OF_SAMPLES = {"diversity": "Diversity"}
NAMES = (*OF_SETS, *OF_PAIRS, *OF_SAMPLES)

_BATCH = 16
_SHOWN = 3
_FEATURES = ".npz"
# What tools/translate.py --samples adds to a name.
_NUMBER = re.compile(r"(.+)_(\d+)")


@dataclass(frozen=True)
class FoldersReport:
    """The result of :func:`evaluate_folders`.

    Attributes:
        metrics: name -> value, None where it is unknown.
        notes: name -> the reason for None, or a hint for reading it.
        intervals: name -> low and high, see :mod:`pitikit.evaluation.bootstrap`.
        measured_with: what the numbers depend on besides the images, by metric.
        protocol: the folders, their contents, and what was done to the images.
    """

    metrics: dict[str, float | None]
    notes: dict[str, str]
    intervals: dict[str, Interval]
    measured_with: dict[str, Any]
    protocol: dict[str, Any]

    def table(self) -> str:
        """The metrics as text."""
        return "\n".join(report_lines(self.metrics, self.notes, self.intervals))

    def as_json(self) -> str:
        """The whole as JSON, in the form of a test's ``metrics.json``."""
        content = {**vars(self), **(dict(interval_method=INTERVAL) if self.intervals else {})}
        return json.dumps(plain(content), indent=2, allow_nan=False)


def weights_of(texts: Sequence[str]) -> dict[str, str]:
    """Files of weights by network, of texts such as 'inception=FILE'.

    Raises:
        FoldersError: a text without a name, or without a file.
    """
    found = {}
    for text in texts:
        name, _, file = text.partition("=")
        if not name or not file:
            raise FoldersError(f"--weights: got {text!r}, expected NETWORK=FILE, such as inception=FILE")
        found[name] = file
    return found


def known_names(names: Sequence[str]) -> list[str]:
    """Names of metrics in the spelling of :data:`NAMES`, each once.

    Raises:
        FoldersError: an unknown name, or none.
    """
    found = list(dict.fromkeys(name.lower() for name in names))
    unknown = [name for name in found if name not in NAMES]
    if unknown or not found:
        hint = f"; {nearest(unknown[0], NAMES)}" if unknown else ""
        got = repr(unknown[0]) if unknown else "none"
        raise FoldersError(f"--metrics: got {got}, expected some of {', '.join(NAMES)}{hint}")
    return found


def build_metrics(
    names: Sequence[str],
    reference: Path,
    weights: Mapping[str, str] | None = None,
    download: bool = False,
    batch_size: int = _BATCH,
    device: str | None = None,
    **options: Any,
) -> list[ImageMetric]:
    """Metrics by their names, those with one extractor as one, so that each image passes a network once.

    Args:
        names: of :data:`NAMES`.
        reference: the real images.
        weights: files of weights by the name of their extractor, or 'lpips'.
        download: fetch weights that are not there.
        batch_size, device: of the networks.
        options: further arguments of :class:`~pitikit.evaluation.set_metric.SetMetric`.

    Raises:
        FoldersError: weights of a network that no metric uses.
    """
    weights = dict(weights or {})
    extractors = dict.fromkeys(OF_SETS[name][0] for name in names if name in OF_SETS)
    used = [*extractors, *(["lpips"] if {"lpips", "diversity"} & set(names) else [])]
    for name in weights:
        if name not in used:
            expected = (
                f"a network that the metrics use: {', '.join(used)}" if used else "none, the metrics need no network"
            )
            raise FoldersError(f"--weights: got {name!r}, expected {expected}")

    def file_of(name: str) -> str | None:
        return weights.get(name, "download" if download else None)

    built: list[ImageMetric] = []
    for extractor in extractors:
        distances = [OF_SETS[name][1] for name in names if name in OF_SETS and OF_SETS[name][0] == extractor]
        shared: dict[str, Any] = dict(batch=batch_size, device=device, extractor=extractor, distances=distances)
        config = dict(type="FID", weights=file_of(extractor), reference=str(reference))
        built.append(METRICS.build({**config, **shared, **options}))
    for name in names:
        kind = {**OF_PAIRS, **OF_SAMPLES}.get(name)
        if kind is not None:
            of_lpips = dict(weights=file_of("lpips")) if name in ("lpips", "diversity") else {}
            built.append(METRICS.build(dict(type=kind, **of_lpips)))
    return built


def evaluate_folders(
    real: str | Path,
    fake: str | Path,
    metrics: Sequence[str] = ("fid", "kid"),
    resize: int | None = None,
    skip_missing: bool = False,
    save: str | Path | None = None,
    progress: bool = True,
    out: str | Path | None = None,
    **options: Any,
) -> FoldersReport:
    """Measure the images of a folder against real ones, without a model.

    Features are kept in memory, 2 to 8 KiB an image, images are not.

    Args:
        real: folder of real images; or a file of their features that ``save`` has written, or ``.npz`` with ``mu`` and
            ``sigma`` as of pytorch-fid, both for metrics of sets alone.
        fake: folder of the images to measure. For metrics of pairs each has the name of a real one, or that and a
            number, ``NAME_0`` and so on, as several samples of a condition have.
        metrics: of :data:`NAMES`.
        resize: see :class:`~pitikit.apis.image_sets.ImageSet`.
        skip_missing: leave the columns of a metric empty whose weights are not there, in place of an error.
        save: file ``.npz`` for the features of the real images, of one extractor.
        progress: show a bar.
        out: file for the report as JSON, such as ``metrics.json``, which :mod:`~pitikit.apis.report` reads.
        options: see :func:`build_metrics`.

    Raises:
        FoldersError: see :class:`~pitikit.apis.image_sets.ImageSet`; sizes that differ; names without a real image; or
            metrics that need a folder of real images.
        FileNotFoundError: there is no such file of features.
        MissingWeightsError: the weights of a metric are not there.
        DataError: an image that cannot be read.
        OSError: ``save`` or ``out`` cannot be written.
    """
    names, real = known_names(metrics), Path(real)
    batch_size = options.get("batch_size", _BATCH)
    if batch_size < 1:
        raise FoldersError(f"--batch-size: got {batch_size}, expected 1 or more")
    if real.suffix.lower() == _FEATURES and not real.exists():
        raise FileNotFoundError(f"{real}: no such file, expected the features of real images")
    true = None if real.suffix.lower() == _FEATURES and real.is_file() else ImageSet(real, resize)
    made = ImageSet(fake, resize)
    if true is not None and true.size != made.size:
        (width, height), (w, h) = true.size, made.size
        raise FoldersError(
            f"{fake}: got images of {w}x{h}, expected {width}x{height}, those of {real}; bring all to one size: "
            "--resize SIDE"
        )
    partners = _partners(names, true, made)
    groups = _groups(made, true) if "diversity" in names else []
    size = options.get("kid_subset_size")
    if true is not None and size is not None and not 2 <= size <= min(len(true), len(made)):
        raise FoldersError(f"--kid-subset-size: got {size}, expected 2 to {min(len(true), len(made))}, the smaller set")
    built = build_metrics(names, real, **options)
    of_sets = [metric for metric in built if isinstance(metric, SetMetric)]
    if save is not None and (true is None or len(of_sets) != 1):
        raise FoldersError("--save-features: expected a folder of real images, and metrics with one extractor")
    if save is not None and Path(save).suffix.lower() != _FEATURES:
        raise FoldersError(f"--save-features: got {save}, expected a name that ends in {_FEATURES}")
    for path in (save, out):
        if path is not None:
            check_writable(path)
    refuse_missing(built if not skip_missing else of_sets if save is not None else [])
    for metric in of_sets:
        _prepare(metric, true, made, real, save, progress)

    ranked = RankedMetrics([metric for metric in built if not isinstance(metric, Diversity)], {})
    steps = tqdm(list(made.paths), desc=str(fake), unit="image", disable=not progress)
    for position, batch in enumerate(_batches(steps, batch_size)):
        samples = []
        for name in batch:
            sample: dict[str, Any] = {"id": name, "pred": made.read(name)}
            if true is not None and name in partners:
                sample["image"] = true.read(partners[name])
            samples.append(sample)
        ranked.process(position, None, samples)
    values = ranked.compute()
    notes = _idle_notes(values.keys() - {name for each in of_sets for name in each.columns()}, true, made, partners)
    if groups:
        several = RankedMetrics([metric for metric in built if isinstance(metric, Diversity)], {})
        for position, group in enumerate(groups):
            several.process(position, None, [{"preds": torch.stack([made.read(name) for name in group])}])
        values.update(several.compute())

    notes.update({name: text for metric in built for name, text in metric.notes.items()})
    for images in filter(None, (true, made)):
        if images.passed:
            print_log(f"{images.folder}: {images.passed}", logger="current", level=logging.WARNING)
    protocol = dict(
        real=true.facts() if true is not None else dict(file=str(real), sha256=file_sha256(real)),
        fake=made.facts(),
        resize=resize,
        count=len(made),
        resolution=made.size[0] if made.size[0] == made.size[1] else list(made.size[::-1]),
        pitikit=__version__,
        torch=torch.__version__,
    )
    intervals = {name: pair for metric in built for name, pair in metric.intervals.items()}
    facts = {metric.title: metric.facts for metric in built}
    report = FoldersReport(values, notes, intervals, facts, protocol)
    if out is not None:
        write_text(out, report.as_json() + "\n")
    return report


def _prepare(
    metric: SetMetric, true: ImageSet | None, made: ImageSet, real: Path, save: str | Path | None, progress: bool
) -> None:
    """Give a metric the features of the real images."""
    if metric.extractor is None:
        return
    if true is not None:
        bar = tqdm(list(true.paths), desc=f"{real}, {metric.label or 'Inception'}", unit="image", disable=not progress)
        metric.use_reference(reference_of(map(true.read, bar), metric.real_features))
    reference = metric.read_reference()
    size = f"{made.size[0]}x{made.size[1]}"
    others = [each for each in reference.sizes if each != size]
    if others:
        raise FoldersError(f"{made.folder}: got images of {size}, expected {', '.join(others)}, those of {real}")
    if save is not None:
        save_features(save, reference, metric.extractor.key, metric.extractor.facts)


def _partners(names: Sequence[str], true: ImageSet | None, made: ImageSet) -> dict[str, str]:
    """Names of images -> names of the real ones that they are compared with; empty if no metric needs them."""
    needed = [name for name in names if name in OF_PAIRS]
    if not needed:
        return {}
    if true is None:
        raise FoldersError(
            f"--metrics: {', '.join(needed)} need the real images, expected a folder in place of features"
        )
    stems = true.by_stem()
    bases = {name: _base(split_suffix(name)[0], stems) for name in made.paths}
    lost = [name for name, base in bases.items() if base not in stems]
    if lost:
        raise FoldersError(
            f"{made.folder}: no real image for {len(lost)} of {len(bases)} ({_few(lost)}); {', '.join(needed)} compare "
            f"images of one name, expected each name in {true.folder} too; leave these metrics out for other images"
        )
    return {name: stems[base] for name, base in bases.items()}


def _idle_notes(
    columns: Iterable[str], true: ImageSet | None, made: ImageSet, partners: Mapping[str, str]
) -> dict[str, str]:
    """A note for the values of pairs where there are real images without a pair."""
    idle = sorted(true.paths.keys() - set(partners.values())) if true is not None and partners else []
    if not idle:
        return {}
    verb = "does" if len(idle) == 1 else "do"
    text = f"{len(idle)} of {len(true or ())} real images {verb} not count ({_few(idle)}): {made.folder} has none of "
    return dict.fromkeys(columns, text + ("it" if len(idle) == 1 else "them"))


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _base(stem: str, known: Mapping[str, str] | None) -> str:
    """The name of a condition: ``stem``, or without the number of its sample."""
    numbered = _NUMBER.fullmatch(stem)
    return stem if numbered is None or (known is not None and stem in known) else numbered[1]


def _groups(made: ImageSet, true: ImageSet | None) -> list[list[str]]:
    """Names of the images of each condition.

    Raises:
        FoldersError: they cannot be grouped: an image of no real one, or numbers that are not those of samples.
    """
    stems = true.by_stem() if true is not None else None
    groups: dict[str, list[str]] = {}
    for name in made.paths:
        groups.setdefault(_base(split_suffix(name)[0], stems), []).append(name)
    expected = "expected NAME_0, NAME_1, ... of each condition, as tools/translate.py --samples names them"
    if stems is not None and (lost := [names[0] for base, names in groups.items() if base not in stems]):
        raise FoldersError(f"{made.folder}: diversity: no real image for {_few(lost)}; {expected}, NAME a real image")
    for base, names in groups.items():
        # Names of a set, such as ADE_val_00000001, end in numbers too.
        numbers = sorted(split_suffix(name)[0].removeprefix(f"{base}_") for name in names)
        if len(names) > 1 and numbers != sorted(map(str, range(len(names)))):
            raise FoldersError(f"{made.folder}: diversity: got {_few(sorted(names))}, {expected}")
    return list(groups.values())


def _batches(names: Iterable[str], size: int) -> Iterator[list[str]]:
    batch = list[str]()
    for name in names:
        batch.append(name)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch
