"""The visualizer draws as mmengine's does, and waits with Matplotlib until then."""

import subprocess
import sys

import mmengine.visualization
import numpy as np

from pitikit.engine.visualizer import Visualizer

MADE = """
import sys
from pitikit.config import load_config
from pitikit.engine.runner import TranslationRunner
cfg = load_config("tests/configs/tiny_training.py", None, sys.argv[1])
runner = TranslationRunner.from_cfg(cfg)
print(type(runner.visualizer).__module__, "matplotlib" in sys.modules)
"""


def test_a_run_does_not_wait_for_matplotlib(repo, tmp_path):
    command = [sys.executable, "-c", MADE, str(tmp_path / "work")]
    done = subprocess.run(command, cwd=repo, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["pitikit.engine.visualizer False"], done.stderr


def test_it_draws_as_mmengines_does():
    image = np.random.default_rng(0).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    drawn = []
    for made in (Visualizer(), mmengine.visualization.Visualizer(), Visualizer(image=image)):
        for _ in range(2):
            made.set_image(image)
            made.draw_bboxes(np.array([4, 4, 20, 16]), edge_colors="r")
        drawn.append(made.get_image())
    assert np.array_equal(drawn[0], drawn[1]) and np.array_equal(drawn[2], drawn[1])
    assert not np.array_equal(drawn[0], image)
