"""The upsampler without a discriminator: squares of images, where the sampling begins, and what is refused."""

import pytest
import torch

from pitikit.diffusion.noise import BatchDraws
from pitikit.diffusion.samplers import SamplingRequest
from pitikit.models.upsampler import AdversarialUpsampler, Upsampler
from pitikit.registry import MODELS
from tests.models.upsampler_parts import BATCH, DENOISER, PLAIN, SIDE


def test_the_defaults_are_the_released_ones():
    model = MODELS.build(dict(type="Upsampler", denoiser=DENOISER))
    assert float(model.schedule.betas[0]) == pytest.approx(1e-4) and model.sampler.temperature == 0.997
    assert len(model.schedule.spaced(model.sampler.steps)) == 27 and not model.sampler.needs_null


def test_crops_see_what_the_whole_shows():
    model = Upsampler(DENOISER, crop=16)
    data = model.data_preprocessor(BATCH, True)
    # An image that tells its own places, and its reduction.
    ramp = torch.linspace(-1, 1, SIDE)
    image = torch.stack([ramp.expand(SIDE, SIDE), ramp.expand(SIDE, SIDE).T, torch.zeros(SIDE, SIDE)]).repeat(
        4, 1, 1, 1
    )
    low = torch.nn.functional.interpolate(image, size=8, mode="area")
    torch.manual_seed(0)
    _, target, _ = model.denoise(image, data["condition"], low)
    assert target.x0.shape == (4, 3, 16, 16)
    assert len({(float(one[0, 0, 0]), float(one[1, 0, 0])) for one in target.x0}) > 1
    given = []
    model.denoiser.register_forward_pre_hook(lambda module, args: given.append(args[3]))
    torch.manual_seed(0)
    model.denoise(image, data["condition"], low)
    whole = torch.nn.functional.interpolate(low, size=SIDE, mode="bilinear", align_corners=False)
    step_of = float(ramp[1] - ramp[0])
    for row, one in enumerate(target.x0):
        left, top = (round((float(one[axis, 0, 0]) + 1) / step_of) for axis in (0, 1))
        torch.testing.assert_close(given[0][row], whole[row, :, top : top + 16, left : left + 16])


def test_a_crop_of_the_whole_is_the_whole():
    found = []
    for crop in (None, SIDE):
        torch.manual_seed(0)
        model = Upsampler(DENOISER, crop=crop)
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.2)
        draws = BatchDraws(torch.Generator().manual_seed(1))
        # The place of a square has no part in what follows.
        draws.rand = lambda rows, *shape, device=None: torch.zeros(rows, *shape)
        found.append(float(model.loss(**model.data_preprocessor(BATCH, True), draws=draws)["loss"].detach()))
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_what_is_missing_or_too_small_is_told():
    data = Upsampler(DENOISER).data_preprocessor(BATCH, True)
    with pytest.raises(ValueError, match="trained with low_res.*Degrade"):
        Upsampler(DENOISER).loss(image=data["image"], condition=data["condition"])
    with pytest.raises(ValueError, match="crop=64: expected images of that side or more, found 32x32"):
        Upsampler(DENOISER, crop=64).loss(**data)
    with pytest.raises(ValueError, match="crop=0"):
        Upsampler(DENOISER, crop=0)
    with pytest.raises(TypeError, match="expected an adversarial loss such as WGANGPLoss, found EpsMSE"):
        AdversarialUpsampler(DENOISER, losses=PLAIN, adversarial=dict(type="EpsMSE"))


def test_a_strength_below_one_begins_at_low_res():
    torch.manual_seed(0)
    # A tenth of fast27 is 3 steps, at timesteps so small that even a network that knows nothing keeps the image.
    whole, short = (Upsampler(DENOISER, strength=strength).eval() for strength in (1.0, 0.1))
    short.load_state_dict(whole.state_dict())
    low, seen = torch.rand(1, 3, 8, 8) * 1.6 - 0.8, []
    condition = torch.ones(1, 3, 32, 32)

    def note(index, t, x, prediction):
        seen.append(t)

    enlarged = torch.nn.functional.interpolate(low, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    made = short.sample(condition, SamplingRequest([3], callback=note), low).images
    assert len(seen) == short.sampling_steps() == 3 and seen == short.schedule.spaced("fast27")[:3][::-1]
    fresh = whole.sample(condition, SamplingRequest([3]), low).images
    assert (made - enlarged).abs().mean() < 0.5 * (fresh - enlarged).abs().mean()
    assert whole.sampling_steps() == 27
    assert Upsampler(DENOISER, strength=0.01).sampling_steps() == 1
    none = Upsampler(DENOISER, strength=0).eval()
    assert none.sampling_steps() == 0 and torch.equal(
        none.sample(condition, SamplingRequest([3]), low).images, enlarged
    )
    for strength in (-0.1, 1.5):
        with pytest.raises(ValueError, match="strength"):
            Upsampler(DENOISER, strength=strength)
    with pytest.raises(ValueError, match="expected low_res"):
        whole.sample(condition, SamplingRequest([3]))


def test_a_side_that_the_decoder_cannot_halve_is_refused():
    (multiple,) = {Upsampler(DENOISER).denoiser.decoder.multiple}
    assert multiple > 1 and Upsampler(DENOISER, crop=2 * multiple).crop == 2 * multiple
    with pytest.raises(ValueError, match=f"expected a multiple of {multiple}, such as {multiple} or {2 * multiple}"):
        Upsampler(DENOISER, crop=multiple + 1)


def test_what_cannot_judge_the_images_says_so_before_the_training():
    small = dict(denoiser=DENOISER, losses=PLAIN, adversarial=dict(type="HingeAdversarialLoss"))
    AdversarialUpsampler(**small).init_weights()
    # As in a training, where it would look for the first time when its gate opens.
    with pytest.raises(ValueError, match="PatchDiscriminator cannot judge the images of this training, 16x16"):
        AdversarialUpsampler(**small, crop=16).init_weights()
    with pytest.raises(ValueError, match="PatchDiscriminator cannot judge .* found \\(1, 3, 32, 32\\)"):
        AdversarialUpsampler(**small, discriminator=dict(type="PatchDiscriminator", in_channels=4)).init_weights()


def test_the_look_at_an_image_leaves_the_discriminator_as_it_is():
    discriminator = dict(type="PatchDiscriminator", channels=4, spectral_norm=True)
    model = AdversarialUpsampler(DENOISER, losses=PLAIN, discriminator=discriminator)
    before = {name: value.clone() for name, value in model.discriminator.state_dict().items()}
    model.init_weights()
    assert model.discriminator.training
    assert all(torch.equal(value, before[name]) for name, value in model.discriminator.state_dict().items())


def test_what_is_no_loss_is_refused():
    with pytest.raises(TypeError, match="losses: Identity is no Loss; derive it from pitikit.losses.denoising.Loss"):
        Upsampler(DENOISER, losses=[torch.nn.Identity()])
