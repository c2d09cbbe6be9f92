"""A config that is written is read back as the same."""

import math

import pytest
from mmengine import Config

from pitikit.config import load_config
from pitikit.config.files import read_file
from pitikit.config.writing import config_source, write_config

HARD = [
    "it's",
    'say "x"',
    "C:\\new\\",
    "a\nb",
    "{{ fileDirname }}",
    "{{$NAME:x}} {id} %s",
    "\\{{ fileExtname }}",
    "inf",
]


@pytest.mark.parametrize("text", HARD)
def test_any_text(tmp_path, text):
    tree = dict(a=dict(b=[text, (1, text)], c=text), d=text * 40, e=f"{text} " * 40)
    assert read_file(write_config(Config(tree), tmp_path)).to_dict() == tree


def test_numbers_that_are_not_finite(tmp_path):
    path = write_config(Config(dict(a=[math.inf, -math.inf], b=dict(inf=math.inf, c=math.nan))), tmp_path)
    found = read_file(path)
    assert found.a == [math.inf, -math.inf] and found.b["inf"] == math.inf and math.isnan(found.b.c)


def test_under_the_name_of_its_file(tmp_path, repo):
    cfg = load_config(repo / "configs" / "scenes" / "piti_small_mask.py")
    path = write_config(cfg, tmp_path / "run")
    assert path == tmp_path / "run" / "piti_small_mask.py" and path.read_text() == config_source(cfg) == cfg.pretty_text
    (tmp_path / "my.yaml").write_text("a: 1\n")
    assert write_config(read_file(tmp_path / "my.yaml"), tmp_path).name == "my.py"
    assert write_config(Config(dict(a=1)), tmp_path).name == "config.py"
