"""Inputs of a translation, read by the transforms of the training."""

from __future__ import annotations

import copy
import os
import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from pitikit.apis.input_files import InputFiles, list_names
from pitikit.apis.input_kinds import check_kind
from pitikit.apis.input_members import InputMembers, names_of
from pitikit.apis.photographs import Photographs
from pitikit.apis.prompts import slug
from pitikit.data.conditions import ConditionPart
from pitikit.data.dataset import build_pipeline
from pitikit.data.decoding import upright
from pitikit.data.degrading import Degrade, LoadLowRes
from pitikit.data.empty_conditions import EmptyPart, NotedId
from pitikit.data.errors import DataError
from pitikit.data.listing import describe_passed
from pitikit.data.loading_conditions import LoadConditions, loaders_of
from pitikit.data.reading import is_bytes_image
from pitikit.data.transforms import (
    LoadBlank,
    LoadCaption,
    LoadImage,
    PackInputs,
    RandomFlip,
    ResizePair,
)
from pitikit.diffusion.conditions import Condition
from pitikit.resources import find


@dataclass(frozen=True)
class Item:
    """One thing to translate.

    Attributes:
        id: names the result: the stem of the first file, the words of a text joined by '-', or the position of what
            came without either.
        sources: member name to path, PIL image, array or caption.
        alone: True for the only input of a call that was given no name in ``ids``.
    """

    id: str
    sources: dict[str, Any]
    alone: bool = False

    @property
    def noise(self) -> str:
        """The name that, with the seed, decides the noise: the id, or of one alone the same whatever it came from."""
        return "0" if self.alone else self.id


