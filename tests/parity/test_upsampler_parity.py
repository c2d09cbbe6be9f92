"""Losses of the upsampler, and the cascade, against the released code."""

from copy import deepcopy

import pytest
import torch

from pitikit.diffusion.samplers import SamplingRequest
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import Prediction
from pitikit.losses.adversarial import WGANGPLoss
from pitikit.losses.backbones import as_buffers, vgg_features
from pitikit.losses.perceptual import ReleasedPerceptualLoss
from pitikit.models.cascade import Cascade, quantised
from pitikit.models.translator import DenoisingTranslator
from pitikit.models.upsampler import AdversarialUpsampler
from pitikit.networks.discriminators import PatchDiscriminator, StridedDiscriminator

RTOL = 1e-4


@pytest.fixture
def perceptual(weights_rule, monkeypatch):
    """The released loss on a VGG of ruled weights, acting at once."""

    def ruled(network, deepest, weights):
        monkeypatch.setattr("pitikit.losses.backbones.find_backbone", lambda *_: None)
        monkeypatch.setattr("pitikit.losses.backbones.read_features", lambda path, network, expected: expected)
        features = vgg_features(network, deepest)
        with torch.no_grad():
            for module in features.modules():
                module._non_persistent_buffers_set.clear()
            weights_rule(features, "vgg.")
        return as_buffers(features)

    monkeypatch.setattr("pitikit.losses.perceptual.vgg_features", ruled)
    return ReleasedPerceptualLoss(start=0)


@pytest.fixture
def discriminator(weights_rule):
    with torch.no_grad():
        return weights_rule(PatchDiscriminator())


def images(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return generator, torch.rand(*shape, generator=generator) * 2 - 1


def replay_share(monkeypatch, share):
    """The points between fake and real at which the released gradient penalty was taken."""
    monkeypatch.setattr("pitikit.losses.adversarial.torch.rand", lambda *_, **__: torch.from_numpy(share))


def test_perceptual_loss(reference, compare, perceptual):
    numbers = reference("vgg_loss")
    generator, image = images(501, 2, 3, 64, 64)
    truth = (image + 0.3 * torch.randn(2, 3, 64, 64, generator=generator)).clamp(-1, 1)
    image.requires_grad_(True)
    loss = perceptual.distance(image, truth)
    compare.close("loss", loss, numbers["loss"], rtol=RTOL)
    loss.sum().backward()
    compare.close("gradient", image.grad, numbers["grad_sr"], atol=1e-9)
    found = perceptual.features(truth)["conv2_2"][:, ::4]
    compare.close("features", found, numbers["features_hr_sub"], atol=2e-4)


def test_discriminator(reference, compare, discriminator):
    numbers = reference("discriminators")
    _, image = images(511, 2, 3, 128, 128)
    with torch.no_grad():
        logits = discriminator(image)
    compare.close("logits", logits, numbers["nlayer_out"], atol=2e-4)
    compare.close("means", WGANGPLoss().generator(-logits), numbers["nlayer_mean_flat"], atol=2e-4)


def test_the_other_discriminator(reference, compare, weights_rule):
    numbers = reference("discriminators")
    _, image = images(511, 2, 3, 128, 128)
    with torch.no_grad():
        logits = weights_rule(StridedDiscriminator())(image)
    compare.close("logits", logits, numbers["discriminator_out"], atol=2e-4)
    compare.close("means", WGANGPLoss().generator(-logits), numbers["discriminator_mean_flat"], atol=2e-4)


def test_discriminator_steps(reference, compare, discriminator, monkeypatch):
    numbers = reference("wgan_gp")
    generator, fake = images(512, 2, 3, 64, 64)
    real = torch.rand(2, 3, 64, 64, generator=generator) * 2 - 1
    replay_share(monkeypatch, numbers.value("epsilon"))
    loss = WGANGPLoss(start=0)
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-5)
    for step in range(3):
        terms = loss.discriminator_losses(discriminator, fake, real)
        if step == 0:
            compare.close("penalty", terms["penalty"], numbers.value("gradient_penalty"), rtol=RTOL)
            difference = terms["d_fake"] - terms["d_real"]
            compare.close("discriminator term", difference, numbers.value("critic_term"), rtol=RTOL)
            compare.close("loss", terms["loss_d"], numbers.value("loss_d"), rtol=RTOL)
        optimizer.zero_grad()
        terms["loss_d"].backward()
        optimizer.step()
        if step in (0, 2):
            updates = "1_update" if step == 0 else "3_updates"
            given = fake.clone().requires_grad_(True)
            value = loss.generator(discriminator(given))
            compare.close(f"denoiser after {updates}", value, numbers[f"loss_g_after_{updates}"], rtol=RTOL)
            sums = torch.stack([p.detach().double().abs().sum() for p in discriminator.parameters()])
            compare.close(f"sums after {updates}", sums, numbers[f"disc_param_abs_sums_after_{step + 1}"], rtol=RTOL)
        if step == 0:
            (gradient,) = torch.autograd.grad(value.sum(), given)
            compare.close("gradient", gradient, numbers["grad_fake"], atol=1e-8)
    compare.close("last bias", discriminator.model[-1].bias, numbers["disc_last_bias_after_3"], atol=1e-6)


