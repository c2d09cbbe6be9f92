"""Feature maps of a condition beside its tokens."""

import pytest
import torch

from pitikit.models.denoiser import Denoiser
from pitikit.networks.decoders import Decoder, GlideUNet
from pitikit.networks.encoders import SemanticEncoder
from pitikit.networks.spatial import SpatialEncoder
from pitikit.networks.unet import FeaturePlace

TOKENS = dict(input_size=32, channels=(4, 4, 8, 8, 8), width=16, layers=1, heads=2)
DECODER = dict(
    image_size=16,
    channels=8,
    multipliers=(1, 2),
    res_blocks=1,
    attention_sizes=(8,),
    head_width=8,
    token_width=16,
    groups=4,
    dropout=0.0,
)


def denoisers():
    """One of tokens alone and one with feature maps, with equal values where both have them."""
    torch.manual_seed(0)
    plain = Denoiser(SemanticEncoder(**TOKENS), GlideUNet(**DECODER))
    # The decoder's own zeros would hide everything.
    for layer in [*plain.modules()]:
        if isinstance(layer, torch.nn.Conv2d):
            torch.nn.init.normal_(layer.weight, std=0.2)
    spatial = Denoiser(SpatialEncoder(feature_width=8, **TOKENS), GlideUNet(**DECODER))
    missing, unexpected = spatial.load_state_dict(plain.state_dict(), strict=False)
    assert not unexpected and all(name.startswith("encoder.") for name in missing)
    return plain, spatial


def batch():
    generator = torch.Generator().manual_seed(2)
    x_t = torch.randn(2, 3, 16, 16, generator=generator)
    return x_t, torch.tensor([3, 700]), torch.rand(2, 3, 32, 32, generator=generator) * 2 - 1


def test_a_training_begins_at_the_prior_bit_by_bit():
    plain, spatial = denoisers()
    assert torch.equal(plain(*batch()), spatial(*batch()))


def test_what_the_tokens_cannot_tell_apart_the_features_can():
    _, spatial = denoisers()
    x_t, t, condition = batch()
    moved = condition.clone()
    moved[:, :, 0, 0] = -moved[:, :, 0, 0]
    for layer in spatial.encoder.to_decoder:
        torch.nn.init.normal_(layer.weight)
    one, other = (spatial.encode(each).features for each in (condition, moved))
    changed = (one[0] != other[0]).any(dim=1)[0].nonzero()
    # Two convolutions of 3x3 on maps of 16x16, each cell of 2x2 pixels: the change stays where the pixel is.
    assert len(changed) and changed.max() <= 2
    assert not torch.equal(spatial(x_t, t, condition), spatial(x_t, t, moved))


def test_the_first_step_moves_what_begins_as_zero():
    _, spatial = denoisers()
    spatial(*batch()).square().mean().backward()
    assert all(layer.weight.grad.abs().sum() > 0 for layer in spatial.encoder.to_decoder)


def test_places_are_the_blocks_of_the_way_down():
    decoder = GlideUNet(**DECODER)
    assert decoder.feature_places == tuple(FeaturePlace(*place) for place in ((8, 1), (8, 1), (8, 2), (16, 2)))
    features = Denoiser(SpatialEncoder(**TOKENS), decoder).encode(batch()[2]).features
    assert [tuple(each.shape) for each in features] == [(2, 8, 16, 16), (2, 8, 16, 16), (2, 8, 8, 8), (2, 16, 8, 8)]


def test_the_full_size_decoder_has_16_places():
    with torch.device("meta"):
        places = GlideUNet().feature_places
    assert len(places) == 16 and places[0] == (192, 1) and places[-1] == (768, 8)


def test_a_null_condition_has_features_too():
    _, spatial = denoisers()
    null = spatial.null(3)
    assert all(len(each) == 3 for each in null.features)
    assert torch.equal(null.features[0][0], null.features[0][2])


def test_what_does_not_go_together_is_named():
    class Plain(Decoder):
        pass

    with pytest.raises(ValueError, match="Plain takes no feature maps; use SemanticEncoder"):
        Denoiser(SpatialEncoder(**TOKENS), Plain())
    with pytest.raises(ValueError, match="input_size=32, expected a multiple of the decoder's image_size=64"):
        Denoiser(SpatialEncoder(**TOKENS), GlideUNet(**{**DECODER, "image_size": 64}))
    with pytest.raises(ValueError, match="feature_blocks=0"):
        SpatialEncoder(feature_blocks=0, **TOKENS)
    _, spatial = denoisers()
    cond = spatial.encode(batch()[2])
    with pytest.raises(ValueError, match=r"features: got a map \(8, 16, 16\), expected \(8, 8, 8\).*SemanticEncoder"):
        spatial.decode(batch()[0][..., :8, :8], batch()[1], cond)
    with pytest.raises(ValueError, match="features: got 3 maps, expected none or 4"):
        spatial.decode(*batch()[:2], cond._replace(features=cond.features[:3]))


def test_an_encoder_that_has_learned_keeps_its_layers_in_another_model():
    _, spatial = denoisers()
    torch.nn.init.normal_(spatial.encoder.to_decoder[0].weight)
    before = {name: value.clone() for name, value in spatial.encoder.state_dict().items()}
    again = Denoiser(spatial.encoder, GlideUNet(**DECODER))
    assert all(torch.equal(value, before[name]) for name, value in again.encoder.state_dict().items())
    with pytest.raises(ValueError, match="got a GlideUNet with other feature maps.* make a new encoder"):
        Denoiser(spatial.encoder, GlideUNet(**{**DECODER, "res_blocks": 2}))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_about_the_same(dtype):
    _, spatial = denoisers()
    for layer in spatial.encoder.to_decoder:
        torch.nn.init.normal_(layer.weight, std=0.1)
    with torch.no_grad():
        expected = spatial(*batch())
        with torch.autocast("cpu", dtype):
            found = spatial(*batch())
    assert found.dtype == torch.float32 and (found - expected).abs().mean() < 0.05 * expected.abs().mean()
