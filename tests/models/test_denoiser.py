"""Encoder and decoder together: what is computed once, what is dropped, what is refused."""

import pytest
import torch

from pitikit.models.denoiser import Denoiser
from pitikit.networks.dual import DualEncoder
from pitikit.networks.encoders import Encoder


def tiny(low_res: bool = False, **encoder) -> Denoiser:
    torch.manual_seed(0)
    network = Denoiser(
        dict(type="SemanticEncoder", input_size=32, channels=(4, 4, 8, 8, 8), width=16, layers=1, heads=2, **encoder),
        dict(
            type="GlideUNet",
            image_size=16,
            channels=16,
            multipliers=(1, 2),
            res_blocks=1,
            attention_sizes=(16, 8),
            head_width=8,
            groups=8,
            token_width=16,
            dropout=0.0,
            low_res=low_res,
        ),
    )
    # The last layers begin at zero, which would hide everything before them.
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network.eval()


X, T = torch.randn(2, 3, 16, 16), torch.tensor([5, 900])
CONDITION = torch.rand(2, 3, 32, 32) * 2 - 1


@torch.no_grad()
def test_keys_and_values_are_computed_once_and_change_nothing():
    network = tiny()
    cond = network.encode(CONDITION)
    blocks = list(network.decoder.attention_blocks())
    assert cond.kv is not None and len(cond.kv) == len(blocks) == 7
    calls = []
    for block in blocks:
        block.encoder_kv.register_forward_hook(lambda *_: calls.append(1))
        block.token_kv = lambda tokens: calls.append(1)
    prepared = network.decode(X, T, cond)
    assert not calls
    torch.testing.assert_close(prepared, tiny().decode(X, T, cond._replace(kv=None)))


@torch.no_grad()
def test_the_condition_changes_the_result():
    network = tiny()
    first, second = network(X, T, CONDITION), network(X, T, -CONDITION)
    assert first.shape == (2, 6, 16, 16)
    assert (first - second).abs().max() > 1e-3


@torch.no_grad()
def test_dropped_rows_see_white():
    network = tiny()
    dropped = network(X, T, CONDITION, drop=torch.tensor([False, True]))
    white = torch.cat([CONDITION[:1], torch.ones(1, 3, 32, 32)])
    torch.testing.assert_close(dropped, network(X, T, white))
    torch.testing.assert_close(network.null(2).tokens, network.encode(torch.ones(2, 3, 32, 32)).tokens)


@torch.no_grad()
def test_an_upsampler_takes_low_res_and_a_base_model_does_not():
    low_res = torch.rand(2, 3, 4, 4)
    assert tiny(low_res=True)(X, T, CONDITION, low_res).shape == (2, 6, 16, 16)
    with pytest.raises(ValueError, match="the condition has none"):
        tiny(low_res=True)(X, T, CONDITION)
    with pytest.raises(ValueError, match="the condition has one"):
        tiny()(X, T, CONDITION, low_res)


@pytest.mark.parametrize("channels", [1, 6, 9])
@torch.no_grad()
def test_any_number_of_condition_channels(channels):
    assert tiny(in_channels=channels)(X, T, torch.rand(2, channels, 32, 32)).shape == (2, 6, 16, 16)


def test_a_condition_of_another_shape_is_refused():
    with pytest.raises(ValueError, match=r"expected .* \(3, 32, 32\), found \(2, 1, 32, 32\)"):
        tiny()(X, T, torch.rand(2, 1, 32, 32))


def test_an_encoder_without_a_method_is_refused():
    class Mute(Encoder):
        def forward(self, condition):
            return condition, condition

    class Deaf(torch.nn.Module):
        def null_condition(self, batch):
            return torch.ones(batch)

    decoder = tiny().decoder
    for encoder, lacking in ((Mute(), "Mute has no method null_condition"), (Deaf(), "Deaf has no method forward")):
        with pytest.raises(TypeError, match=f"^encoder: {lacking}; see pitikit"):
            Denoiser(encoder, decoder)


