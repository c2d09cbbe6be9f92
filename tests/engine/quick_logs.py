"""Trainings without the work that only their log files show: half of the time of a training of seconds."""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from mmengine import runner
from mmengine.config import config


@contextmanager
def quick_logs() -> Iterator[None]:
    """Look at the environment once, and leave the text of configs as it comes: Python, but in no style.

    mmengine lays the text out anew for every log, file and checkpoint, a fifth of a second each.
    """
    collect_env = functools.cache(runner.runner.collect_env)
    with (
        mock.patch.object(config, "FormatCode", lambda text, **_: (text, True)),
        mock.patch.object(runner.runner, "collect_env", collect_env),
    ):
        yield
