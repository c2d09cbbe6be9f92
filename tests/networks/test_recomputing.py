"""Recomputing blocks: the same numbers with less memory."""

import pytest
import torch

from pitikit.losses.alignment import TokenAlignment
from tests.networks.small_denoiser import CONDITION, T, X, assert_empty, build, remembered, step


@pytest.mark.parametrize(
    "aligned, frozen, precision",
    [
        (False, False, None),
        (True, False, None),
        (True, True, None),
        (False, True, torch.bfloat16),
        (True, False, torch.bfloat16),
    ],
)
def test_recomputing_gives_the_same_loss_and_gradients(aligned, frozen, precision):
    results = []
    for recompute in (False, True):
        network = build(dict(recompute=recompute), recompute=recompute)
        if frozen:
            network.decoder.requires_grad_(False).eval()
        alignment = TokenAlignment(grid=4) if aligned else None
        if alignment is not None:
            alignment.watch(network)
            calls = []
            for block in network.decoder.attention_blocks():
                block.register_forward_pre_hook(lambda *_: calls.append(1))  # noqa: B023 - called within the round
        results.append(step(network, alignment, precision))
        if alignment is not None:
            # A hook that were called again in the backward pass would double the loss of the next step.
            assert len(calls) == len(list(network.decoder.attention_blocks()))
            assert_empty(alignment)
    (loss, gradients), (again, others) = results
    assert torch.equal(loss, again)
    assert {name for name, g in gradients.items() if g is not None} == {n for n, g in others.items() if g is not None}
    for name, gradient in gradients.items():
        assert (gradient is None) == (frozen and name.startswith("decoder."))
        assert gradient is None or torch.equal(gradient, others[name]), name


def test_the_loss_of_a_hook_keeps_its_gradients_with_recomputing():
    found = []
    for aligned in (False, True):
        network = build(recompute=True)
        alignment = TokenAlignment(weight=1.0, grid=4) if aligned else None
        if alignment is not None:
            alignment.watch(network)
        found.append(step(network, alignment)[1]["decoder.middle_block.1.qkv.weight"])
    assert not torch.allclose(*found, rtol=1e-3)


def test_recomputing_remembers_less():
    plain, decoder, both = (
        build(dict(recompute=e), recompute=d) for e, d in ((False, False), (False, True), (True, True))
    )
    assert remembered(both) < remembered(decoder) < 0.7 * remembered(plain)


def test_recomputing_is_off_without_gradients():
    network = build(dict(recompute=True), recompute=True).eval()
    with torch.no_grad():
        torch.testing.assert_close(network(X, T, CONDITION), build().eval()(X, T, CONDITION), rtol=0, atol=0)
