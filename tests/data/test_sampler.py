"""Endless draws that know their pass."""

import pickle
from itertools import islice

import pytest

from pitikit.data import sampler as module
from pitikit.data.sampler import Draw, DrawSampler


def take(count, **kwargs):
    return [(int(d), d.epoch) for d in islice(DrawSampler(range(7), seed=3, **kwargs), count)]


def test_passes_are_whole_and_differ():
    drawn = take(21)
    orders = [[i for i, _ in drawn[k : k + 7]] for k in (0, 7, 14)]
    assert all(sorted(order) == list(range(7)) for order in orders)
    assert len({tuple(order) for order in orders}) == 3
    assert [epoch for _, epoch in drawn] == [0] * 7 + [1] * 7 + [2] * 7
    assert [i for i, _ in take(8, shuffle=False)] == [*range(7), 0]


def test_an_order_is_of_its_seed_and_its_pass():
    def orders(seed):
        drawn = [int(draw) for draw in islice(DrawSampler(range(50), seed=seed), 150)]
        return [tuple(drawn[k : k + 50]) for k in (0, 50, 100)]

    assert len({order for seed in range(4) for order in orders(seed)}) == 12


def test_a_resumed_run_goes_on_where_it_stopped():
    assert take(10, start=11) == take(21)[11:]


def test_processes_share_the_draws(monkeypatch):
    alone = take(20)
    parts = []
    for rank in range(2):
        monkeypatch.setattr(module, "get_dist_info", lambda rank=rank: (rank, 2))
        parts.append(take(10))
    assert [pair for both in zip(*parts, strict=True) for pair in both] == alone


def test_a_draw_is_an_index_and_travels():
    draw = pickle.loads(pickle.dumps(Draw(4, 9)))
    assert draw == 4 and draw.epoch == 9 and "abcde"[draw] == "e"


def test_an_empty_dataset_is_refused():
    with pytest.raises(ValueError, match="empty"):
        DrawSampler([])
