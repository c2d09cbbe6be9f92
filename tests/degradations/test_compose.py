"""Degradations made of others."""

import numpy as np
import pytest

from pitikit.degradations.compose import Downscale, OneOf, RandomApply, RandomOrder, Sequence
from pitikit.degradations.operation import DegradationError

IMAGE = np.zeros((8, 12, 3), np.float32)


class Mark:
    """Notes that it ran, and draws a number, as a plugin's degradation might."""

    def __init__(self, log, name):
        self.log, self.name = log, name

    def __call__(self, image, rng):
        self.log.append(self.name)
        return image


def marks(log, count=4):
    return [Mark(log, name) for name in range(count)]


def seeds(count):
    return [np.random.default_rng(seed) for seed in range(count)]


def test_sequence_keeps_the_order():
    log = []
    Sequence(marks(log))(IMAGE, np.random.default_rng(0))
    assert log == [0, 1, 2, 3]


def test_random_order_takes_all_orders_that_keep_says():
    log = []
    free, bound = RandomOrder(marks(log, 3)), RandomOrder(marks(log, 4), keep=[(1, 3)])
    orders = {}
    for rng in seeds(600):
        log.clear()
        free(IMAGE, rng)
        orders[tuple(log)] = orders.get(tuple(log), 0) + 1
    assert len(orders) == 6 and min(orders.values()) > 60
    orders = {}
    for rng in seeds(1200):
        log.clear()
        bound(IMAGE, rng)
        orders[tuple(log)] = orders.get(tuple(log), 0) + 1
    assert all(order.index(1) < order.index(3) for order in orders)
    assert len(orders) == 12 and min(orders.values()) > 55


def test_random_apply_and_one_of_are_as_likely_as_said():
    log = []
    for rng in seeds(400):
        RandomApply(Mark(log, "a"), 0.25)(IMAGE, rng)
    assert 70 < len(log) < 130
    log.clear()
    chosen = OneOf([Mark(log, "a"), Mark(log, "b"), None], weights=[3, 1, 4])
    for rng in seeds(800):
        chosen(IMAGE, rng)
    assert 250 < log.count("a") < 350 and 70 < log.count("b") < 130
    for prob, count in ((0, 0), (1, 20)):
        log.clear()
        for rng in seeds(20):
            RandomApply(Mark(log, "a"), prob)(IMAGE, rng)
        assert len(log) == count


@pytest.mark.parametrize(("scale", "shape"), [(1, (8, 12, 3)), (2, (4, 6, 3)), (4, (2, 3, 3))])
def test_downscale_ends_in_its_size(scale, shape, rng):
    steps = [None, dict(type="Resize", scale=0.3), dict(type="Resize", size="final"), dict(type="JPEG")]
    nested = dict(type="RandomOrder", degradations=[dict(type="Resize", scale=1.7), dict(type="Resize", size="final")])
    for step in [*steps, dict(type="Sequence", degradations=[dict(type="OneOf", degradations=[nested])])]:
        assert Downscale(scale, step)(IMAGE, rng).shape == shape


def test_downscale_ends_by_its_interpolation(rng):
    image = IMAGE.copy()
    image[::2, ::2] = 1
    made = {name: Downscale(2, interpolations=name)(image, rng) for name in ("nearest", "area")}
    assert np.unique(made["nearest"]).tolist() == [1.0] and np.allclose(made["area"], 0.25)


def test_the_final_size_reaches_every_depth(rng):
    seen = []

    class Look(type(Downscale(1))):
        def apply(self, image, rng, final):
            seen.append(final)
            return image

    inner = RandomApply(OneOf([RandomOrder([Sequence([Look(1)])])]), 1.0)
    Downscale(2, inner)(IMAGE, rng)
    assert seen == [(4, 6)]


def test_a_scale_that_does_not_divide_is_told():
    with pytest.raises(DegradationError, match="scale=4 does not divide an image of 11×8 pixels.*8×8"):
        Downscale(4)(IMAGE[:, :11], np.random.default_rng(0))
