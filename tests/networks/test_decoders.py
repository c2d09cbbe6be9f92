"""Layout and sizes of the decoder, and what a frozen one computes."""

import pytest
import torch

from tests.networks.small_denoiser import CONDITION, T, X, build, remembered, step


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


def first_input(network, cond):
    """The channels that the first convolution of the decoder is given."""
    seen = []
    handle = network.decoder.input_blocks[0][0].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    network.decode(X, T, cond)
    handle.remove()
    return seen[0].contiguous()


@torch.no_grad()
def test_an_inpainting_model_sees_the_known_part_before_the_small_image():
    # The order of the released weights: x_t, the masked image, the mask, then low_res.
    network = build(inpaint=True, low_res=True).eval()
    low_res, known = torch.full((2, 3, 8, 8), 0.25), torch.full((2, 4, 16, 16), 0.5)
    cond = network.encode(CONDITION, low_res)._replace(known=known)
    expected = torch.cat([X, known, torch.full((2, 3, 16, 16), 0.25)], dim=1)
    assert torch.equal(first_input(network, cond), expected)
    expected[:, 3:7] = 0
    assert torch.equal(first_input(network, cond._replace(known=None)), expected)


@torch.no_grad()
def test_a_known_part_is_refused_by_a_model_that_does_not_inpaint():
    network = build().eval()
    cond = network.encode(CONDITION)._replace(known=torch.zeros(2, 4, 16, 16))
    with pytest.raises(ValueError, match=r"GlideUNet\(inpaint=False\): the condition has known"):
        network.decode(X, T, cond)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(channels=30), "groups=32"),
        (dict(image_size=100), "cannot be halved 3 times"),
        (dict(head_width=100), "head_width=100"),
    ],
)
def test_impossible_sizes_are_named(arguments, message):
    from pitikit.networks.decoders import GlideUNet

    with torch.device("meta"), pytest.raises(ValueError, match=message):
        GlideUNet(**arguments)
