"""Memory and layout of the decoder: other ways to the same numbers."""

import pytest
import torch

from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import Prediction
from pitikit.losses.alignment import TokenAlignment
from pitikit.models.denoiser import Denoiser

ENCODER = dict(type="SemanticEncoder", input_size=32, channels=(4, 4, 8, 8, 8), width=16, layers=2, heads=2)
ENCODER["strides"] = (1, 2, 2, 2, 1, 1)
DECODER = dict(
    type="GlideUNet",
    image_size=16,
    channels=16,
    multipliers=(1, 2, 2),
    res_blocks=1,
    attention_sizes=(8, 4),
    head_width=8,
    groups=8,
    token_width=16,
    dropout=0.1,
)
X, T = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1)), torch.tensor([5, 900])
CONDITION = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(2)) * 2 - 1


def build(encoder=None, **decoder):
    torch.manual_seed(0)
    network = Denoiser({**ENCODER, **(encoder or {})}, {**DECODER, **decoder})
    # The last layers begin at zero, which would hide everything before them.
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network.train()


def assert_empty(alignment):
    """The loss has kept nothing for its next call."""
    with pytest.raises(RuntimeError, match="has not run"):
        alignment(None, None)


def step(network, alignment=None, precision=None):
    """Loss and gradients of one training step."""
    torch.manual_seed(3)
    with torch.autocast("cpu", precision, precision is not None):
        output = network(X, T, CONDITION)
        loss = output.square().mean()
        if alignment is not None:
            prediction = Prediction.from_output(output, X, NoiseSchedule().at(T))
            loss = loss + alignment(prediction, None).mean()
            assert_empty(alignment)
    loss.backward()
    return loss.detach(), {name: p.grad for name, p in network.named_parameters()}


def remembered(network):
    """Bytes that a forward pass keeps for the gradients, weights apart."""
    weights = {p.data_ptr() for p in network.parameters()}
    sizes = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = network(X, T, CONDITION)
    del output
    return sum(sizes.values())


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


@pytest.mark.parametrize("recompute", [False, True])
def test_channels_last_gives_the_same_numbers_within_rounding(recompute):
    (loss, gradients), (other, others) = (
        # Dropout draws in the order of memory: its places would differ.
        step(build(channels_last=last, recompute=recompute, dropout=0.0))
        for last in (False, True)
    )
    torch.testing.assert_close(loss, other, rtol=1e-5, atol=0)
    largest = max(float(g.abs().max()) for g in gradients.values())
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, others[name], rtol=1e-3, atol=1e-5 * largest, msg=name)


def test_feature_maps_are_channels_last_where_wanted():
    for wanted in (False, True):
        network, seen = build(channels_last=wanted).eval(), []
        for block in network.decoder.modules():
            if type(block).__name__ in ("ResBlock", "AttentionBlock"):
                block.register_forward_hook(lambda _, __, y: seen.append(y))  # noqa: B023 - called within the round
        network(X, T, CONDITION)
        assert len(seen) > 10
        for y in seen:
            assert y.is_contiguous(memory_format=torch.channels_last if wanted else torch.contiguous_format)


def test_a_frozen_decoder_computes_no_gradient_that_nobody_wants():
    network = build(dropout=0.0)
    network.decoder.requires_grad_(False).eval()
    first = network.decoder.input_blocks[0][0]
    kept = []
    handles = [first.register_forward_hook(lambda _, __, y: kept.append(y.requires_grad))]
    # The condition reaches the decoder through the embedding, too: gradients flow from the first block on.
    handles.append(
        network.decoder.input_blocks[1][0].register_forward_hook(lambda _, __, y: kept.append(y.requires_grad))
    )
    frozen = remembered(network)
    assert kept == [False, True]
    for handle in handles:
        handle.remove()
    _, gradients = step(network)
    assert all(g is None for name, g in gradients.items() if name.startswith("decoder."))
    assert all(g is not None for name, g in gradients.items() if name.startswith("encoder."))
    assert frozen < remembered(build(dropout=0.0))


def test_a_frozen_decoder_in_bfloat16_keeps_its_weights():
    network = build(dropout=0.0)
    network.decoder.requires_grad_(False).eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    loss, gradients = step(network, precision=torch.bfloat16)
    network.zero_grad()
    again, others = step(network, precision=torch.bfloat16)
    assert torch.equal(loss, again)
    assert all(g is None or torch.equal(g, others[name]) for name, g in gradients.items())
    for name, value in network.state_dict().items():
        assert value.dtype == torch.float32 and torch.equal(value, before[name])
    # Without gradients for the decoder the encoder's are those of autocast with them.
    network.decoder.requires_grad_(True)
    network.zero_grad()
    _, trained = step(network, precision=torch.bfloat16)
    # Before an instance norm a bias changes nothing: its gradient is rounding alone.
    noise = {f"encoder.cnn.conv{layer}.bias" for layer in range(1, 6)}
    for name, gradient in others.items():
        if gradient is not None and name not in noise:
            torch.testing.assert_close(gradient, trained[name], rtol=0.05, atol=0.02 * float(trained[name].abs().max()))
