"""Respacing and the pieces of the posterior that the parity tests do not reach."""

import pytest
import torch

from pitikit.diffusion.schedule import NoiseSchedule, betas, spaced_timesteps


def test_the_forms_of_a_respacing():
    assert spaced_timesteps(1000, 4) == spaced_timesteps(1000, "4") == [0, 333, 666, 999]
    assert len(spaced_timesteps(1000, [10, 10, 3, 2, 2])) == 27
    assert len(spaced_timesteps(1000, "fast27")) == 27
    assert spaced_timesteps(1000, "ddim50") == list(range(0, 1000, 20))
    assert spaced_timesteps(1000, (999, 0, 10)) == [0, 10, 999]
    assert spaced_timesteps(1000, [2, 0, 1]) == [0, 333, 667] and spaced_timesteps(9, "") == list(range(9))


@pytest.mark.parametrize(
    "steps, message",
    [
        (1001, "cannot take 1001 steps"),
        ("ddim333", "no integer stride"),
        ("fast", "expected a number"),
        ([], r"steps=\[\]: expected 1 or more$"),
        ([0, 0], "expected 1 or more; of sections, 0 or more each"),
        ([10, -1], "expected 1 or more; of sections, 0 or more each"),
        ((0, 1000), "within 0..999"),
        ((5, 5), "distinct"),
    ],
)
def test_an_impossible_respacing_is_named(steps, message):
    with pytest.raises(ValueError, match=message):
        spaced_timesteps(1000, steps)


def test_a_schedule_too_short_for_fast27():
    with pytest.raises(ValueError, match=r"^steps='fast27': its sections .* do not fit into 40 timesteps"):
        spaced_timesteps(40, "fast27")


def test_an_unknown_schedule_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'squaredcos_cap_v2'"):
        NoiseSchedule("squaredcos_cap")


def test_a_subset_is_the_same_process_seen_less_often():
    schedule = NoiseSchedule("linear")
    chosen = schedule.spaced(10)
    subset = schedule.subset(chosen)
    torch.testing.assert_close(subset.alpha_bar, schedule.alpha_bar[chosen], rtol=1e-12, atol=0)
    torch.testing.assert_close((1 - subset.betas).cumprod(0), subset.alpha_bar)


def test_tables_are_copied_to_a_device_once(monkeypatch):
    schedule, copied, to = NoiseSchedule(), [], torch.Tensor.to
    t = torch.zeros(2, dtype=torch.int64, device="meta")
    with monkeypatch.context() as patch:
        patch.setattr(torch.Tensor, "to", lambda self, *place: copied.append(self) or to(self, *place))
        for _ in range(2):
            schedule.at(t)
            schedule.target(torch.zeros(2, 3, 1, 1), t, torch.zeros(2, 3, 1, 1))
    tables = [schedule.alpha_bar, schedule.alpha_bar_prev, schedule.min_log_var, schedule.max_log_var]
    # The same tensors, not others of the same values.
    assert [id(table) for table in copied] == [id(table) for table in tables]
    on_cpu = torch.tensor([0, 999])
    assert torch.equal(schedule.at(on_cpu).flatten(), schedule.alpha_bar[on_cpu])


def test_a_schedule_of_another_length_is_as_noisy_and_tells_the_same_time():
    assert betas("linear", 100)[[0, -1]] == pytest.approx([1e-3, 0.2])
    t = torch.tensor([0, 50, 99])
    assert NoiseSchedule(steps=100).network_time(t).tolist() == [0.0, 500.0, 990.0]
    assert NoiseSchedule().network_time(t) is t


def test_an_unknown_kind_of_variance_is_refused():
    with pytest.raises(ValueError, match="kind='smal': expected 'learned', 'small' or 'large'"):
        NoiseSchedule("linear").log_variance(torch.tensor([3]), kind="smal")
