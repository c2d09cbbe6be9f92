"""From which iteration on, and at which timesteps, a loss acts."""

import pytest
import torch

from pitikit.losses.gating import Gate

T = torch.tensor([10, 500, 990])
ALPHA_BAR = torch.tensor([0.9, 0.4, 0.01], dtype=torch.float64).view(-1, 1, 1, 1)


def test_iterations_are_counted_in_training_alone():
    gate = Gate(start=2)
    opened = []
    for _ in range(4):
        opened.append(gate.open)
        gate.advance()
    assert opened == [False, False, True, True]
    gate = Gate(start=1)
    gate.eval().advance()
    with torch.no_grad():
        gate.train().advance()
    assert not gate.open


def test_the_count_is_resumed():
    gate = Gate(start=3)
    for _ in range(3):
        gate.advance()
    fresh = Gate(start=3)
    fresh.load_state_dict(gate.state_dict())
    assert fresh.open and not Gate(start=3).open


def test_weights_by_timestep():
    assert Gate().weights(T, ALPHA_BAR).tolist() == [1, 1, 1]
    assert Gate(max_t=500).weights(T, ALPHA_BAR).tolist() == [1, 1, 0]
    assert Gate(alpha_power=1.0).weights(T, ALPHA_BAR).tolist() == pytest.approx([0.9, 0.4, 0.01])
    assert Gate(max_t=100, alpha_power=2.0).weights(T, ALPHA_BAR).tolist() == pytest.approx([0.81, 0, 0])


@pytest.mark.parametrize("arguments", [dict(start=-1), dict(max_t=-1), dict(alpha_power=-0.5)])
def test_impossible_arguments(arguments):
    with pytest.raises(ValueError, match="expected none below 0"):
        Gate(**arguments)
