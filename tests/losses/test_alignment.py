"""Where the attention looks, measured at a decoder of known queries and keys."""

import math

import pytest
import torch

from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.types import Prediction
from pitikit.losses.alignment import TokenAlignment, own_cells
from pitikit.models.denoiser import Denoiser

GRID = 4
X, T = torch.randn(2, 3, 16, 16), torch.tensor([5, 900])
CONDITION = torch.rand(2, 3, 16, 16) * 2 - 1


@pytest.fixture
def denoiser():
    """One token for 4x4 pixels of a 16x16 condition; attention at 16x16 and 8x8."""
    torch.manual_seed(0)
    return Denoiser(
        dict(
            type="SemanticEncoder",
            input_size=16,
            channels=(4, 4, 8, 8, 8),
            strides=(1, 2, 2, 1, 1, 1),
            width=16,
            layers=1,
            heads=2,
        ),
        dict(
            type="GlideUNet",
            image_size=16,
            channels=16,
            multipliers=(1, 2),
            res_blocks=1,
            attention_sizes=(8,),
            head_width=8,
            groups=8,
            token_width=16,
            dropout=0.0,
        ),
    )


def run(denoiser, loss):
    schedule = NoiseSchedule("squaredcos_cap_v2")
    noise = torch.randn_like(X)
    x_t = schedule.add_noise(X, T, noise)
    prediction = Prediction.from_output(denoiser(x_t, T, CONDITION), x_t, schedule.at(T))
    return loss(prediction, schedule.target(X, T, noise))


def test_cells_of_a_finer_an_equal_and_a_coarser_map():
    assert own_cells(2, 2, 2).tolist() == [[0], [1], [2], [3]]
    assert own_cells(4, 4, 2)[:, 0].view(4, 4).tolist() == [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]]
    assert own_cells(1, 1, 2).tolist() == [[0, 1, 2, 3]]
    # Every cell belongs to exactly one pixel of a coarser map.
    assert sorted(own_cells(4, 4, 16).flatten().tolist()) == list(range(256))


def test_even_attention_costs_the_logarithm_of_the_choices(denoiser):
    loss = TokenAlignment(grid=GRID)
    loss.watch(denoiser)
    with torch.no_grad():
        for block in denoiser.decoder.attention_blocks():
            block.qkv.weight.zero_()
            block.qkv.bias.zero_()
    # Three of the blocks are at 8x8, the middle one as well: 16 tokens and 64 pixels to choose from, one is right.
    assert run(denoiser, loss).tolist() == pytest.approx([math.log(80)] * 2, rel=1e-5)


def test_training_on_it_aligns_the_attention_through_decoder_and_encoder(denoiser):
    loss = TokenAlignment(grid=GRID)
    loss.watch(denoiser)
    first = run(denoiser, loss).mean()
    first.backward()
    assert denoiser.encoder.positional_embedding.grad.abs().max() > 0
    assert next(denoiser.decoder.attention_blocks()).qkv.weight.grad.abs().max() > 0
    optimizer = torch.optim.Adam(denoiser.parameters(), lr=3e-3)
    for _ in range(60):
        optimizer.zero_grad()
        value = run(denoiser, loss).mean()
        value.backward()
        optimizer.step()
    assert value < 0.6 * first


def test_the_denoiser_computes_the_same_with_and_without(denoiser):
    before = denoiser(X, T, CONDITION)
    loss = TokenAlignment(grid=GRID)
    loss.watch(denoiser)
    assert torch.equal(before, denoiser(X, T, CONDITION))


def test_nothing_is_kept_while_sampling(denoiser):
    loss = TokenAlignment(grid=GRID)
    loss.watch(denoiser)
    with torch.no_grad():
        denoiser(X, T, CONDITION)
    with pytest.raises(RuntimeError, match="has not run"):
        loss(None, None)


def test_nothing_is_kept_where_a_sampling_needs_gradients(denoiser):
    loss = TokenAlignment(grid=GRID)
    loss.watch(denoiser)
    with torch.no_grad():
        encoded = denoiser.encode(CONDITION)
    # As guidance by a classifier does, through the decoder to x_t.
    x = X.clone().requires_grad_()
    denoiser.decode(x, T, encoded).sum().backward()
    assert x.grad is not None
    with pytest.raises(RuntimeError, match="has not run with gradients"):
        loss(None, None)


def test_too_few_tokens_and_no_tokens_at_all_are_told(denoiser):
    loss = TokenAlignment(grid=5)
    loss.watch(denoiser)
    with pytest.raises(ValueError, match="at least 25 tokens, found 16"):
        denoiser(X, T, CONDITION)
    with pytest.raises(ValueError, match="no attention to tokens"):
        TokenAlignment().watch(torch.nn.Linear(2, 2))
    with pytest.raises(ValueError, match="grid=0"):
        TokenAlignment(grid=0)


def test_a_pixel_may_look_at_its_own_cell_in_any_part(denoiser):
    class Twice(torch.nn.Module):
        in_channels, parts = 3, ()

        def __init__(self, encoder):
            super().__init__()
            self.encoder = encoder

        def forward(self, condition):
            tokens, pooled = self.encoder(condition)
            return torch.cat([tokens, tokens], dim=2), pooled

        def null_condition(self, batch):
            return self.encoder.null_condition(batch)

    twice = Denoiser(Twice(denoiser.encoder), denoiser.decoder)
    values = []
    for parts in (1, 2):
        loss = TokenAlignment(grid=GRID, parts=parts)
        loss.watch(twice)
        torch.manual_seed(1)
        values.append(run(twice, loss).mean())
    # Both parts have the same tokens: each has half of the attention to a cell.
    torch.testing.assert_close(values[0] - values[1], torch.tensor(math.log(2)))
    with pytest.raises(ValueError, match=r"TokenAlignment\(grid=4, parts=2\): expected at least 32 tokens, found 16"):
        loss = TokenAlignment(grid=GRID, parts=2)
        loss.watch(denoiser)
        run(denoiser, loss)
    with pytest.raises(ValueError, match="grid=4, parts=0: expected 1 or more of each"):
        TokenAlignment(grid=4, parts=0)
