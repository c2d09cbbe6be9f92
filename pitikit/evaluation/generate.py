"""The one loop that turns a dataset into images."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from pitikit.data.loaders import build_loader
from pitikit.diffusion.conditions import flat_items, map_condition, members_of
from pitikit.diffusion.noise import sample_seed
from pitikit.diffusion.samplers import SamplingRequest
from pitikit.models.translator import to_uint8

# Members of a batch that a sampling takes beside the condition.
_BESIDE = ("low_res", "start", "mask", "regions", "label")

_LOCK = threading.Lock()
# Modules that are in evaluation mode for a sampling: the modes that they were in, one for each sampling.
_MODES: WeakKeyDictionary[torch.nn.Module, list[bool]] = WeakKeyDictionary()


class ImageStore(Protocol):
    """A place where images are kept, so that those that are there need not be made again."""

    def read(self, name: str, sample: int, inputs: str) -> Tensor | None:
        """The image uint8 (3, H, W) of an id and of the ``sample``-th seed; None where there is none of ``inputs``."""
        ...

    def write(self, name: str, sample: int, image: Tensor, inputs: str) -> None:
        """Keep an image, whole or not at all, with the hash of what it was made from."""
        ...


@dataclass(frozen=True)
class Generated:
    """One image of :func:`generate`.

    Attributes:
        id: of the item.
        sample: position of its seed in the request.
        image: uint8 (3, H, W), on the CPU.
        low_res: uint8 (3, h, w), what an upsampler enlarged; None of a base model, or where the image was there.
        made: False where it was in the store.
    """

    id: str
    sample: int
    image: Tensor
    low_res: Tensor | None
    made: bool


@dataclass(frozen=True)
class GeneratedBatch:
    """The results of :func:`generate` for one batch of the loader.

    Attributes:
        batch: as the loader gave it.
        prepared: the same on the model's device, images in [-1, 1].
        images: of the batch's items in their order, all seeds of one after the other.
        sampled: images that were sampled for it, those too that were in the store beside others that were not.
        calls: evaluations of a network for them, see :class:`~pitikit.models.translator.Samples`.
        seconds: of their sampling.
    """

    batch: dict[str, Any]
    prepared: dict[str, Any]
    images: list[Generated]
    sampled: int = 0
    calls: int = 0
    seconds: float = 0.0


def generate(
    model: Any,
    loader: Iterable[dict[str, Any]],
    request: SamplingRequest | None = None,
    store: ImageStore | None = None,
    rows: int | None = None,
) -> Iterator[GeneratedBatch]:
    """Make the images of a dataset, batch after batch; of a cascade both parts of each before the next.

    An image depends on its seed and its id. Equal batches give equal bytes: on several ranks each of which has whole
    batches (:func:`batches_of_rank`), and after an interruption, where a batch that lacks an image is made as a whole.

    Args:
        model: a :class:`~pitikit.models.translator.DenoisingTranslator` or a cascade of two. It is in evaluation mode
            while it samples, and then in the mode that it was in.
        loader: batches with ``id`` and ``condition``; ``low_res``, ``start``, ``mask``, ``regions``, ``label`` and
            others that a guidance compares with, where they are needed.
        request: ``seeds`` are those of the run, an image of every item for each; the model's own by default.
        store: where images are kept; what is there is read instead of made.
        rows: images at once; as many as the batch has items by default.

    Raises:
        ValueError: ``start`` or ``mask`` in the request, which has no rows.
    """
    request = request or SamplingRequest()
    if request.start is not None or request.mask is not None:
        raise ValueError("generate: got start or mask in the request, expected them in the batches, a row an item")
    seeds = tuple(request.seeds or (model.seed,))
    for batch in loader:
        with evaluating(model):
            prepared = model.data_preprocessor(batch, False)
            names = [str(name) for name in batch["id"]]
            places = [(row, sample) for row in range(len(names)) for sample in range(len(seeds))]
            size = rows or len(names)
            of_rows = () if store is None else range(len(names))
            inputs = [_hash_inputs(batch, row, model.needs(request)) for row in of_rows]
            chunks = [
                _chunk(model, prepared, names, places[start : start + size], request, seeds, store, inputs)
                for start in range(0, len(places), size)
            ]
        yield GeneratedBatch(
            batch,
            prepared,
            [image for chunk in chunks for image in chunk.images],
            sum(len(chunk.images) for chunk in chunks if chunk.calls),
            sum(chunk.calls for chunk in chunks),
            sum(chunk.seconds for chunk in chunks),
        )


def _hash_inputs(batch: Mapping[str, Any], row: int, needs: Sequence[str]) -> str:
    """SHA-256 of what an image of a row is made from, its seed and its model apart: files of a set may change."""
    given = {name: batch[name] for name in ("condition", *_BESIDE) if batch.get(name) is not None}
    given |= members_of(batch, needs)
    content = hashlib.sha256()
    for name, value in flat_items({name: map_condition(itemgetter(row), value) for name, value in given.items()}):
        content.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        content.update(value.cpu().contiguous().numpy().tobytes())
    return content.hexdigest()


class _Chunk(NamedTuple):
    images: list[Generated]
    calls: int = 0
    seconds: float = 0.0


def _chunk(
    model: Any,
    prepared: Mapping[str, Any],
    names: Sequence[str],
    places: Sequence[tuple[int, int]],
    request: SamplingRequest,
    seeds: Sequence[int],
    store: ImageStore | None,
    inputs: Sequence[str],
) -> _Chunk:
    """The images of (row, sample) places, made in one call unless all are in the store."""
    kept = [None if store is None else store.read(names[row], sample, inputs[row]) for row, sample in places]
    there = [image for image in kept if image is not None]
    if len(there) == len(places):
        found = zip(places, there, strict=True)
        return _Chunk([Generated(names[row], sample, image, None, False) for (row, sample), image in found])
    rows = [row for row, _ in places]

    def rows_of(key: str) -> Tensor | None:
        value = prepared.get(key)
        return None if value is None else value[rows]

    row_seeds = [sample_seed(seeds[sample], names[row]) for row, sample in places]
    start, mask, regions, label = map(rows_of, _BESIDE[1:])
    members = {name: member[rows] for name, member in members_of(prepared, model.needs(request)).items()}
    call = replace(request, seeds=row_seeds, start=start, mask=mask, regions=regions, label=label, members=members)
    # By way of `forward`, where a sharded model gathers its parameters.
    begin = time.perf_counter()
    condition = map_condition(itemgetter(rows), prepared["condition"])
    made = model(mode="sample", condition=condition, request=call, low_res=rows_of("low_res"))
    images = to_uint8(made.images).cpu()  # Waits for the device.
    seconds = time.perf_counter() - begin
    small = None if made.low_res is None else to_uint8(made.low_res).cpu()
    results = []
    for index, ((row, sample), image) in enumerate(zip(places, kept, strict=True)):
        if image is None and store is not None:
            store.write(names[row], sample, images[index], inputs[row])
        low = None if small is None else small[index]
        results.append(Generated(names[row], sample, images[index] if image is None else image, low, image is None))
    return _Chunk(results, made.calls, seconds)


@contextmanager
def evaluating(model: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode within the context; afterwards every module is in the mode that it was in.

    Where several threads sample with one model, after the last of them.
    """
    modules = list(model.modules())
    with _LOCK:
        for module in modules:
            _MODES.setdefault(module, []).append(module.training)
        model.eval()
    try:
        yield
    finally:
        with _LOCK:
            for module in modules:
                # The first is the module's own mode, whichever sampling ends first.
                own, *_ = modes = _MODES[module]
                modes.pop()
                if not modes:
                    module.training = own
                    del _MODES[module]


def batches_of_rank(length: int, batch_size: int, rank: int = 0, world_size: int = 1) -> list[int]:
    """Positions in a dataset for one rank: whole batches in order, of which rank r of w has r, r + w, ..."""
    starts = range(rank * batch_size, length, batch_size * world_size)
    return [index for start in starts for index in range(start, min(start + batch_size, length))]


def build_test_loader(
    config: Mapping[str, Any], dataset: Any, batch_size: int | None = None, rank: int = 0, world_size: int = 1
) -> Any:
    """The config's loader, but of all items in the dataset's order, of which a rank has its batches.

    Args:
        config: a ``test_dataloader``.
        dataset: what to load from, in the place of the config's.
        batch_size: the config's by default.
        rank, world_size: see :func:`batches_of_rank`.
    """
    size = batch_size or config.get("batch_size", 1)
    order = batches_of_rank(len(dataset), size, rank, world_size)
    changed: dict[str, Any] = dict(dataset=dataset, sampler=order, batch_sampler=None, drop_last=False, batch_size=size)
    return build_loader({**config, **changed})
