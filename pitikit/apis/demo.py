"""The demonstration: the shipped models on the committed inputs, as panels, with mIoU and time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from pitikit.apis.building import read_config
from pitikit.apis.inputs import Item
from pitikit.apis.results import save_image
from pitikit.apis.translator import Translator
from pitikit.data.conditions import encode_normals, voc_palette
from pitikit.data.images import to_rgb, write_grid
from pitikit.data.reading import read_grey, read_ids, read_image
from pitikit.data.transforms import resize_image
from pitikit.diffusion.conditions import image_part
from pitikit.evaluation.mean_iou import MeanIoU
from pitikit.files import write_atomically
from pitikit.resources import ROOT
from pitikit.scenes import CLASSES, render_scene

INPUTS = ROOT / "configs" / "scenes" / "inputs"
SEGMENTER = ROOT / "weights" / "scenes_segmenter.safetensors"
UPSAMPLER = ROOT / "weights" / "scenes_upsampler.safetensors"

#: Scenes of the validation range: with the same seed and id tools/test.py makes the same images.
SCENES = (2_000_008, 2_000_011, 2_000_013, 2_000_029)
SIZE = 256


@dataclass(frozen=True)
class Modality:
    """One of the models that are shipped.

    Attributes:
        name: for the reader.
        config: path, absolute or of a shipped file.
        weights: the same.
        cascade: the same, of a config that puts the upsampler behind this model; None: images stay as they are.
    """

    name: str
    config: str
    weights: str
    cascade: str | None = None


MODALITIES = tuple(
    Modality(
        name,
        f"configs/scenes/piti_small_{name}.py",
        f"weights/scenes_{name}.safetensors",
        f"configs/scenes/cascade_small_{name}.py",
    )
    for name in ("mask", "sketch", "geometry")
)


@dataclass
class Report:
    """The result of a demonstration.

    Attributes:
        panel: path of the PNG with all images as the base models make them.
        scores: modality -> mIoU, mIoU of the true images, seconds of its sampling.
        seconds: in all, from reading the weights to writing the panels.
        enlarged: path of the PNG with the enlarged images, None without an upsampler.
        enlarging: modality -> seconds of its upsampling.
    """

    panel: Path
    scores: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    seconds: float = 0.0
    enlarged: Path | None = None
    enlarging: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        """A table, and the names of the panels."""
        lines = [f"{'modality':<12}{'mIoU':>8}{'true images':>16}{'seconds':>10}{'to 256':>10}"]
        for name, (made, true, seconds) in self.scores.items():
            more = f"{self.enlarging[name]:>10.1f}" if name in self.enlarging else f"{'-':>10}"
            lines.append(f"{name:<12}{made:>8.3f}{true:>16.3f}{seconds:>10.1f}{more}")
        lines.append("mIoU is of the labels that a segmenter finds in the 64x64 images, 22 classes.")
        panels = " and ".join(str(path) for path in (self.panel, self.enlarged) if path)
        return "\n".join([*lines, f"{panels} ({self.seconds:.0f} s)"])


def write_inputs(folder: Path = INPUTS, scenes: Sequence[int] = SCENES) -> Iterator[Path]:
    """Write the inputs of the demonstration, one folder a member; yields each path.

    Label maps are palette PNG (ids, shown in colours), normals and images 8-bit RGB PNG, sketches
    1-bit PNG, depth 32-bit TIFF in metres (16 bits of millimetres end at 65 m, the scenes at 1 km).
    """
    for index in scenes:
        scene = render_scene(0, index, SIZE)
        mask = Image.fromarray(scene.label)
        mask.putpalette(voc_palette(len(CLASSES)).tobytes())
        images: dict[str, tuple[Image.Image, dict[str, Any]]] = {
            "image.png": (Image.fromarray(scene.image), {"optimize": True}),
            "mask.png": (mask, {"optimize": True}),
            "sketch.png": (Image.fromarray(scene.sketch).convert("1"), {"optimize": True}),
            "normals.png": (Image.fromarray(encode_normals(scene.normals)), {"optimize": True}),
            "depth.tif": (Image.fromarray(scene.depth), {"compression": "tiff_adobe_deflate"}),
        }
        for name, (image, options) in images.items():
            member, _, suffix = name.partition(".")
            path = folder / member / f"scene_{index:06d}.{suffix}"
            kind = {"png": "PNG", "tif": "TIFF"}[suffix]
            yield write_atomically(path, _saver(image, kind, options))


def _saver(image: Image.Image, kind: str, options: Mapping[str, Any]) -> Callable[[Path], None]:
    return lambda path: image.save(path, kind, **options)


def run_demo(
    out: Path,
    modalities: Iterable[Modality] = MODALITIES,
    inputs: Path = INPUTS,
    seeds: Sequence[int] = (0, 1, 2),
    segmenter: Any = None,
    say: Callable[[str], None] = lambda text: None,
    upsampler: Path | None = UPSAMPLER,
) -> Report:
    """Translate the inputs of every modality and write ``out/panel.png``; enlarge, and write ``out/panel_256.png``.

    Args:
        out: folder of the panels, and of the enlarged images, ``<modality>/<scene>.png``.
        modalities: which models.
        inputs: folder with one folder a member, ``image`` and ``mask`` among them.
        seeds: one image of each input a seed; those of the first one are enlarged.
        segmenter: config or module for mIoU; the shipped one by default.
        say: called with a line about each step.
        upsampler: weights; without the file, or with None, nothing is enlarged.

    The panel has a row a scene: for each modality the condition and its results, and at the end the
    true image. That of the enlarged images has a row for each scene and modality.

    Raises:
        ValueError: weights or inputs are missing or do not fit.
    """
    start = time.perf_counter()
    metric = MeanIoU(segmenter or dict(type="SceneSegmenter", weights=SEGMENTER))
    report = Report(Path(out) / "panel.png")
    truths = {path.stem: read_image(path) for path in sorted((inputs / "image").glob("*.png"))}
    labels = {name: read_ids(inputs / "mask" / f"{name}.png") for name in truths}
    rows: list[list[np.ndarray]] = [[] for _ in truths]
    large: list[list[list[np.ndarray]]] = [[] for _ in truths]
    titles: list[str] = []
    if upsampler is not None and not Path(upsampler).is_file():
        say(f"{upsampler}: no such file, so nothing is enlarged")
        upsampler = None
    for modality in modalities:
        translator, cascade = _translators(modality, upsampler)
        say(f"{modality.name}: {len(truths)} inputs, {len(seeds)} seeds")
        items = translator.reader.find(inputs)
        sources = [item.sources for item in items]
        images = translator(sources, seed=list(seeds), batch_size=12)
        for row, item, made in zip(rows, items, images, strict=True):
            row += [_shown(translator, item), *made]
            truth = resize_image(truths[item.id], images.shape[2])
            for image in made:
                sample = dict(id=item.id, label=torch.from_numpy(labels[item.id].copy()))
                sample.update(pred=_tensor(image), image=_tensor(truth).float() / 127.5 - 1)
                metric.process({}, [sample])
        found = metric.compute_metrics(metric.results)
        metric.results.clear()
        report.scores[modality.name] = (
            float(found["mIoU"] or 0),
            float(found["mIoU_ground_truth"] or 0),
            translator.timing.seconds,
        )
        titles += [modality.name, *(f"seed {seed}" for seed in seeds)]
        if cascade is None:
            continue
        enlarged = cascade(sources, seed=seeds[0], batch_size=len(items), low_res=images[:, 0])[:, 0]
        report.enlarging[modality.name] = cascade.timing.seconds
        for cells, item, small, made in zip(large, items, images[:, 0], enlarged, strict=True):
            save_image(Path(out) / modality.name / f"{item.id}.png", made)
            condition = fit_square(to_rgb(_shown(translator, item)))
            cells.append([condition, small, _bicubic(small, made.shape[0]), made, truths[item.id]])
    for row, truth in zip(rows, truths.values(), strict=True):
        row.append(truth)
    _write_panel(report.panel, rows, [*titles, "true image"], 128)
    if report.enlarging:
        report.enlarged = Path(out) / "panel_256.png"
        columns = ["condition", "base model, 64x64", "bicubic to 256x256", "upsampler, 256x256", "true image"]
        _write_panel(report.enlarged, [row for cells in large for row in cells], columns, SIZE)
    report.seconds = time.perf_counter() - start
    return report


def _translators(modality: Modality, upsampler: Path | None) -> tuple[Translator, Translator | None]:
    """The base model's translator, and that of the cascade where there is an upsampler."""
    weights = ROOT / modality.weights
    if modality.cascade is None or upsampler is None:
        return Translator.from_config(ROOT / modality.config, weights), None
    config = read_config(ROOT / modality.cascade)
    cascade = Translator.from_config(config, {"base": weights, "upsampler": upsampler})
    return Translator(cascade.model.parts["base"], config), cascade


def _write_panel(path: Path, rows: list[list[np.ndarray]], titles: list[str], cell: int) -> None:
    def write(temporary: Path) -> None:
        write_grid(temporary, rows, titles, cell=cell)

    write_atomically(path, write)


def _shown(translator: Translator, item: Item) -> np.ndarray:
    """The condition as an image: a sketch as it was drawn, the rest as the encoder sees it."""
    if translator.members == ("sketch",):
        return read_grey(item.sources["sketch"])
    image = image_part(translator.reader.read(item))
    assert image is not None
    return image.permute(1, 2, 0).numpy()


def fit_square(image: np.ndarray) -> np.ndarray:
    """Make a wide image (H, W, 3) smaller, on a white square of side H: normals and depth stand side by side."""
    height, width = image.shape[:2]
    if width == height:
        return image
    square = np.full((height, height, 3), 255, np.uint8)
    small = Image.fromarray(image).resize((height, height * height // width), Image.Resampling.BOX)
    top = (height - small.height) // 2
    square[top : top + small.height] = np.asarray(small)
    return square


def _bicubic(image: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC))


def _tensor(image: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
