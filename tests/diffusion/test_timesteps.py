"""Samplers of timesteps: which are drawn, and what they learn."""

import pytest
import torch

from pitikit.diffusion import timesteps
from pitikit.diffusion.timesteps import LossSecondMoment, UniformTimesteps


def test_second_moment_stays_uniform_until_every_history_is_full():
    sampler = LossSecondMoment(steps=4, history=2, uniform_prob=0.0)
    sampler.update(torch.tensor([0, 0, 1, 1, 2, 2, 3]), torch.arange(7.0))
    assert sampler.weights().tolist() == [1.0] * 4
    sampler.update(torch.tensor([3, 0]), torch.tensor([6.0, 3.0]))
    expected = (
        torch.tensor([[1.0, 3.0], [2.0, 3.0], [4.0, 5.0], [6.0, 6.0]], dtype=torch.float64).square().mean(1).sqrt()
    )
    torch.testing.assert_close(sampler.weights(), expected / expected.sum())


def test_second_moment_is_saved_with_the_model():
    sampler = LossSecondMoment(steps=3, history=1)
    sampler.update(torch.tensor([0, 1, 2]), torch.tensor([1.0, 2.0, 3.0]))
    restored = LossSecondMoment(steps=3, history=1)
    restored.load_state_dict(sampler.state_dict())
    torch.testing.assert_close(restored.weights(), sampler.weights())


@pytest.mark.parametrize("sampler", [UniformTimesteps(50), LossSecondMoment(50)])
def test_weights_make_the_estimate_unbiased(sampler):
    torch.manual_seed(0)
    if isinstance(sampler, LossSecondMoment):
        sampler.update(torch.arange(50).repeat(10), torch.linspace(0.1, 2, 500))
    losses = torch.linspace(0, 1, 50)
    t, weight = sampler.sample(200_000)
    assert abs((losses[t] * weight).mean() - losses.mean()) < 0.01


def test_second_moment_learns_from_all_ranks_in_the_order_of_the_batch(monkeypatch):
    t, losses = torch.zeros(4, dtype=torch.int64), torch.tensor([1.0, 2.0, 3.0, 4.0])
    whole, shared = (LossSecondMoment(steps=1, history=3) for _ in range(2))
    whole.update(t, losses)

    def gather(parts, own):
        # This process has rows 0 and 2 of the batch, the other one 1 and 3.
        assert torch.equal(own, torch.stack([t[::2].double(), losses[::2].double()]))
        for process, part in enumerate(parts):
            part.copy_(torch.stack([t[process::2].double(), losses[process::2].double()]))

    monkeypatch.setattr(timesteps.dist, "is_initialized", lambda: True)
    monkeypatch.setattr(timesteps.dist, "get_world_size", lambda: 2)
    monkeypatch.setattr(timesteps.dist, "all_gather", gather)
    shared.update(t[::2], losses[::2])
    assert torch.equal(shared.losses, whole.losses)
