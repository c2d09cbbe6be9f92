"""Conditions before they are encoded: one tensor, or several by name, each of which can be left out on its own."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor

Condition = Tensor | dict[str, Tensor]
"""The condition of B samples, (B, ...); of an encoder with ``parts`` one by the name of each."""

Drop = float | Mapping[str, float]
"""Probability of leaving out a condition; of one in parts that of each, on its own, or by name (0 for the others)."""


def map_condition(function: Callable[[Tensor], Tensor], condition: Condition) -> Condition:
    """Apply ``function`` to every tensor of a condition."""
    if isinstance(condition, Mapping):
        return {name: function(part) for name, part in condition.items()}
    return function(condition)


def any_part(condition: Condition) -> Tensor:
    """One tensor of a condition, for what all have in common: their rows and their device."""
    return next(iter(condition.values())) if isinstance(condition, Mapping) else condition


def image_parts(condition: Any) -> dict[str, Tensor]:
    """The images (C, H, W) in the condition of one sample by name, 'condition' of the only one; none of a text."""
    parts = condition if isinstance(condition, Mapping) else {"condition": condition}
    images = {name: part for name, part in parts.items() if isinstance(part, Tensor) and part.ndim == 3}
    return images if len(images) > 1 else dict(zip(["condition"], images.values(), strict=False))


def image_part(condition: Any) -> Tensor | None:
    """The first of :func:`image_parts`; None where there is none, such as of a text alone."""
    return next(iter(image_parts(condition).values()), None)


def member_of(batch: Mapping[str, Any], name: str) -> Tensor | None:
    """A member of a batch by name; None where there is none.

    'condition' is the image of a condition, (B, C, H, W), beside a text too, but not one of several images;
    'condition.mask' is the part of that name.
    """
    key, _, part = name.partition(".")
    value = batch.get(key)
    if part:
        value = value.get(part) if isinstance(value, Mapping) else None
    elif isinstance(value, Mapping):
        images = [each for each in value.values() if each.ndim == 4]
        value = images[0] if len(images) == 1 else None
    return value if isinstance(value, Tensor) else None


def members_of(batch: Mapping[str, Any], names: Iterable[str]) -> dict[str, Tensor]:
    """The members of those names that a batch has, see :func:`member_of`."""
    found = {name: member_of(batch, name) for name in names}
    return {name: member for name, member in found.items() if member is not None}


def parts_by_member(condition: Condition) -> dict[str, Tensor]:
    """A condition by the names that :func:`member_of` has for it and for its parts."""
    parts = condition if isinstance(condition, Mapping) else ()
    return members_of({"condition": condition}, ["condition", *(f"condition.{part}" for part in parts)])


def sample_of(batch: Mapping[str, Any], row: int) -> dict[str, Any]:
    """One sample of a batch: that row of each value, and of every part of a condition."""
    return {key: map_condition(itemgetter(row), value) for key, value in batch.items()}


def flat_items(sample: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The items of a sample, those of a condition in parts as 'condition.text' and so on."""
    for name, value in sample.items():
        if isinstance(value, Mapping):
            yield from ((f"{name}.{part}", inner) for part, inner in value.items())
        else:
            yield name, value


def checked_drop(place: str, drop: Drop) -> float | dict[str, float]:
    """Check probabilities, and return them as plain values, as they are saved with a failed batch.

    Raises:
        ValueError: one is not between 0 and 1.
    """
    for name, chance in drop.items() if isinstance(drop, Mapping) else [("", drop)]:
        if not 0 <= chance <= 1:
            raise ValueError(f"{place}drop{name and '.'}{name}={chance}: expected a probability")
    return dict(drop) if isinstance(drop, Mapping) else drop


def check_drop_names(place: str, drop: Drop, names: Collection[str]) -> None:
    """Check that probabilities by name are those of the parts ``names`` of a condition, of which there may be none.

    Raises:
        ValueError: a name of another part.
    """
    unknown = sorted(set(drop) - set(names)) if isinstance(drop, Mapping) else []
    if unknown:
        found = ", ".join(names) or "one condition without parts"
        raise ValueError(f"{place}drop: got {', '.join(unknown)}, expected the parts of the condition: {found}")


def draw_dropped(condition: Condition, drop: Drop, draw: Callable[[], Tensor]) -> Condition | None:
    """Draw, for each part of a condition on its own, the rows to leave out: (B,) bool; None where there are none.

    Args:
        condition: of B samples.
        drop: see :data:`Drop`.
        draw: gives (B,) uniform in [0, 1). Called whatever the probability, so that another one does not shift the
            random numbers that follow.

    Raises:
        ValueError: probabilities by name for a condition without such parts.
    """
    names = list(condition) if isinstance(condition, Mapping) else [""]
    check_drop_names("", drop, list(condition) if isinstance(condition, Mapping) else [])
    if isinstance(drop, Mapping):
        chances = {name: drop.get(name, 0.0) for name in names}
    else:
        chances = dict.fromkeys(names, drop)
    dropped = {name: draw() < chance for name, chance in chances.items()}
    if not any(chances.values()):
        return None
    return dropped if isinstance(condition, Mapping) else dropped[""]


def dropped_members(condition: Condition, dropped: Condition | None) -> dict[str, Tensor]:
    """Rows (B,) bool that were left out of a condition, by the names that :func:`member_of` has for it and its parts.

    'condition' has those of which no image was seen. Empty where nothing was dropped.
    """
    if dropped is None:
        return {}
    if not isinstance(condition, Mapping) or not isinstance(dropped, Mapping):
        return {"condition": any_part(dropped)}
    images = [dropped[name] for name, part in condition.items() if part.ndim == 4] or list(dropped.values())
    return {
        "condition": torch.stack(images).all(dim=0),
        **{f"condition.{name}": rows for name, rows in dropped.items()},
    }


def replace_rows(condition: Condition, null: Condition, dropped: Condition) -> Condition:
    """``condition`` with ``null`` (one row) in the rows, and parts, where ``dropped`` (B,) bool is True."""
    if isinstance(condition, Mapping):
        assert isinstance(null, Mapping) and isinstance(dropped, Mapping)
        parts = {name: _replaced(part, null[name], dropped[name]) for name, part in condition.items()}
        return parts
    assert isinstance(null, Tensor) and isinstance(dropped, Tensor)
    return _replaced(condition, null, dropped)


def _replaced(condition: Tensor, null: Tensor, dropped: Tensor) -> Tensor:
    # Without a check for dropped rows, which would wait for the device.
    return torch.where(dropped.view(-1, *[1] * (condition.ndim - 1)), null.to(condition.dtype), condition)
