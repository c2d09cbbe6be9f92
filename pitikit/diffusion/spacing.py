"""Timesteps that a sampling visits: how many, which, and how they are spread over the process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from pitikit.arguments import nearest

# GLIDE's upsampler setting: two steps in the noisiest fifth, most of them where detail appears.
FAST27_SECTIONS = (10, 10, 3, 2, 2)

#: Exponent of the noise levels of Karras et al. 2022, eq. 5.
KARRAS_RHO = 7.0

Steps = int | str | Sequence[int]

Spacing = Literal["linspace", "leading", "trailing", "log_snr", "karras"]
"""Ways to spread a number of timesteps, see :func:`spread_timesteps`."""


def spaced_timesteps(total: int, steps: Steps) -> list[int]:
    """Timesteps out of ``range(total)`` that a shorter sampling visits, ascending.

    Args:
        total: number of timesteps of the full process.
        steps: an int or digits ('50'): that many, evenly spread from the first to the last. A *list* or
            '10,10,3,2,2': that many in each of as many equal sections. 'fast27': GLIDE's 27 steps.
            'ddimN': every k-th with an integer stride. '': all. A *tuple*: the timesteps themselves.

    Raises:
        ValueError: a section is smaller than its count, no integer stride exists, a timestep is out of range or
            repeated, or the text is none of the forms above.
    """
    if isinstance(steps, bool) or not isinstance(steps, int | str | Sequence):
        raise ValueError(f"steps={steps!r}: expected a number, text or a list; see the docstring for their forms")
    if isinstance(steps, tuple):
        return _explicit(total, steps)
    if isinstance(steps, str):
        text = steps.strip()
        if not text:
            return list(range(total))
        if text == "fast27":
            # GLIDE begins two steps before the noisiest, where it saw fewer artefacts.
            try:
                return [*spaced_timesteps(total, list(FAST27_SECTIONS))[:-1], total - 3]
            except ValueError:
                text = f"its sections {list(FAST27_SECTIONS)} do not fit into {total} timesteps"
                raise ValueError(f"steps={steps!r}: {text}; expected a number of steps, or a longer schedule") from None
        if text.startswith("ddim") and text[4:].isdigit():
            return _strided(total, int(text[4:]))
        try:
            counts = [int(part) for part in text.split(",")]
        except ValueError:
            raise ValueError(
                f"steps={steps!r}: expected a number, 'fast27', 'ddimN', sections such as '10,10,8' or [10, 10, 8], "
                "or a tuple of timesteps"
            ) from None
    elif isinstance(steps, int):
        counts = [steps]
    else:
        counts = [int(count) for count in steps]
    if not counts or min(counts) < 0 or not any(counts):
        sections = "; of sections, 0 or more each" if len(counts) > 1 else ""
        raise ValueError(f"steps={steps!r}: expected 1 or more{sections}")
    timesteps: list[int] = []
    start = 0
    for index, count in enumerate(counts):
        size = total // len(counts) + (1 if index < total % len(counts) else 0)
        if size < count:
            raise ValueError(f"steps={steps!r}: cannot take {count} steps from a section of {size} (total {total})")
        stride = 1.0 if count == 1 else (size - 1) / (count - 1)
        # Accumulated, not multiplied: rounding then falls as it does in the released code.
        position = 0.0
        for _ in range(count):
            timesteps.append(start + round(position))
            position += stride
        start += size
    return timesteps


def spread_timesteps(
    log_snr: np.ndarray, steps: Steps, spacing: Spacing = "linspace", log_snr_min: float | None = None
) -> list[int]:
    """Timesteps that a sampling visits, ascending and distinct, spread as ``spacing`` names.

    Args:
        log_snr: (T,), lambda = log(sqrt(alpha_bar) / sqrt(1 - alpha_bar)) of every timestep, decreasing.
        steps: see :func:`spaced_timesteps`; a tuple is taken as it is. The other spacings need a number.
        spacing: 'linspace', evenly from the first to the last; 'leading', every (T // steps)-th from 0; 'trailing',
            every (T / steps)-th back from the last (Lin et al. 2023, table 2); 'log_snr', evenly in lambda; 'karras',
            evenly in sigma^(1/7) with sigma = e^-lambda (Karras et al. 2022, eq. 5). The last two go to the nearest
            timestep, or where two would be the same one to the next.
        log_snr_min: noisier timesteps are left out; those that are left count as T above.

    Raises:
        ValueError: as of :func:`spaced_timesteps`, an unknown ``spacing``, or one that needs a number of steps.
    """
    if spacing not in get_args(Spacing):
        raise ValueError(f"spacing={spacing!r}: expected a known one; {nearest(str(spacing), get_args(Spacing))}")
    kept = len(log_snr) if log_snr_min is None else int((log_snr >= log_snr_min).sum())
    if kept == 0:
        raise ValueError(f"log_snr_min={log_snr_min}: got no timestep above it, expected less than {log_snr[0]:.3g}")
    if isinstance(steps, tuple):
        return spaced_timesteps(len(log_snr), steps)
    try:
        timesteps = spaced_timesteps(kept, steps)
    except ValueError as error:
        if kept == len(log_snr):
            raise
        left = (
            f"the noisiest {len(log_snr) - kept} of {len(log_snr)} timesteps are left out (log_snr_min={log_snr_min})"
        )
        raise ValueError(f"{error}; {left}") from None
    if spacing == "linspace":
        return timesteps
    if not isinstance(steps, int) and not (isinstance(steps, str) and steps.strip().isdigit()):
        raise ValueError(f"steps={steps!r}: expected a number of steps beside spacing={spacing!r}, or 'linspace'")
    count = len(timesteps)
    if spacing == "leading":
        return [index * (kept // count) for index in range(count)]
    if spacing == "trailing":
        return [round(kept - index * kept / count) - 1 for index in reversed(range(count))]
    share = np.linspace(0, 1, count) if count > 1 else np.ones(1)  # Ascending: from the image to the noise.
    if spacing == "log_snr":
        levels = log_snr[0] + share * (log_snr[kept - 1] - log_snr[0])
    else:
        low, high = (np.exp(-log_snr[index] / KARRAS_RHO) for index in (0, kept - 1))
        levels = -KARRAS_RHO * np.log(low + share * (high - low))
    places = np.interp(-levels, -log_snr, np.arange(len(log_snr)))
    return _distinct([round(place) for place in places], kept)


def _distinct(timesteps: Sequence[int], total: int) -> list[int]:
    """Ascending ``timesteps`` of ``range(total)``, those that are equal moved on to the next free ones."""
    found: list[int] = []
    for t in timesteps:
        found.append(max(t, found[-1] + 1) if found else t)
    return [min(t, total - len(found) + index) for index, t in enumerate(found)]


def _explicit(total: int, steps: tuple[int, ...]) -> list[int]:
    chosen = sorted(int(t) for t in steps)
    if not chosen or chosen[0] < 0 or chosen[-1] >= total or len(set(chosen)) != len(chosen):
        raise ValueError(f"steps={steps!r}: expected distinct timesteps within 0..{total - 1}")
    return chosen


def _strided(total: int, count: int) -> list[int]:
    for stride in range(1, total):
        if len(range(0, total, stride)) == count:
            return list(range(0, total, stride))
    raise ValueError(f"steps='ddim{count}': no integer stride gives exactly {count} of {total} timesteps")