def test_total_loss(reference, compare, perceptual, discriminator, monkeypatch):
    numbers = reference("upsampler_total_loss")
    generator, image = images(513, 2, 3, 64, 64)
    noise = torch.randn(2, 3, 64, 64, generator=generator)
    output = noise.repeat(1, 2, 1, 1) * 0.5 + 0.2 * torch.randn(2, 6, 64, 64, generator=generator)
    model = AdversarialUpsampler(
        TINY, losses=[dict(type="EpsMSE"), dict(type="VariationalBound"), perceptual], adversarial=dict(start=0, **GAN)
    )
    model.discriminator = discriminator
    schedule, t = NoiseSchedule("linear"), torch.from_numpy(numbers.value("t"))
    prediction = Prediction.from_output(output, schedule.add_noise(image, t, noise), schedule.at(t))
    target = schedule.target(image, t, noise)
    # As in the released code the discriminator makes its step first.
    replay_share(monkeypatch, numbers.value("epsilon"))
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-5)
    model.discriminator_loss(prediction, target, torch.ones(2))["loss_d"].backward()
    optimizer.step()
    seen = {}
    for name, term in zip(("mse", "vb", "perceptual"), model.losses, strict=True):
        seen[name] = term.weight * term(prediction, target)
    seen["adv"] = 0.01 * model.adversarial.generator(discriminator(prediction.x0.clamp(-1, 1)))
    for name, value in seen.items():
        compare.close(name, value, numbers[name], rtol=RTOL)
    found = []
    monkeypatch.setattr(model.timestep_sampler, "update", lambda t, losses: found.append(losses))
    losses = model.denoiser_loss(prediction, target, torch.ones(2))
    compare.close("total", found[0], numbers["loss"], rtol=RTOL)
    compare.close("mean", losses["loss"], numbers.value("loss").mean(), rtol=RTOL)


GAN = dict(type="WGANGPLoss")
TINY = dict(
    encoder=dict(type="SemanticEncoder", input_size=32, channels=(4, 4, 4, 4, 4), width=16, layers=1, heads=2),
    decoder=dict(
        type="GlideUNet", image_size=16, channels=16, multipliers=(1,), res_blocks=1, attention_sizes=(),
        head_width=16, groups=8, token_width=16, low_res=True,
    ),
)  # fmt: skip


def test_quantised_as_released(whole):
    numbers = whole("sampling_two_stage")
    low_res = quantised(torch.from_numpy(numbers.value("base_final")))
    assert torch.equal(low_res, torch.from_numpy(numbers.value("low_res")))


@pytest.mark.slow
def test_cascade(reference, model, draw_inputs, replayed_noise, compare, monkeypatch):
    # In float64: the loops amplify the rounding of float32, which differs from one processor to another.
    numbers, double = reference("sampling_two_stage"), torch.float64
    base_network, upsampler_network = (deepcopy(model(name)).to(double) for name in ("base_small_coco", "sr_small_128"))
    guidance = dict(type="CFG", scale=float(numbers.value("guidance")))
    base = DenoisingTranslator(base_network, sampler=dict(type="DDPMSampler", steps="10", guidance=guidance))
    cascade = Cascade(base, dict(type="AdversarialUpsampler", denoiser=upsampler_network)).eval()
    noise = iter([replayed_noise(340, 1, True, double), replayed_noise(341, 1, False, double)])
    monkeypatch.setattr("pitikit.models.translator.NoiseSource", lambda *_: next(noise))
    _, condition, _ = draw_inputs(303, 1)
    condition = condition.to(double)
    made = base.sample(condition, SamplingRequest([0])).images
    assert made.dtype == double
    compare.close("base", made, numbers["base_final"], atol=1e-2, mean=1e-4)
    # From the released low_res on: one grey level of quantisation would hide the upsampler's error.
    low_res = torch.from_numpy(numbers.value("low_res")).to(double)
    assert (quantised(made) - low_res).abs().max() <= 1.01 / 127.5
    image = cascade.sample(condition, SamplingRequest([0]), low_res).images
    compare.close("upsampler", image, numbers["sr_final"], atol=5e-4, mean=1e-5)
