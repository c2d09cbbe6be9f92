"""Building of a loader from its config: settings that only hold together are brought together here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.runner import Runner
from torch.utils.data import DataLoader

#: What torch refuses in a loader without worker processes, and its value there.
OF_WORKERS = dict(
    persistent_workers=False, prefetch_factor=None, timeout=0, multiprocessing_context=None, in_order=True
)


def consistent(config: Mapping[str, Any]) -> dict[str, Any]:
    """A loader's config in which the settings that depend on others follow from them.

    - ``num_workers=0``: what belongs to worker processes is left out (:data:`OF_WORKERS`).
    - ``shuffle`` beside a sampler is the sampler's; without a sampler it is that of a ``DefaultSampler``.
    - without ``collate_fn`` a batch is a dict of tensors.
    - ``batch_sampler`` decides about the end of a pass: ``drop_last`` is left out.
    """
    loader = {"collate_fn": dict(type="default_collate"), **config}
    if not loader.get("num_workers"):
        loader = {key: value for key, value in loader.items() if key not in OF_WORKERS}
    shuffle, sampler = loader.pop("shuffle", None), loader.get("sampler")
    if sampler is None:
        loader["sampler"] = dict(type="DefaultSampler", shuffle=bool(shuffle))
    elif shuffle is not None and isinstance(sampler, Mapping):
        loader["sampler"] = {**sampler, "shuffle": shuffle}
    if loader.get("batch_sampler") is not None:
        loader.pop("drop_last", None)
    return loader


def build_loader(config: DataLoader | Mapping[str, Any], seed: int | None = None, **options: Any) -> DataLoader:
    """The loader of a config, as mmengine builds it from :func:`consistent` settings; a loader is returned as it is.

    Args:
        config: with ``dataset``; keys are those of :class:`~pitikit.config.schema.Dataloader`.
        seed: of the sampler and the workers.
        options: further arguments of mmengine's ``Runner.build_dataloader``.
    """
    if isinstance(config, DataLoader):
        return config
    return Runner.build_dataloader(consistent(config), seed=seed, **options)
