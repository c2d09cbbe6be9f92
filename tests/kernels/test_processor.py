"""Abilities of the processor, read from torch."""

import pytest
import torch

from pitikit.kernels.processor import has_matrix_units


@pytest.mark.parametrize("found, expected", [({"amx_bf16": False}, False), ({"amx_bf16": True}, True), ({}, True)])
def test_matrix_units_are_those_that_torch_finds(found, expected, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: found, raising=False)
    assert has_matrix_units.__wrapped__() is expected
