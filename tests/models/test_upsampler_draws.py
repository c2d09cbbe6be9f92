"""What an upsampler's training draws, and which of its samples the discriminator counts."""

import pytest
import torch

from pitikit.config import load_config
from pitikit.diffusion.noise import BatchDraws
from pitikit.diffusion.samplers import SamplingRequest
from pitikit.diffusion.types import Prediction
from pitikit.registry import MODELS


@pytest.fixture
def model(repo):
    """Squares of 24 pixels out of 32; the discriminator looks at timesteps up to 9 of 12."""
    torch.manual_seed(0)
    given = {"model.adversarial.start": 0}
    return MODELS.build(load_config(repo / "tests/configs/tiny_upsampler.py", given).model)


def ramps(count, side=32):
    """Images that tell their own places: the column in red, the row in green."""
    place = torch.arange(side, dtype=torch.float32).expand(side, side)
    return torch.stack([place, place.T, place]).repeat(count, 1, 1, 1)


def test_squares_come_from_everywhere(model):
    image = ramps(60)
    squares, low = model.crop_squares(image, image, 24, BatchDraws())
    assert {int(one[0, 0, 0]) for one in squares} == {int(one[1, 0, 0]) for one in squares} == set(range(9))
    assert torch.equal(squares, low)


def test_ranks_take_the_squares_of_the_whole_batch(model):
    def squares(image, *place):
        return model.crop_squares(image, image, 24, BatchDraws(torch.Generator().manual_seed(7), *place))[0]

    whole = squares(ramps(4))
    for rank in (0, 1):
        assert torch.equal(squares(ramps(2), rank, 2), whole[rank::2])


def step(model, t):
    """A prediction and its target of some timesteps."""
    generator = torch.Generator().manual_seed(1)
    t = torch.tensor(t)
    image, noise, error = torch.rand(3, len(t), 3, 24, 24, generator=generator) * 2 - 1
    x_t = model.schedule.add_noise(image, t, noise)
    output = torch.cat([noise + 0.1 * error, error], dim=1)
    return Prediction.from_output(output, x_t, model.schedule.at(t)), model.schedule.target(image, t, noise)


def test_both_sides_of_the_adversarial_loss_leave_the_same_samples_out(model):
    late, both = step(model, [10, 11]), step(model, [9, 11])
    weight, open_to = torch.ones(2), model.adversarial.gate.weights(both[1].t, both[0].alpha_bar)
    assert open_to.tolist() == [1, 0]
    assert model.discriminator_loss(*late, weight)["loss_d"] == model.denoiser_loss(*late, weight)["loss_adv"] == 0
    # The weight of the second sample changes nothing.
    for side, name in ((model.discriminator_loss, "loss_d"), (model.denoiser_loss, "loss_adv")):
        found = [float(side(*both, torch.tensor([1.0, second]))[name].detach()) for second in (0.0, 5.0)]
        assert found[0] == found[1] != 0


def test_a_strength_that_is_given_counts_and_not_the_model_s(model):
    start = torch.rand(1, 3, 32, 32) * 2 - 1
    low, condition = torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 32, 32)
    made = model.eval().sample(condition, SamplingRequest([0], start=start, strength=0.0), low).images
    assert model.strength == 1 and torch.equal(made, start)


def test_what_is_enlarged_belongs_to_the_null_condition_too(model):
    low = torch.rand(2, 3, 8, 8)
    null = model.denoiser.null(2, low)
    assert torch.equal(null.low_res, low) and len(null.tokens) == 2
