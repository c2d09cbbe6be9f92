"""Loaders of configs whose settings depend on each other."""

import pytest
from mmengine.registry import DefaultScope
from torch.utils.data import DataLoader

from pitikit.config import load_config
from pitikit.data.loaders import build_loader, consistent
from pitikit.data.sampler import DrawSampler
from pitikit.evaluation.generate import build_test_loader
from tests.data.shipped_loaders import ITEMS, assert_loaders_take


def build(**config):
    with DefaultScope.overwrite_default_scope("pitikit"):
        return build_loader(dict(dataset=ITEMS, batch_size=2, **config), seed=0)


def values(loader):
    return [batch["value"].tolist() for batch in loader]


@pytest.mark.parametrize(
    "setting",
    [
        dict(persistent_workers=True),
        dict(prefetch_factor=4),
        dict(timeout=60),
        dict(multiprocessing_context="spawn"),
        dict(persistent_workers=True, prefetch_factor=2, timeout=5, multiprocessing_context="fork", in_order=True),
    ],
    ids=lambda setting: "-".join(setting),
)
@pytest.mark.parametrize("workers", [dict(num_workers=0), {}], ids=["zero", "unset"])
def test_settings_of_workers_are_idle_without_workers(setting, workers):
    assert values(build(**workers, **setting)) == [[0, 1], [2, 3], [4]]
    config = dict(sampler=dict(type="DrawSampler"), **workers, **setting)
    with DefaultScope.overwrite_default_scope("pitikit"):
        assert values(build_test_loader(config, ITEMS, 2)) == [[0, 1], [2, 3], [4]]


def test_settings_of_workers_count_with_workers():
    loader = build(num_workers=1, persistent_workers=True, prefetch_factor=3, timeout=30)
    assert (loader.persistent_workers, loader.prefetch_factor, loader.timeout) == (True, 3, 30)
    assert values(loader) == [[0, 1], [2, 3], [4]]


def test_shuffle_is_the_samplers():
    assert build(shuffle=True).sampler.shuffle and not build().sampler.shuffle
    loader = build(shuffle=False, sampler=dict(type="DrawSampler", shuffle=True))
    assert isinstance(loader.sampler, DrawSampler) and not loader.sampler.shuffle


def test_a_batch_sampler_decides_about_the_last_batch():
    chosen = [[4, 0], [1]]
    assert values(build_loader(dict(dataset=ITEMS, batch_sampler=chosen, drop_last=True))) == chosen
    with DefaultScope.overwrite_default_scope("pitikit"):
        assert values(build_test_loader(dict(batch_sampler=chosen, shuffle=True), ITEMS, 3)) == [[0, 1, 2], [3, 4]]


def test_a_loader_and_the_config_are_left_as_they_are():
    loader = DataLoader(ITEMS)
    assert build_loader(loader) is loader
    config = dict(num_workers=0, timeout=3, sampler=dict(type="DrawSampler"), shuffle=False)
    copy = dict(config, sampler=dict(config["sampler"]))
    assert consistent(config)["sampler"]["shuffle"] is False and config == copy


# Without workers: tests/config/test_loading.py, which reads all configs anyway.
@pytest.mark.slow
def test_every_shipped_loader_takes_some_workers(repo):
    for path in sorted((repo / "configs").glob("[!_]*/*.py")):
        assert_loaders_take(load_config(path), workers=1)


def test_a_shipped_loader_takes_some_workers(repo):
    assert_loaders_take(load_config(repo / "configs/scenes/piti_small_mask.py"), workers=1)
