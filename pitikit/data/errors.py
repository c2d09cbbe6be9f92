"""The error of a bad dataset item."""

from __future__ import annotations

import traceback
from pathlib import Path


class DataError(ValueError):
    """A dataset item that cannot be used; the message has the item, what was found, what was expected and the
    remedy.

    Args:
        found: what was met, as a phrase.
        expected: what should have been there, as a phrase.
        advice: what to do about it; optional.
        path: the file at fault, where there is one.
        item: id of the item; ``None`` where it is not known yet (the dataset fills it in).

    ``others`` are the errors of further items that were found together with this one.
    """

    def __init__(
        self,
        found: str,
        expected: str = "",
        advice: str = "",
        path: str | Path | None = None,
        item: str | None = None,
    ) -> None:
        self.found, self.expected, self.advice = found, expected, advice
        self.path, self.item = path, item
        self.others: list[DataError] = []
        super().__init__(found, expected, advice, path, item)

    def __str__(self) -> str:
        """One line: place, what was found, what was expected, advice."""
        place = f"item {self.item!r}" if self.item is not None else ""
        if self.path is not None:
            place = f"{place} ({self.path})" if place else str(self.path)
        # A data worker hands its error over as one text, in place of ``found``.
        if not self.expected:
            return self.found
        text = f"found {self.found}; expected {self.expected}"
        if place:
            text = f"{place}: {text}"
        return f"{text}. {self.advice}" if self.advice else text


class LoaderError(DataError):
    """A fault of a loader itself, such as a method that returns something else than it should: no item is at fault,
    and none is passed over for it.
    """


def place_of(error: BaseException) -> str:
    """File and line that raised ``error``, in brackets: where to mend the code of a plugin."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f" ({last.filename}, line {last.lineno})"
