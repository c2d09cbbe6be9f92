"""Members that an input of a translation has, and the loaders that read them.

A loader reads the member named in its attribute ``source``. Two more attributes, both optional, are for translations:

- ``as_given(members) -> loader``: the loader of an input that has these members. A training may derive its condition
  from another member, as edges from the image; here the condition is given. The derived member is read in its place,
  or the loader returns itself to derive it from what there is. With no members it returns the loader of what is given.
- ``optional``: names of further members that are read where an input has them, such as a mask of valid pixels.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from pitikit.data.loading import LoadBlank


class InputMembers:
    """The members of an input, and the steps that read them.

    Args:
        steps: the condition's half of a pipeline.

    Attributes:
        members: names of what an input needs, such as ('normals', 'depth').
        optional: further names that it may have: a mask of valid pixels, or what a member could be derived from or
            is derived into.

    Raises:
        ValueError: the steps load no condition.
    """

    def __init__(self, steps: Sequence[Any]) -> None:
        self._steps = list(steps)
        self.loaders = [step for step in steps if hasattr(step, "source")]
        # What is read in any case decides whether a derived member can do without a file of its own.
        anyhow = {str(step.source) for step in self.loaders if _as_given(step, ()).source == step.source}
        self.members = tuple(dict.fromkeys(str(_as_given(step, anyhow).source) for step in self.loaders))
        names = [name for step in self.loaders for name in names_of(step)]
        self.optional = tuple(name for name in dict.fromkeys(names) if name not in self.members)
        if not self.members and any(isinstance(step, LoadBlank) for step in steps):
            # Images without a condition: an input only names the result.
            self.members = ("image",)
        if not self.members:
            raise ValueError(
                "the pipeline loads no condition; expected a transform such as LoadMask or "
                "LoadSketch in the config's test_dataloader.dataset.pipeline"
            )

    def steps(self, members: Collection[str]) -> list[Any]:
        """The steps of an input that has ``members``."""
        return [_as_given(step, members) if hasattr(step, "source") else step for step in self._steps]

    def are(self, members: Collection[str]) -> bool:
        """True if ``members`` are enough for an input, and none of them is idle."""
        return self._read(members) == set(members)

    def besides(self, members: Collection[str]) -> list[str]:
        """The optional members that would be read beside ``members``."""
        return [name for name in self.optional if name not in members and name in self._read([*members, name])]

    def _read(self, members: Collection[str]) -> set[str]:
        if not self.loaders:
            return set(self.members)
        read = [_as_given(step, members) for step in self.loaders]
        further = {name for step in read for name in getattr(step, "optional", ()) if name in members}
        return {str(step.source) for step in read} | further


def names_of(loader: Any) -> list[str]:
    """The members that a loader may read."""
    return [str(loader.source), str(_as_given(loader, ()).source), *getattr(loader, "optional", ())]


def _as_given(loader: Any, members: Collection[str]) -> Any:
    return loader.as_given(members) if hasattr(loader, "as_given") else loader
