"""SceneWorld as a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import numpy as np
from torch.utils.data import Dataset

from pitikit.data.dataset import build_pipeline, nested_subset
from pitikit.registry import DATASETS, TRANSFORMS
from pitikit.scenes.cache import SceneCache
from pitikit.scenes.layout import scene_layout
from pitikit.scenes.looks import CLASSES
from pitikit.scenes.render import MAX_SIZE, MIN_SIZE, Scene, render_scene

MEMBERS: tuple[str, ...] = ("image", "mask", "sketch", "depth", "normals", "caption", "layout", "coloured_layout")
"""Names that `SceneWorld(members=...)` takes; 'mask' is `Scene.label`, the last two are of `scene_layout`."""


def _checked_whole(name: str, value: int, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"{name}={value!r}: expected a whole number, {least} or more")
    return int(value)


def _member(scene: Scene, name: str) -> Any:
    if name in ("layout", "coloured_layout"):
        return scene_layout(scene, coloured=name == "coloured_layout")
    return getattr(scene, "label" if name == "mask" else name)


@DATASETS.register_module()
class SceneWorld(Dataset):
    """A deterministic synthetic world as a dataset; nothing is read from disk.

    Item i is scene `start` + i of the world `seed`, so ranges that do not overlap make disjoint
    training and test sets. Before the pipeline an item is
    `dict(id='scene_000123', sources={member: array or str}, rng=np.random.Generator)`: the
    generator depends on (seed, epoch, scene) alone, never on the number of workers.

    Args:
        length: number of scenes in the range, 1 or more.
        seed: seed of the world, 0 or more.
        start: number of the first scene, 0 or more.
        size: side of all images in pixels, 32 to 512.
        members: which of `MEMBERS` go to `sources`.
        pipeline: configs of transforms, or callables; applied in order. One that returns None is
            an error: an item is never dropped.
        subset: share of the range to keep, in (0, 1]; at least one scene.
        subset_seed: which scenes a share keeps.
        cache: keep rendered sources in memory (masks, images and sketches as they are, depth and
            normals as float16, so rounded to 11 bits): True for all, a number for so many at most, from
            the first on. Forked data workers share it, so that a scene is rendered once.

    Raises:
        ValueError: an argument out of range, named.
        IndexError: an index outside the set.
    """

    def __init__(
        self,
        length: int,
        seed: int = 0,
        start: int = 0,
        size: int = 256,
        members: Sequence[str] = ("image", "mask"),
        pipeline: Sequence[Annotated[Any, TRANSFORMS]] = (),
        subset: float = 1.0,
        subset_seed: int = 0,
        cache: bool | int = False,
    ) -> None:
        self.length = _checked_whole("length", length, 1)
        self.seed = _checked_whole("seed", seed, 0)
        self.start = _checked_whole("start", start, 0)
        self.size = _checked_whole("size", size, MIN_SIZE)
        if self.size > MAX_SIZE:
            raise ValueError(f"size={size!r}: expected {MIN_SIZE} to {MAX_SIZE} pixels")
        if isinstance(members, str) or not members:
            raise ValueError(f"members={members!r}: expected a list of names out of {MEMBERS}")
        for member in members:
            if member not in MEMBERS:
                raise ValueError(f"members={tuple(members)!r}: unknown {member!r}, expected names out of {MEMBERS}")
        self.members = tuple(members)
        self.epoch = 0
        chosen = nested_subset(self.length, subset, _checked_whole("subset_seed", subset_seed, 0))
        self.indices: tuple[int, ...] = tuple(int(i) + self.start for i in chosen)
        self.transforms = build_pipeline(pipeline).transforms
        kept = len(self.indices) if cache is True else min(_checked_whole("cache", int(cache), 0), len(self.indices))
        self._cache = SceneCache(kept, self.size, self.members) if kept else None

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def metainfo(self) -> dict[str, Any]:
        """Names of the classes and of the set."""
        return {"classes": CLASSES, "dataset": "SceneWorld"}

    @property
    def ids(self) -> list[str]:
        """The ids of the items, in their order."""
        return [f"scene_{index:06d}" for index in self.indices]

    def set_epoch(self, epoch: int) -> None:
        """Choose the random numbers of the augmentation; epoch 0 at first."""
        self.epoch = _checked_whole("epoch", epoch, 0)

    def sources(self, position: int) -> dict[str, Any]:
        """Rendered members of the item at a position: arrays at `size`, caption and layout a str."""
        kept = self._cache.get(position) if self._cache is not None else None
        if kept is not None:
            return kept
        scene = render_scene(self.seed, self.indices[position], self.size)
        made = {m: _member(scene, m) for m in self.members}
        return made if self._cache is None else self._cache.put(position, made)

    def __getitem__(self, position: int) -> dict[str, Any]:
        """The item at a position (negative ones count from the end), after the pipeline."""
        given = position
        # A draw of the training sampler carries its pass; set_epoch does not reach workers that run already.
        epoch = getattr(position, "epoch", self.epoch)
        if position < 0:
            position += len(self)
        if not 0 <= position < len(self):
            raise IndexError(f"SceneWorld: got index {given}, expected one below {len(self)}")
        index = self.indices[position]
        item: Any = {
            "id": f"scene_{index:06d}",
            "sources": self.sources(position),
            "rng": np.random.default_rng([self.seed, epoch, index]),
        }
        for transform in self.transforms:
            item = transform(item)
            if item is None:
                raise RuntimeError(
                    f"scene_{index:06d}: {transform!r} returned None; a transform has to return the item"
                )
        return item
