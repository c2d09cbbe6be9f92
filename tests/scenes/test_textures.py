"""Texture tables: they tile, and their smaller levels are their means."""

import numpy as np

from pitikit.scenes.textures import TILE, lookup, texture_tables, warp


def test_levels_halve_and_keep_the_mean():
    tables, other = texture_tables(0), texture_tables(1)
    for name, levels in tables.items():
        assert [len(level) for level in levels] == [TILE, 128, 64, 32, 16], name
        assert np.abs(levels[0]).max() < 1.2 and levels[0].dtype == np.float32, name
        assert np.allclose([level.mean() for level in levels], levels[0].mean(), atol=1e-5), name
        assert not np.array_equal(levels[0], other[name][0]), name


def test_a_table_is_periodic_and_exact_at_its_texels():
    table = texture_tables(0)["foliage"][0]
    y, x = np.mgrid[0:8, 250:262].astype(np.float32)
    expected = table[0:8][:, np.arange(250, 262) % TILE]
    assert np.allclose(lookup(table, x, y), expected, atol=1e-6)
    assert np.allclose(lookup(table, x - TILE, y + 2 * TILE), expected, atol=1e-6)
    between = lookup(table, x[:, :5] + 0.5, y[:, :5])
    assert np.allclose(between, (expected[:, :5] + expected[:, 1:6]) / 2, atol=1e-2)


def test_a_plane_seen_from_afar_takes_a_coarser_level():
    levels = texture_tables(0)["grain"]
    near, far = (warp(levels, np.diag([1 / rate, 1 / rate, 1.0]), (32, 32), rate) for rate in (64.0, 4.0))
    assert np.allclose(near, levels[0][:32, :32], atol=1e-5)
    assert far.std() < 0.3 * near.std()
