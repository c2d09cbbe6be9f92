"""Members that an input of a translation has, and the loaders that read them.

A loader reads the member named in its attribute ``source``. Two more attributes, both optional, are for translations:

- ``as_given(members) -> loader``: the loader of an input that has these members. A training may derive its condition
  from another member, as edges from the image; here the condition is given. The derived member is read in its place,
  or the loader returns itself to derive it from what there is. With no members it returns the loader of what is given.
- ``optional``: names of further members that are read where an input has them, such as a mask of valid pixels.

Of the conditions of a :class:`~pitikit.data.loading_conditions.LoadConditions` an input has one or more.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from pitikit.data.loading import LoadBlank
from pitikit.data.loading_conditions import LoadConditions, as_given, loaders_of


class InputMembers:
    """The members of an input, and the steps that read them.

    Args:
        steps: the condition's half of a pipeline.

    Attributes:
        members: names of what an input needs, such as ('normals', 'depth').
        choices: those of them of which one is enough.
        optional: further names that it may have: a mask of valid pixels, or what a member could be derived from or
            is derived into.

    Raises:
        ValueError: the steps load no condition.
    """

    def __init__(self, steps: Sequence[Any]) -> None:
        self._steps = list(steps)
        self.loaders = [loader for step in steps for loader in loaders_of(step)]
        #: The loaders of conditions of which one is enough.
        self._several = [each for step in steps if isinstance(step, LoadConditions) for each in loaders_of(step)]
        self.choices = tuple(str(as_given(loader, ()).source) for loader in self._several)
        # What is read in any case decides whether a derived member can do without a file of its own.
        alone = [loader for loader in self.loaders if loader not in self._several]
        anyhow = {str(step.source) for step in alone if as_given(step, ()).source == step.source}
        needed = [str(as_given(step, anyhow).source) for step in alone]
        self.members = tuple(dict.fromkeys([*needed, *self.choices]))
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
        return [as_given(step, members) if loaders_of(step) else step for step in self._steps]

    def are(self, members: Collection[str]) -> bool:
        """True if ``members`` are enough for an input, and none of them is idle."""
        enough = not self.choices or len(self.lacking(members)) < len(self.choices)
        return enough and self._read(members) == set(members)

    def lacking(self, members: Collection[str]) -> list[str]:
        """The choices that an input of ``members`` does not have, for which the null condition stands."""
        pairs = zip(self.choices, self._several, strict=True)
        return [name for name, loader in pairs if as_given(loader, members).source not in members]

    @property
    def expected(self) -> str:
        """The members that an input has, for messages."""
        needed = [name for name in self.members if name not in self.choices]
        some = f"one of {', '.join(map(repr, self.choices))} at least" if self.choices else ""
        return " and ".join([*map(repr, needed), *filter(None, [some])])

    def besides(self, members: Collection[str]) -> list[str]:
        """The optional members that would be read beside ``members``."""
        return [name for name in self.optional if name not in members and name in self._read([*members, name])]

    def _read(self, members: Collection[str]) -> set[str]:
        if not self.loaders:
            return set(self.members)
        lacking = set(self.lacking(members))
        idle = [loader for name, loader in zip(self.choices, self._several, strict=True) if name in lacking]
        read = [as_given(step, members) for step in self.loaders if step not in idle]
        further = {name for step in read for name in getattr(step, "optional", ()) if name in members}
        return {str(step.source) for step in read} | further


def names_of(loader: Any) -> list[str]:
    """The members that a loader may read."""
    return [str(loader.source), str(as_given(loader, ()).source), *getattr(loader, "optional", ())]
