"""The spread of a number of steps over a process."""

import numpy as np
import pytest

from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.spacing import spaced_timesteps, spread_timesteps
from pitikit.diffusion.types import log_snr

SCHEDULE = NoiseSchedule()
LOG_SNR = log_snr(SCHEDULE.alpha_bar).numpy()
SPACINGS = ["linspace", "leading", "trailing", "log_snr", "karras"]


def test_linspace_is_what_a_number_alone_means():
    for steps in (1, 7, 50, 1000, "30", [10, 5], "fast27", "ddim50", (3, 999)):
        assert spread_timesteps(LOG_SNR, steps) == spaced_timesteps(1000, steps)


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [1, 2, 5, 20, 250, 995])
def test_there_are_as_many_as_requested_and_each_once(spacing, steps):
    found = spread_timesteps(LOG_SNR, steps, spacing, -5.1)
    assert len(found) == len(set(found)) == steps and found == sorted(found)
    assert found[0] >= 0 and found[-1] <= 995 and all(type(t) is int for t in found)


def test_the_even_spacings():
    assert spread_timesteps(LOG_SNR, 4, "leading") == [0, 250, 500, 750]
    assert spread_timesteps(LOG_SNR, 4, "trailing") == [249, 499, 749, 999]
    assert spread_timesteps(LOG_SNR, 4, "trailing", -5.1) == [248, 497, 746, 995]


def test_steps_are_even_in_the_log_snr_and_in_karras_levels():
    for spacing, of_level in (("log_snr", lambda x: x), ("karras", lambda x: np.exp(-x / 7))):
        found = spread_timesteps(LOG_SNR, 9, spacing, -5.1)
        levels = of_level(LOG_SNR[found])
        assert (found[0], found[-1]) == (0, 995)
        # Timesteps are whole: one timestep's width is the most that a level is off.
        ideal = np.linspace(levels[0], levels[-1], 9)
        width = np.abs(np.diff(of_level(LOG_SNR)))[np.minimum(found, 998)]
        assert (np.abs(levels - ideal) <= width).all()


def test_where_timesteps_are_scarce_the_next_free_ones_are_taken():
    # At its noisy end the cosine schedule has few timesteps for a long way in log-SNR.
    found = spread_timesteps(LOG_SNR, 40, "log_snr")
    assert found[:3] == [0, 1, 3] and found[-17:] == list(range(983, 1000)) and len(set(found)) == 40


def test_the_cliff_of_the_cosine_schedule_is_left_out():
    """METHOD: lambda = -9.9 at t = 999, -6.5 at 998, -4.3 at 990."""
    assert LOG_SNR[[999, 998, 990]] == pytest.approx([-9.9, -6.5, -4.3], abs=0.06)
    for spacing in SPACINGS[:1] + SPACINGS[2:]:
        last = spread_timesteps(LOG_SNR, 10, spacing, -5.1)[-1]
        assert LOG_SNR[last] >= -5.1 > LOG_SNR[last + 1]
    # What is given by number is taken as it is.
    assert spread_timesteps(LOG_SNR, (5, 999), "karras", -5.1) == [5, 999]
    # The linear schedule has no cliff.
    linear = log_snr(NoiseSchedule("linear").alpha_bar).numpy()
    assert spread_timesteps(linear, 10, "linspace", -5.1)[-1] == 999


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("steps", [0, -3, 1001, True, 2.5, "some"])
def test_a_number_of_steps_that_cannot_be_had(spacing, steps):
    for log_snr_min in (None, -5.1):
        with pytest.raises(ValueError, match=r"^steps="):
            spread_timesteps(LOG_SNR, steps, spacing, log_snr_min)


def test_messages_name_the_reason():
    with pytest.raises(
        ValueError, match=r"cannot take 998 steps .* the noisiest 4 of 1000 timesteps are left out \(log"
    ):
        spread_timesteps(LOG_SNR, 998, "linspace", -5.1)
    with pytest.raises(ValueError, match="spacing='trailling': expected a known one; did you mean 'trailing'"):
        spread_timesteps(LOG_SNR, 9, "trailling")
    for steps in ("fast27", [5, 5]):
        with pytest.raises(ValueError, match="expected a number of steps beside spacing='karras', or 'linspace'"):
            spread_timesteps(LOG_SNR, steps, "karras")
    with pytest.raises(ValueError, match="log_snr_min=99: got no timestep above it, expected less than 5"):
        spread_timesteps(LOG_SNR, 9, "linspace", 99)
