"""RePaint's order of steps, and the way back to a noisier place."""

import pytest
import torch

from pitikit.diffusion.noise import NoiseSource
from pitikit.diffusion.resampling import noise_further, order_of_steps
from pitikit.diffusion.samplers import DDIMSampler, DDPMSampler, Sampler
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import BoundDenoiser, Conditioning

SCHEDULE = NoiseSchedule()
SHAPE = (3, 4, 4)


def released(steps, jump, times):
    """Places where the released code of RePaint denoises, of its schedule of times (T - 1 first)."""
    jumps = {place: times - 1 for place in range(0, steps - jump, jump)}
    place, visited = steps, []
    while place >= 1:
        place -= 1
        visited.append(place)
        if jumps.get(place, 0) > 0:
            jumps[place] -= 1
            for _ in range(jump):
                place += 1
                visited.append(place)
    visited.append(-1)
    return [a for a, b in zip(visited, visited[1:], strict=False) if b < a]


@pytest.mark.parametrize("steps, jump, times", [(5, 1, 2), (10, 3, 2), (10, 4, 5), (25, 10, 10), (4, 4, 3), (6, 2, 1)])
def test_the_order_is_that_of_the_released_code(steps, jump, times):
    assert [steps - 1 - index for index in order_of_steps(steps, (jump, times))] == released(steps, jump, times)


def test_without_it_every_step_is_made_once():
    assert order_of_steps(4) == [0, 1, 2, 3] and order_of_steps(0) == order_of_steps(0, (2, 2)) == []


@pytest.mark.parametrize("wrong", [(0, 3), (3, 0), (2.0, 3), (True, 2), 5, (3,), "10,10", (1, 2, 3)])
def test_what_is_no_pair(wrong):
    with pytest.raises(ValueError, match=r"resample: got .*, expected \(jump, times\), two whole numbers"):
        order_of_steps(10, wrong)


def test_noise_further_is_the_forward_process():
    x0, (low, high) = torch.full((1, 1, 200, 200), 0.5, dtype=torch.float64), SCHEDULE.at(torch.tensor([100, 400]))
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(x0.shape, generator=generator, dtype=torch.float64) for _ in range(2))
    x = noise_further(low.sqrt() * x0 + (1 - low).sqrt() * first, second, low, high)
    assert float(x.mean()) == pytest.approx(float(high.sqrt() * 0.5), abs=0.01)
    assert float(x.var()) == pytest.approx(float(1 - high), rel=0.02)


class Places(Sampler):
    """Records where steps begin and end, and how much it remembers there."""

    memory = 2

    def step(self, x, now, after, denoise, state, noise):
        self.seen.append((int(now.t[0]), int(after.t[0]), len(state.earlier), float(x.std())))
        return denoise(x, now.t).x0 * after.alpha_bar.sqrt().float() + (1 - after.alpha_bar).sqrt().float() * x


def eps_of_itself(x_t, t, cond):
    return x_t


def test_a_jump_goes_back_in_the_one_loop_and_nothing_earlier_is_kept():
    sampler, start = Places(4), torch.zeros(2, *SHAPE)
    sampler.seen, numbers = [], []
    mask = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    mask[..., :2] = True
    denoise = BoundDenoiser(eps_of_itself, SCHEDULE, Conditioning(torch.zeros(2, 2, 1), torch.zeros(2, 2)))
    note = lambda index, t, x, prediction: numbers.append((index, t))  # noqa: E731
    made = sampler(denoise, NoiseSource([1, 2]), SHAPE, start=start, mask=mask, resample=(2, 2), callback=note)
    times = SCHEDULE.spaced(4)[::-1]
    order = [0, 1, 2, 1, 2, 3]
    assert order == order_of_steps(4, (2, 2))
    assert [now for now, *_ in sampler.seen] == [times[i] for i in order]
    assert [after for _, after, *_ in sampler.seen] == [[*times, -1][i + 1] for i in order]
    assert [earlier for _, _, earlier, _ in sampler.seen] == [0, 1, 2, 0, 1, 2]
    assert numbers == [(number, times[i]) for number, i in enumerate(order)]
    assert torch.equal(made[..., :2], start[..., :2])


@pytest.mark.parametrize("sampler", [DDPMSampler(8), DDIMSampler(8), DDIMSampler(8, eta=1.0)])
def test_what_a_mask_keeps_stays_bit_for_bit(sampler):
    def decode(x_t, t, cond):
        alpha_bar = SCHEDULE.at(t)
        return torch.cat([(x_t / (1 - alpha_bar).sqrt()).float(), torch.zeros_like(x_t)], dim=1)

    denoise = BoundDenoiser(decode, SCHEDULE, Conditioning(torch.zeros(2, 2, 1), torch.zeros(2, 2)))
    start = torch.rand(2, *SHAPE) * 2 - 1
    mask = torch.zeros(2, 1, 4, 4, dtype=torch.bool)
    mask[..., :2] = True
    made = sampler(denoise, NoiseSource([1, 2]), SHAPE, start=start, mask=mask, resample=(3, 2))
    assert torch.equal(made[..., :2], start[..., :2])
    torch.testing.assert_close(made[..., 2:], torch.zeros(2, 3, 4, 2), atol=2e-3, rtol=0)
    with pytest.raises(ValueError, match="resample: got no mask"):
        sampler(denoise, NoiseSource([1, 2]), SHAPE, start=start, resample=(3, 2))
