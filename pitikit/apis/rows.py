"""The rows of a translation: its inputs as the loader of :func:`~pitikit.evaluation.generate.generate` takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from pitikit.apis.edit import Edit, EditReader
from pitikit.apis.inputs import ConditionReader, Item
from pitikit.apis.instances import InstanceReader
from pitikit.diffusion.conditions import Condition
from pitikit.diffusion.samplers import SamplingRequest
from pitikit.models.cascade import Cascade
from pitikit.models.translator import DenoisingTranslator

# Inputs whose rows stay in memory between check and sampling, about 0.5 MB each; others are read again.
KEPT = 1024


class InputRows(Dataset):
    """The inputs of a call: every one is read once to be checked, and kept if there are not too many.

    Args:
        reader: of the conditions.
        items: the inputs.
        low_res: the images that are enlarged, uint8 (S, S, 3), one an input; None where there are none.
        edits: of the images to edit; None where images are made from noise alone.
        instances: of the objects that are made apart; None where there are none.
        needs: members that a guidance compares with, such as 'label', see :meth:`ConditionReader.read_kept`.
    """

    def __init__(
        self,
        reader: ConditionReader,
        items: Sequence[Item],
        low_res: list[np.ndarray] | None = None,
        edits: EditReader | None = None,
        instances: InstanceReader | None = None,
        needs: Sequence[str] = (),
    ) -> None:
        self.reader, self.items, self.low_res, self.edits, self.instances = reader, items, low_res, edits, instances
        # What is part of the condition is there already.
        self.needs = tuple(name for name in needs if name.partition(".")[0] != "condition")
        self._kept: dict[int, dict[str, Condition]] = {}
        for index in range(len(items)):
            row = self._read(index)
            if index < KEPT:
                self._kept[index] = row

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> dict[str, Any]:
        item, row = self.items[index], self._kept.get(index)
        return {"id": item.noise, **(self._read(index) if row is None else row)}

    def _read(self, index: int) -> dict[str, Condition]:
        row: dict[str, Condition] = {"condition": self.reader.read(self.items[index])}
        if self.low_res is not None:
            row["low_res"] = torch.tensor(self.low_res[index]).permute(2, 0, 1)
        row.update(self.reader.read_kept(self.items[index], self.needs) if self.needs else {})
        if self.instances is not None:
            row["regions"] = torch.from_numpy(self.instances.read(index))[None]
        return row if self.edits is None else {**row, **self.edits.read(index)}


def make_rows(
    model: DenoisingTranslator | Cascade,
    reader: ConditionReader,
    items: Sequence[Item],
    request: SamplingRequest,
    low_res: list[np.ndarray] | None,
    edit: Edit | None,
    instances: Any,
    names: Sequence[str],
) -> tuple[InputRows, SamplingRequest]:
    """The rows of a call, and its request with what they need.

    Args:
        model: that samples.
        reader, items, low_res: see :class:`InputRows`.
        request: of the call.
        edit, instances: see :meth:`Translator.__call__ <pitikit.apis.translator.Translator.__call__>`.
        names: of the labels.

    Raises:
        DataError: an input, an image or a mask cannot be used.
        ValueError: more than one of ``low_res``, ``edit`` and ``instances``, or one that does not fit the inputs.
    """
    given = dict(low_res=low_res, edit=edit, instances=instances)
    ways = [name for name, value in given.items() if value is not None]
    if len(ways) > 1:
        raise ValueError(f"{' and '.join(ways)}: got both in a call, expected one; each is a way to begin an image")
    sides = [part.denoiser.decoder.image_size for part in model.parts.values()]
    edits = None if edit is None else EditReader(edit, reader, items, sides[-1])
    objects = None if instances is None else InstanceReader(instances, names, reader, items, sides[0])
    rows = InputRows(reader, items, low_res, edits, objects, model.needs(request))
    request = request if edit is None else edit.request(request)
    return rows, request if objects is None else objects.request(request)