class ConditionReader:
    """The condition's half of a pipeline: no target image, no augmentation, nothing for metrics.

    Args:
        pipeline: configs of transforms (or transforms), as a dataset has them. Every transform
            that reads a member names it in its attribute ``source``; what is derived in training may be
            given here, see :mod:`~pitikit.apis.input_members`.
        key: dotted key of the pipeline in its config, for messages.

    Attributes:
        members: names of what an input consists of, such as ('normals', 'depth').
        optional: names of what it may have besides, or instead.
        low_res_side: of the small images that the pipeline makes or reads; None where it has none.
        takes_texts: True where an input is a text and nothing else.

    Raises:
        ValueError: the pipeline loads no condition.
    """

    def __init__(self, pipeline: Sequence[Any], key: str = "") -> None:
        steps = build_pipeline(pipeline).transforms
        self._all, self._key = steps, key
        sides = [step.size for step in steps if isinstance(step, (Degrade, LoadLowRes))]
        self.low_res_side: int | None = sides[-1] if sides else None
        steps = [step for step in steps if not _is_for_training(step)]
        self._given = InputMembers([PackInputs() if isinstance(step, PackInputs) else step for step in steps])
        self.members, self.optional = self._given.members, self._given.optional
        loaders = self._given.loaders
        self._resize = next((step for step in steps if isinstance(step, ResizePair)), None)
        # A str is a path, except where captions are translated.
        self._texts = {str(s.source) for s in loaders if isinstance(s, LoadCaption)}
        self.takes_texts = bool(self._texts) and self._texts == set(self.members)
        # Only a plugin's loader can check its arrays: they are passed on unchanged.
        own = [name for s in loaders if getattr(s, "takes_images", False) for name in names_of(s)]
        self._foreign = {name for s in loaders for name in names_of(s)} - {*own, *self._texts}
        self._photographs: Photographs | None = None

    def of_photographs(self, photographs: Photographs) -> ConditionReader:
        """The reader of inputs that are photographs, of which the conditions are extracted.

        Raises:
            ValueError: the model takes other members than are extracted.
        """
        if not self._given.are(photographs.members):
            made = list_names(photographs.members)
            raise ValueError(
                f"from_photo: got {photographs.title}, which gives {made}, expected {self._given.expected}; "
                "name an extractor of each (tools/prepare_data.py --list)"
            )
        changed = copy.copy(self)
        changed._photographs = photographs
        return changed

    def find(self, inputs: Any, ids: Sequence[str] | None = None) -> list[Item]:
        """List the inputs to translate; nothing is decoded yet.

        Args:
            inputs: a file, a folder, a pattern such as 'masks/*.png' or 'masks/**/*.png', a PIL image, an array
                (H, W[, C]) of one image or (N, H, W[, C]) of several, a dict of members, or a
                list of these. Of a plugin's member, which may have any C, (N, H, W) is several
                where H = W, and otherwise one (H, W, C). A folder holds images (text files where
                texts are translated), or one folder a member whose files share their stems; a file
                of a model with several members has its partners in folders beside its own. Of several conditions,
                each a member, an input has one at least; a warning counts those that are missing, in the place of
                which the null condition is taken. Subfolders of a
                folder are passed over, which a warning counts with all else that is passed over. Where
                texts are translated, a str is a text, and a file is a ``pathlib.Path``.
            ids: names for the results, one an input, instead of the stems; of files with equal stems in several
                folders the id is the path below the folder that holds all of them.

        Raises:
            DataError: a missing file, a folder without images, a member that is missing or
                unknown, or something that is none of the above.
        """
        if self._photographs is not None:
            return ConditionReader([LoadBlank(), PackInputs()]).find(inputs, ids)
        items: list[Item] = []
        files = InputFiles(self.members, self._texts, self._given.besides(self.members), self._given.choices)
        for value in _as_list(inputs, bool(self._foreign)):
            if isinstance(value, Path) or (isinstance(value, str) and not self.takes_texts):
                if not str(value):
                    raise DataError("an empty path", f"{list_names(self.members)} to translate")
                items += [Item(path.stem, sources) for path, sources in files.at(find(value))]
            else:
                items.append(self._of_value(value, len(items)))
        if not items:
            raise DataError("no input at all", "an image or several")
        if text := describe_passed(files.passed):
            warnings.warn(f"inputs: {text}", stacklevel=2)
        self._report_lacking(items)
        if ids is None and len(items) == 1:
            return [replace(items[0], alone=True)]
        if ids is not None:
            if len(ids) != len(items):
                raise ValueError(f"ids: {len(ids)} for {len(items)} inputs; expected one each")
            items = [Item(str(name), i.sources) for name, i in zip(ids, items, strict=True)]
        else:
            items = _told_apart(items)
        return items

    def read(self, item: Item) -> Condition:
        """Load, check and encode a condition: uint8 (C, S, S), or int64 (L,) of a caption, or a dict of both.

        Warns of a condition of which a part carries nothing.

        Raises:
            DataError: the image cannot be used, or all of it is out of the model's range; the message has the item
                and the file.
        """
        results = self._results(item)
        steps = self._given.steps(results["sources"])
        try:
            for step in steps:
                for loader in loaders_of(step):
                    if loader.source in results["sources"] or not isinstance(step, LoadConditions):
                        check_kind(loader, results)
            sample = build_pipeline(steps)(results)
        except DataError as error:
            error.item = error.item if error.item is not None else item.id
            raise
        if not isinstance(sample, dict) or "condition" not in sample:
            raise ValueError("the pipeline made no condition; expected it to end with PackInputs")
        notes = sample["id"].notes if isinstance(sample["id"], NotedId) else ()
        for note in sorted(notes, key=lambda note: not note.refused):
            fault = note.error(item.id)
            fault.advice += self._option(note)
            if note.refused:
                raise fault
            warnings.warn(str(fault), stacklevel=2)
        return sample["condition"]

    def read_parts(self, item: Item) -> list[ConditionPart]:
        """The parts of a condition at their final size, before they are encoded; none of a text.

        Raises:
            DataError: the image cannot be used.
        """
        results: Any = self._results(item)
        for step in self._given.steps(results["sources"]):
            results = results if isinstance(step, PackInputs) else step(results)
        return [part for part in results.get("condition_parts", []) if part.encode is not None]

    def source_size(self, item: Item) -> tuple[int, int] | None:
        """(height, width) of a condition as it is given; None of a text.

        Raises:
            DataError: the image cannot be used.
        """
        results: Any = self._results(item)
        for step in self._given.steps(results["sources"]):
            results = step(results) if loaders_of(step) else results
        parts = [part for part in results.get("condition_parts", ()) if not part.blank]
        return parts[0].array.shape[:2] if parts else None

    def fit(self, array: np.ndarray) -> np.ndarray:
        """The part of an image (H, W[, C]) that the pipeline takes: all of it, or the central square."""
        return array if self._resize is None else self._resize.fitted(array)

    def resize_image(self, image: np.ndarray, side: int) -> np.ndarray:
        """RGB uint8 (H, W, 3) -> (side, side, 3), as the pipeline brings a target image to its size."""
        size, fit = (side, "squash") if self._resize is None else (self._resize.size, self._resize.fit)
        return ResizePair(size, side, fit)({"image": image})["image"]

    def read_label(self, item: Item) -> Tensor:
        """Class ids uint8 (h, w) of the label map that a condition shows, 255 for none.

        Raises:
            DataError: the condition is no label map.
        """
        return self.read_kept(item, ["label"])["label"]

    def read_kept(self, item: Item, names: Sequence[str]) -> dict[str, Tensor]:
        """Members of an input that its loaders keep beside the condition, such as 'label' and 'depth'.

        Raises:
            DataError: no loader keeps one of that name.
        """
        results = self._results(item)
        steps = self._given.steps(results["sources"])
        keeping = [PackInputs(keep=names) if isinstance(step, PackInputs) else step for step in steps]
        packed = build_pipeline(keeping)(results)
        return {name: packed[name] for name in names}

    def _report_lacking(self, items: Sequence[Item]) -> None:
        """Warn of each condition that some inputs lack."""
        for name in self._given.choices:
            lacking = [item.id for item in items if name in self._given.lacking(item.sources)]
            if lacking:
                shown = ", ".join(lacking[:5]) + f" and {len(lacking) - 5} more" * (len(lacking) > 5)
                share = f"for {len(lacking)} of {len(items)}: {shown}" if len(items) > 1 else f"for {shown}"
                warnings.warn(f"inputs: no {name} {share}; the null condition takes its place", stacklevel=3)

    def _results(self, item: Item) -> dict[str, Any]:
        """The beginning of a pipeline."""
        given = item.sources if self._photographs is None else self._photographs.sources(item.sources)
        sources = {
            name: _as_array(value, name, item.id) if name in self._foreign else _as_source(value, name, item.id)
            for name, value in given.items()
        }
        return {"id": item.id, "sources": sources, "rng": np.random.default_rng(0)}

    def _option(self, note: EmptyPart) -> str:
        """The option that changes the argument a note names, as an addition to its advice."""
        remedy = note.remedy
        if remedy is None or not self._key:
            return ""
        places = [
            f"{i}.conditions.{j}" if isinstance(step, LoadConditions) else str(i)
            for i, step in enumerate(self._all)
            for j, loader in enumerate(loaders_of(step) or [step])
            if type(loader).__name__ == remedy.loader
        ]
        key = f"{self._key}.{places[0]}.{remedy.argument}"
        return (
            f" (--cfg-options {key}={shlex.quote(str(remedy.value))}, in Python options={{{key!r}: {remedy.value!r}}})"
        )

    def _of_value(self, value: Any, position: int) -> Item:
        choices = self._given.choices
        if not isinstance(value, Mapping):
            if len(self.members) > 1:
                raise DataError(
                    f"a single {type(value).__name__}",
                    self._given.expected if choices else f"the members {list_names(self.members)}",
                    f"give a dict: {{{', '.join(f'{name!r}: …' for name in self.members)}}}",
                    item=str(position),
                )
            value = {self.members[0]: value}
        # None stands for a condition that is missing, as leaving it out does.
        value = {name: given for name, given in value.items() if given is not None or name not in choices}
        if not self._given.are(value):
            beside = self._given.besides(self.members)
            more = f"{list_names(beside)} may be given as well" if beside else ""
            found = f"the members {list_names(sorted(value))}" if value else "no member"
            raise DataError(found, self._given.expected, more, item=str(position))
        name, sources = None, {}
        for member in (name for name in (*self.members, *self.optional) if name in value):
            given = value[member]
            if isinstance(given, Path) or (isinstance(given, str) and member not in self._texts):
                given = find(given)
                name = name or given.stem
            elif not isinstance(given, str if member in self._texts else (np.ndarray, Image.Image)):
                texts = "a text, or the pathlib.Path of a text file"
                raise DataError(
                    f"{member} of type {type(given).__name__}",
                    texts if member in self._texts else "a path, a PIL image or a NumPy array",
                    _ADVICE.get(type(given).__name__, ""),
                    item=str(position),
                )
            sources[member] = given
        named = name or slug(" ".join(text for text in sources.values() if isinstance(text, str)))
        return Item(named or str(position), sources)


