"""Items that a training could not read and skipped: counted, warned of once each, and not too many."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, get_world_size


class TooManyBadItemsError(RuntimeError):
    """A larger share of the training set is unreadable than ``max_bad`` allows."""


class BadItems:
    """A counter of the items that a training with ``on_error='skip'`` skipped.

    It counts in the order in which batches are trained on, independent of workers and of what they have read
    ahead. Every rank counts the items of all.

    Args:
        dataset: of the training loader, wrappers such as RepeatDataset included.
    """

    def __init__(self, dataset: Any) -> None:
        parts = list(_parts(dataset))
        sets = [each for each in parts if getattr(each, "on_error", None) == "skip"]
        self.active = bool(sets)
        self.missing = [str(error) for each in sets for error in each.missing]
        self.passed_over = [text for each in parts if (text := getattr(each, "passed_over_report", ""))]
        self.total = sum(len(each) for each in sets)
        self.allowed = sum(int(each.max_bad * len(each)) for each in sets)
        #: Id -> complaint.
        self.found: dict[str, str] = {}
        #: Draws that got another item.
        self.replaced = 0

    def state(self) -> dict[str, Any]:
        """Plain values for a checkpoint."""
        return {"found": dict(self.found), "replaced": self.replaced}

    def resume(self, state: dict[str, Any]) -> None:
        """Go on counting from what :meth:`state` gave."""
        self.found, self.replaced = dict(state["found"]), state["replaced"]

    def report_missing(self, logger: Any) -> None:
        """Warn, once, of the items that were left out from the start, and of the files that were passed over."""
        for text in self.passed_over:
            logger.warning(text)
        if self.missing:
            more = f" and {len(self.missing) - 3} more" if len(self.missing) > 3 else ""
            shown = "\n  ".join(self.missing[:3])
            logger.warning(f"{len(self.missing)} items without a partner are left out:\n  {shown}{more}")

    def take(self, batch: Any, runner: Any) -> None:
        """Read from a batch's ids what was passed over; warn of new items, and write the counts to the log.

        The ids become plain text.

        Raises:
            TooManyBadItemsError: there are more bad items than ``max_bad`` of the datasets allows.
        """
        if not self.active:
            return
        ids = batch.get("id", ()) if isinstance(batch, dict) else ()
        passed = [name.passed for name in ids if getattr(name, "passed", ())]
        if passed:
            batch["id"] = [str(name) for name in ids]
        for pairs in self._from_all(passed, runner):
            self.replaced += 1
            for name, text in pairs:
                if name not in self.found:
                    self.found[name] = text
                    runner.logger.warning(f"skipping unreadable {text}")
        # Floats, as they come back out of a checkpoint: the log of a resumed run is the same text.
        runner.message_hub.update_scalar("train/bad_items", float(len(self.found)))
        runner.message_hub.update_scalar("train/replaced", float(self.replaced))
        if len(self.found) > self.allowed:
            names = [repr(name) for name in self.found]
            more = f" and {len(names) - 5} more" if len(names) > 5 else ""
            raise TooManyBadItemsError(
                f"iteration {runner.iter + 1}: {len(names)} of {self.total} items are bad, max_bad allows "
                f"{self.allowed}: {', '.join(names[:5])}{more}. tools/check_data.py lists all of them; repair them, "
                "leave them out by a list_file, or raise max_bad"
            )

    @staticmethod
    def _from_all(passed: list[Any], runner: Any) -> list[Any]:
        if get_world_size() == 1:
            return passed
        # One number each iteration; texts travel in the few that have any.
        count = torch.tensor(len(passed), device=next(runner.model.parameters()).device)
        all_reduce(count)
        return [pairs for part in all_gather_object(passed) for pairs in part] if int(count) else []


def _parts(dataset: Any) -> Iterator[Any]:
    """``dataset`` and the datasets within it."""
    yield dataset
    for inner in [getattr(dataset, "dataset", None), *(getattr(dataset, "datasets", None) or ())]:
        if inner is not None:
            yield from _parts(inner)
