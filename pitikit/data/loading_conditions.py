"""The transform that loads several conditions, each for an encoder of its own."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Annotated, Any

import numpy as np
from mmcv.transforms import BaseTransform

from pitikit.data.conditions import ConditionPart
from pitikit.data.errors import DataError
from pitikit.data.loading import LoadCaption
from pitikit.networks.tokenizers import PADDING
from pitikit.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadConditions(BaseTransform):
    """Load several conditions by name, for a :class:`~pitikit.networks.parts.PartsEncoder`.

    The condition of the sample becomes a dict, ``{"mask": uint8 (3, H, W), "sketch": uint8 (1, H, W)}``, with each
    condition by the member that it is read from (one that is derived in training by the member of which it is read in a
    translation). A sample may lack those of ``optional``, but not all its conditions; a missing one is null: white, or
    padding of a caption.

    Args:
        conditions: configs of the loaders.
        optional: names of conditions that a sample may lack, or True for all. A
            :class:`~pitikit.data.dataset.PairedImageDataset` then needs ``optional`` as well, or it misses the files.

    Attributes:
        loaders: by the name of the condition.

    Raises:
        ValueError: no loader, something that loads no condition or two loaders of one, or an unknown name.
        DataError: a sample without a condition, and what the loaders raise.
    """

    def __init__(self, conditions: Sequence[Annotated[Any, TRANSFORMS]], optional: Sequence[str] | bool = ()) -> None:
        self.loaders: dict[str, Any] = {}
        for config in conditions:
            loader = TRANSFORMS.build(config) if isinstance(config, Mapping) else config
            kind = type(loader).__name__
            is_target = not getattr(loader, "condition", True) or getattr(loader, "encode", loader) is None
            if not hasattr(loader, "source") or is_target:
                raise ValueError(f"LoadConditions: got {kind}, which loads no condition; put it beside LoadConditions")
            name = str(as_given(loader, ()).source)
            if name in self.loaders:
                raise ValueError(f"LoadConditions: got two loaders of {name!r}, expected one; set source of the other")
            self.loaders[name] = loader
        if not self.loaders:
            raise ValueError("LoadConditions: conditions: got none, expected loaders such as dict(type='LoadMask')")
        chosen = (tuple(self.loaders) if optional else ()) if isinstance(optional, bool) else tuple(optional)
        if unknown := sorted(set(chosen) - set(self.loaders)):
            known = ", ".join(self.loaders)
            raise ValueError(f"LoadConditions: optional: got {', '.join(unknown)}, expected some of {known}")
        self.optional = frozenset(chosen)
        # Of an optional condition, what null looks like has to be known without a file.
        self._null = {name: _null(name, self.loaders[name]) for name in chosen}

    @property
    def channels(self) -> dict[str, int]:
        """Channels of each condition that is an image and whose loader has their number."""
        found = {name: getattr(loader, "channels", None) for name, loader in self.loaders.items()}
        return {name: count for name, count in found.items() if isinstance(count, int)}

    def as_given(self, members: Collection[str]) -> LoadConditions:
        """The transform of a translation's input that has ``members``, and may lack any condition."""
        changed = copy(self)
        changed.loaders = {name: as_given(loader, members) for name, loader in self.loaders.items()}
        changed.optional = frozenset(self.loaders)
        changed._null = {name: _null(name, loader) for name, loader in self.loaders.items()}
        return changed

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load what there is."""
        sources = results.get("sources", {})
        missing = {
            name for name, loader in self.loaders.items() if loader.source not in sources and name in self.optional
        }
        if len(missing) == len(self.loaders):
            found, names = sorted(sources), ", ".join(map(repr, self.loaders))
            raise DataError(f"the members {found}", f"one of {names} at least", item=results.get("id"))
        before, outer = list(results.get("condition_parts", [])), results.pop("condition", None)
        made: dict[str, list[ConditionPart]] = {}
        texts: dict[str, np.ndarray] = {}
        for name in (name for name in self.loaders if name not in missing):
            results["condition_parts"] = []
            results = self.loaders[name](results)
            made[name] = [replace(part, condition=name) for part in results["condition_parts"]]
            if "condition" in results:
                texts[name] = results.pop("condition")
            if name not in texts and not made[name]:
                kind = type(self.loaders[name]).__name__
                raise ValueError(f"LoadConditions: {kind} loaded no condition; put it beside LoadConditions")
        arrays = [results["image"]] if "image" in results else [part.array for own in made.values() for part in own]
        size = arrays[0].shape[:2] if arrays else (1, 1)
        for name in missing:
            null = self._null[name]
            if isinstance(null, np.ndarray):
                texts[name] = null
            else:
                white = np.full((*size, null), 255, np.uint8)
                part = ConditionPart(name, white, "nearest", np.asarray, blank=True, condition=name)
                made[name] = [part]
        results["condition_parts"] = [*before, *(part for name in self.loaders for part in made.get(name, ()))]
        results["condition_texts"] = texts
        return results if outer is None else {**results, "condition": outer}


def as_given(loader: Any, members: Collection[str]) -> Any:
    """The loader of a translation's input that has ``members``; see :mod:`pitikit.apis.input_members`."""
    return loader.as_given(members) if hasattr(loader, "as_given") else loader


def loaders_of(step: Any) -> list[Any]:
    """The loaders of conditions in a step of a pipeline: several, one, or none of another step."""
    if isinstance(step, LoadConditions):
        return list(step.loaders.values())
    return [step] if hasattr(step, "source") else []


def _null(name: str, loader: Any) -> int | np.ndarray:
    """The channels of a loader's white image, or the tokens of no caption."""
    if isinstance(loader, LoadCaption):
        return np.full(loader.length, PADDING, np.int64)
    channels = getattr(loader, "channels", None)
    if not isinstance(channels, int) or channels < 1:
        raise ValueError(
            f"LoadConditions: {name}: {type(loader).__name__} has no channels, expected their number as an attribute; "
            "it is needed where a sample lacks the condition"
        )
    return channels
