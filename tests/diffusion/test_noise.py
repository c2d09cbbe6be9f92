"""Random numbers of samples and of iterations."""

import torch

from pitikit.diffusion.noise import NoiseSource, sample_seed

SHAPE = (3, 4, 4)


def test_a_row_of_noise_depends_on_its_seed_alone():
    alone = NoiseSource([7])
    among = NoiseSource([3, 7, 9])
    for _ in range(3):
        assert torch.equal(alone.randn(SHAPE)[0], among.randn(SHAPE)[1])


def test_the_seed_of_a_sample_is_stable_and_depends_on_run_and_id():
    assert sample_seed(0, "a") == 5690829181965289459
    assert len({sample_seed(0, "a"), sample_seed(1, "a"), sample_seed(0, "b")}) == 3
