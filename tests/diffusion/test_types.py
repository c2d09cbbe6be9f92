"""Predictions and conditions, apart from any network."""

import pytest
import torch

from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import Conditioning, Prediction, known_part

SCHEDULE = NoiseSchedule()


def conditioning(value: float, batch: int = 2) -> Conditioning:
    return Conditioning(torch.full((batch, 4, 3), value), torch.full((batch, 4), value))


def inputs():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(2, 3, 8, 8, generator=generator), torch.tensor([100, 700])


def test_another_noise_estimate_takes_the_place_of_a_kept_image():
    x_t, t = inputs()
    prediction = Prediction.from_output(torch.cat([x_t / 2, x_t], dim=1), x_t, SCHEDULE.at(t))
    again = prediction.with_x0(torch.zeros_like(prediction.eps)).with_eps(prediction.eps)
    assert torch.equal(again.x0, prediction.x0)


def test_stacked_conditions_keep_their_order():
    first, second = (conditioning(v)._replace(low_res=torch.full((2, 3, 4, 4), v)) for v in (1.0, -1.0))
    kept = [
        each._replace(kv=(each.tokens[:, None],), features=(each.low_res,), known=each.low_res)
        for each in (first, second)
    ]
    stacked = Conditioning.cat(*kept)
    for part in (stacked.tokens, stacked.pooled, stacked.low_res, stacked.kv[0], stacked.features[0], stacked.known):
        assert (part[:2] == 1).all() and (part[2:] == -1).all() and len(part) == 4
    negated = stacked.map(torch.neg)
    assert torch.equal(negated.known, -stacked.known) and torch.equal(negated.low_res, -stacked.low_res)


def test_conditions_of_two_kinds_are_not_stacked():
    plain, small = conditioning(0.0), torch.zeros(2, 3, 4, 4)
    for name, value, found in [("features", (small,), "0 and 1"), ("known", small, "0 and 1"), ("low_res", small, "0")]:
        with pytest.raises(ValueError, match=f"^{name}: got {found}.* expected as many of both"):
            Conditioning.cat(plain, plain._replace(**{name: value}))
    # What a decoder has prepared it can prepare again.
    assert Conditioning.cat(plain, plain._replace(kv=(small,))).kv is None


def test_what_is_known_of_an_image_is_the_image_within_the_mask_and_the_mask():
    image, mask = torch.full((1, 3, 2, 2), -0.5), torch.tensor([[[[True, False], [False, True]]]])
    known = known_part(image, mask)
    assert known.shape == (1, 4, 2, 2)
    assert torch.equal(known[:, :3], image * mask) and torch.equal(known[:, 3:], mask.float())


@pytest.mark.parametrize("predicted", ["eps", "v", "x0"])
def test_a_prediction_of_any_kind_gives_all_three(predicted):
    x0, (noise, t) = torch.rand(2, 3, 8, 8, dtype=torch.float64) * 2 - 1, inputs()
    noise = noise.double()
    alpha_bar = SCHEDULE.at(t)
    x_t = SCHEDULE.add_noise(x0, t, noise)
    truth = {"eps": noise, "x0": x0, "v": alpha_bar.sqrt() * noise - (1 - alpha_bar).sqrt() * x0}
    found = Prediction.from_output(truth[predicted], x_t, alpha_bar, predicted)
    for name, expected in truth.items():
        torch.testing.assert_close(getattr(found, name), expected, rtol=1e-9, atol=1e-9)


def test_another_kind_of_prediction_is_refused():
    x_t, t = inputs()
    with pytest.raises(ValueError, match="predicted='score': expected one of 'eps', 'v', 'x0'"):
        Prediction.from_output(x_t, x_t, SCHEDULE.at(t), "score")
