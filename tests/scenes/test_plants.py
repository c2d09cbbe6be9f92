"""Trees and bushes: their outlines."""

from dataclasses import replace

import numpy as np
import pytest

from pitikit.scenes.plants import crown_parts
from pitikit.scenes.spec import ObjectSpec

TREE = ObjectSpec("tree", 0.0, 9.0, 1.0, "green", "", 0.0, 5, "near")


@pytest.mark.parametrize(
    ("kind", "crowns", "has_trunk"), [("tree", 1, 1), ("poplar", 1, 1), ("pine", 4, 1), ("bush", 1, 0)]
)
def test_outlines_are_of_the_seed_and_grow_with_the_size(kind, crowns, has_trunk):
    item = replace(TREE, kind=kind)
    parts, trunk = crown_parts(item)
    assert len(parts) == crowns and (trunk is not None) == has_trunk
    again, twice, other = (crown_parts(each)[0] for each in (item, replace(item, size=2.0), replace(item, seed=6)))
    for part, same, larger, another in zip(parts, again, twice, other, strict=True):
        assert np.array_equal(part, same) and not np.array_equal(part, another)
        assert part[:, 1].min() > -0.2, "nothing grows below the foot"
        if kind != "tree":
            assert np.allclose(larger, 2 * part)
