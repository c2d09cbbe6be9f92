"""Items of which a condition carries nothing: counted, and warned of now and then."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any


class EmptyConditions:
    """A counter of the conditions that carry nothing, by their kind.

    Ids that have ``notes`` bring them, see :mod:`pitikit.data.empty_conditions`; the order is that in which batches
    are used, independent of workers. Each rank counts its own items, since the start or the last resumption.

    Args:
        warn: takes the text of a warning.
    """

    def __init__(self, warn: Callable[[str], Any]) -> None:
        self.warn = warn
        self.items = 0
        #: Kind -> items.
        self.found: Counter[str] = Counter()

    def take(self, batch: Any) -> None:
        """Read the notes of a batch's ids; warn of the first, tenth, hundredth, … item of a kind.

        The ids become plain text.
        """
        ids = batch.get("id", ()) if isinstance(batch, dict) else ()
        self.items += len(ids)
        noted = [name for name in ids if getattr(name, "notes", ())]
        if not noted:
            return
        batch["id"] = [str(name) if getattr(name, "notes", ()) else name for name in ids]
        for name in noted:
            for note in name.notes:
                self.found[note.kind] += 1
                count = self.found[note.kind]
                if str(count).strip("0") == "1":
                    so_far = f"; {count} of {self.items} items so far" if count > 1 else ""
                    self.warn(f"condition that carries nothing: {note.error(str(name))}{so_far}")
