"""Files that the README and the demonstration name."""

import re
import shlex
from pathlib import Path

import pytest

from pitikit.__main__ import commands
from pitikit.apis.demo import MODALITIES, UPSAMPLER

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
COMMANDS = [
    line.strip()
    for block in re.findall(r"```bash\n(.*?)```", README, re.S)
    for line in block.replace("\\\n", " ").splitlines()
    if "tools/" in line or "pitikit " in line
]


def test_nothing_is_left_to_fill_in():
    assert "@@" not in README


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_name_files_that_exist(command):
    # The result of another command, or the reader's own.
    made = ("path/to", "work_dirs/", "glide_base", "piti_mask")
    if not UPSAMPLER.is_file() and UPSAMPLER.name in command:
        pytest.skip(f"{UPSAMPLER} is not there")
    # Of a cascade the weights of its parts stand with a comma.
    words = [part for word in shlex.split(command, comments=True) for part in word.split(",")]
    for word in words:
        if "=" not in word and word.startswith(("tools/", "configs/", "weights/")) and not any(m in word for m in made):
            assert (ROOT / word).exists(), word
    if "pitikit" in words and not (command := words[words.index("pitikit") + 1]).startswith("-"):
        assert command in commands()


def test_the_weights_of_the_demonstration_ship_and_are_small():
    shipped = [ROOT / modality.weights for modality in MODALITIES] + [ROOT / "weights/scenes_prior.safetensors"]
    assert all(path.is_file() for path in shipped)
    # Feature maps of the conditions are 0.2 MB a model.
    assert sum(path.stat().st_size for path in shipped) <= 17e6


def test_the_upsampler_is_small():
    if not UPSAMPLER.is_file():
        pytest.skip(f"{UPSAMPLER} is not there")
    assert UPSAMPLER.stat().st_size <= 8e6
