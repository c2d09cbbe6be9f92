"""The order of steps of RePaint, which goes back to noisier places to bring what is kept and what is new together."""

from __future__ import annotations

from torch import Tensor

Resample = tuple[int, int]
"""(jump, times): after every ``jump`` steps go back as many, so that each stretch is made ``times`` times."""


def check_resample(resample: Resample) -> Resample:
    """A pair of whole numbers of 1 or more.

    Raises:
        ValueError: something else.
    """
    pair = tuple(resample) if isinstance(resample, (tuple, list)) else ()
    if len(pair) != 2 or not all(isinstance(n, int) and not isinstance(n, bool) and n >= 1 for n in pair):
        raise ValueError(
            f"resample: got {resample!r}, expected (jump, times), two whole numbers of 1 or more, such as (10, 10) for "
            "250 steps or (4, 4) for 50"
        )
    return pair


def order_of_steps(steps: int, resample: Resample | None = None) -> list[int]:
    """Indices of the steps of a sampling in the order in which they are made; without ``resample`` 0, 1, 2, ...

    An index that does not follow its predecessor by one is a jump back to where that step begins (Lugmayr et al. 2022,
    alg. 1; their released schedule of jumps). Jumps are made at steps that are a multiple of ``jump`` away from the
    last one, and never from the finished image.

    Args:
        steps: of a sampling without jumps.
        resample: see :data:`Resample`; ``times`` 1 makes no jumps.

    Raises:
        ValueError: ``resample`` is no such pair.
    """
    if resample is None:
        return list(range(steps))
    jump, times = check_resample(resample)
    # Counted from the end, as there: at k, k steps are left before the last one.
    left = dict.fromkeys(range(0, steps - jump, jump), times - 1)
    order, index = [], 0
    while index < steps:
        order.append(index)
        index += 1
        k = steps - 1 - index
        if left.get(k, 0) > 0:
            left[k] -= 1
            index -= jump
    return order


def noise_further(x: Tensor, noise: Tensor, alpha_bar: Tensor, noisier: Tensor) -> Tensor:
    """Take x_t to a noisier place: q(x_s given x_t), s > t, of the forward process (Ho et al. 2020, eq. 2).

    Args:
        x: (B, 3, H, W).
        noise: (B, 3, H, W), standard normal.
        alpha_bar, noisier: (B, 1, 1, 1) float64, of where ``x`` is and of where it goes.
    """
    kept = noisier / alpha_bar
    return kept.sqrt().to(x.dtype) * x + (1 - kept).sqrt().to(x.dtype) * noise
