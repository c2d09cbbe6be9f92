"""Half precision of a call, whatever other calls of the process compute in."""

import pytest
import torch
from torch import nn

from pitikit.models.precision import half_precision

LAYER, X = nn.Linear(4, 3), torch.ones(2, 4)


def test_none_is_the_precision_of_the_parameters():
    with torch.autocast("cpu", torch.bfloat16), half_precision("cpu", None):
        assert LAYER(X).dtype == torch.float32


@pytest.mark.parametrize("outer", [torch.bfloat16, torch.float16])
def test_a_call_within_one_of_another_precision(outer):
    inner = torch.float16 if outer == torch.bfloat16 else torch.bfloat16
    with torch.no_grad(), half_precision("cpu", outer):
        first = LAYER(X)
        with half_precision("cpu", inner):
            assert LAYER(X).dtype == inner
        assert torch.equal(LAYER(X), first) and first.dtype == outer


def test_casts_are_kept_for_calls_of_one_precision():
    with half_precision("cpu", torch.bfloat16):
        assert torch.is_autocast_cache_enabled()
        with half_precision("cpu", torch.bfloat16):
            assert torch.is_autocast_cache_enabled()
        with half_precision("cpu", torch.float16):
            assert not torch.is_autocast_cache_enabled()
    with half_precision("cpu", torch.float16):
        assert torch.is_autocast_cache_enabled()


def test_a_call_that_fails_leaves_nothing_behind():
    with pytest.raises(RuntimeError), half_precision("cpu", torch.bfloat16):
        raise RuntimeError
    with half_precision("cpu", torch.float16):
        assert torch.is_autocast_cache_enabled()
