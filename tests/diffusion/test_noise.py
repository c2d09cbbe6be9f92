"""Random numbers of samples and of iterations."""

import torch

from pitikit.diffusion.noise import BatchDraws, NoiseSource, sample_seed

SHAPE = (3, 4, 4)


def test_a_row_of_noise_depends_on_its_seed_alone():
    alone = NoiseSource([7])
    among = NoiseSource([3, 7, 9])
    for _ in range(3):
        assert torch.equal(alone.randn(SHAPE)[0], among.randn(SHAPE)[1])


def test_the_seed_of_a_sample_is_stable_and_depends_on_run_and_id():
    assert sample_seed(0, "a") == 5690829181965289459
    # The name of a file that is no UTF-8.
    assert sample_seed(0, "caf\udce9") != sample_seed(0, "caf\udce8")
    assert len({sample_seed(0, "a"), sample_seed(1, "a"), sample_seed(0, "b")}) == 3


def test_ranks_draw_the_rows_of_the_whole_batch():
    def draws(*place):
        source = BatchDraws(torch.Generator().manual_seed(3), *place)
        rows = 4 // source.world_size
        return source.rand(rows, 2), source.randn_like(torch.zeros(rows, *SHAPE))

    whole = draws()
    for rank in (0, 1):
        for own, of_all in zip(draws(rank, 2), whole, strict=True):
            assert torch.equal(own, of_all[rank::2])