_ADVICE = {
    "bytes": "open them with PIL.Image.open(io.BytesIO(...))",
    "BytesIO": "open it with PIL.Image.open",
    "Tensor": "give tensor.cpu().numpy(), the channels last",
}


def _is_for_training(step: Any) -> bool:
    # A loader that adds a ConditionPart itself has encode=None for a target. ``low_res`` is no part of a condition.
    is_target = not getattr(step, "condition", True) or getattr(step, "encode", step) is None
    return is_target or isinstance(step, (LoadImage, RandomFlip, Degrade, LoadLowRes))


def _as_list(inputs: Any, any_channels: bool) -> list[Any]:
    if isinstance(inputs, np.ndarray):
        # (N, H, W, C), or (N, H, W): no image is as narrow as it has channels.
        several = inputs.ndim == 4 or (inputs.ndim == 3 and inputs.shape[2] > 4)
        if any_channels and inputs.ndim == 3:
            several = several and inputs.shape[1] == inputs.shape[2]
        return list(inputs) if several else [inputs]
    return list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]


def _told_apart(items: list[Item]) -> list[Item]:
    """The items, those of files by their paths where stems are not enough."""
    files = [next((v for v in item.sources.values() if isinstance(v, Path)), None) for item in items]
    stems = [item.id for item, file in zip(items, files, strict=True) if file is not None]
    folders = {os.path.abspath(file.parent) for file in files if file is not None}
    if len(set(stems)) == len(stems) or len(folders) < 2:
        return items
    above = os.path.commonpath(folders)
    return [
        item if file is None else Item(Path(os.path.relpath(file, above)).with_suffix("").as_posix(), item.sources)
        for item, file in zip(items, files, strict=True)
    ]


def _as_array(value: Any, member: str, item: str) -> Any:
    """The input of a plugin's loader: a path, or an array as it was given."""
    if isinstance(value, Image.Image):
        value = np.asarray(upright(value))
    if isinstance(value, np.ndarray) and not value.size:
        _checked(value, member, item)
    return value


def _as_source(value: Any, member: str, item: str) -> Any:
    """The input of a loader; bytes in the shape of an image as an image, so that the reader of its kind checks them."""
    if isinstance(value, np.ndarray):
        value = _checked(value, member, item)
        if is_bytes_image(value):
            return Image.fromarray(np.ascontiguousarray(value))
    return value


def _checked(array: np.ndarray, member: str, item: str) -> np.ndarray:
    """``array`` (H, W), (H, W, C) or (H, W, 1) without its last dimension, of numbers; otherwise DataError."""
    if array.dtype.kind not in "buif":
        raise DataError(f"an array of {array.dtype}", f"{member} as numbers", item=item)
    if array.size == 0:
        raise DataError(f"an empty array of shape {array.shape}", f"{member} of one pixel or more", item=item)
    return array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