@torch.no_grad()
def test_whether_any_row_is_dropped_is_not_asked_for(monkeypatch):
    network = tiny()
    none = torch.zeros(2, dtype=torch.bool)
    expected = network(X, T, CONDITION)
    with monkeypatch.context() as patched:
        # On a GPU the answer would have to wait for everything before.
        patched.setattr(torch.Tensor, "__bool__", lambda self: pytest.fail("a value was asked for"))
        found = network(X, T, CONDITION, drop=none)
    assert torch.equal(found, expected)
    dropped = network(X, T, CONDITION, drop=~none)
    torch.testing.assert_close(dropped, network(X, T, network.encoder.null_condition(2)))


@torch.no_grad()
@pytest.mark.parametrize(
    ("dtype", "made", "error"),
    [(torch.float64, torch.float64, 1e-5), (torch.float16, torch.float32, 0.01), (torch.bfloat16, torch.float32, 0.1)],
)
def test_of_other_precision(dtype, made, error):
    network, low = tiny(low_res=True), torch.rand(2, 3, 4, 4)
    of_both = [network.decode(X, T, cond) for cond in (network.encode(CONDITION, low), network.null(2, low))]
    network, low = network.to(dtype), low.to(dtype)
    for cond, expected in zip((network.encode(CONDITION.to(dtype), low), network.null(2, low)), of_both, strict=True):
        output = network.decode(X.to(dtype), T, cond)
        assert output.dtype == made
        assert (output - expected).abs().max() < error * expected.abs().max()


TEXT = dict(type="TextEncoder", vocabulary=9, length=5, width=16, layers=1, heads=2)


def with_text() -> Denoiser:
    network = tiny()
    both = Denoiser(DualEncoder(network.encoder, TEXT), network.decoder)
    for parameter in both.encoder.text.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return both.eval()


BOTH = {"condition": CONDITION, "text": torch.tensor([[1, 2, 3, -1, -1], [4, -1, -1, -1, -1]])}


@torch.no_grad()
def test_each_of_two_conditions_is_dropped_on_its_own():
    network = with_text()
    null = network.encoder.null_condition(2)
    expected = network(X, T, {"condition": torch.stack([null["condition"][0], CONDITION[1]]), "text": BOTH["text"]})
    drop = {"condition": torch.tensor([True, False]), "text": torch.tensor([False, False])}
    assert torch.equal(network(X, T, BOTH, drop=drop), expected)
    both = {name: torch.tensor([True, True]) for name in drop}
    torch.testing.assert_close(network(X, T, BOTH, drop=both), network.decode(X, T, network.null(2)))


@torch.no_grad()
def test_a_condition_is_encoded_with_some_of_its_parts_alone():
    network = with_text()
    alone = network.encode_only(["condition"], BOTH)
    expected = network.encode({**BOTH, "text": torch.full((2, 5), -1)})
    assert torch.equal(alone.tokens, expected.tokens) and not torch.equal(alone.tokens, network.encode(BOTH).tokens)
    torch.testing.assert_close(network.encode_only([], BOTH).tokens, network.null(2).tokens)
    with pytest.raises(ValueError, match="got the parts caption, expected some of the encoder's: condition, text"):
        network.encode_only(["caption"], BOTH)
    with pytest.raises(ValueError, match="expected some of the encoder's: none"):
        tiny().encode_only(["text"], CONDITION)


@torch.no_grad()
def test_a_part_that_is_null_in_every_row_is_not_given():
    network = with_text()
    null = network.encoder.null_condition(2)
    assert network.given_parts(BOTH) == ("condition", "text")
    assert network.given_parts({**BOTH, "text": null["text"]}) == ("condition",)
    assert network.given_parts(null) == ()
    mixed = {**BOTH, "condition": torch.stack([null["condition"][0], CONDITION[1]])}
    assert network.given_parts(mixed) == ("condition", "text")
    assert tiny().given_parts(CONDITION) == ()


def test_a_condition_of_other_parts_is_refused():
    with pytest.raises(ValueError, match="got condition and text, expected one tensor for SemanticEncoder; for a text"):
        tiny()(X, T, BOTH)
    with pytest.raises(ValueError, match="got one tensor, expected condition and text for DualEncoder"):
        with_text()(X, T, CONDITION)
    with pytest.raises(ValueError, match="got condition, expected condition and text"):
        with_text()(X, T, {"condition": CONDITION}, drop={"condition": torch.tensor([True, True])})
