"""Values on the command line, and the words in which one is refused."""

import argparse
import math

import pytest

from pitikit.config import ConfigError, add_config_arguments, load_config


def parsed(text):
    parser = argparse.ArgumentParser()
    add_config_arguments(parser)
    return parser.parse_args(["--cfg-options", f"a.b={text}"]).cfg_options["a.b"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-4", 1e-4),
        ("true", True),
        ("-inf", -math.inf),
        ("fast27", "fast27"),
        ("10,10,3", [10, 10, 3]),
        ("(1,2)", (1, 2)),
        ("[a, b/c.png]", ["a", "b/c.png"]),
        ("x.safetensors,y.safetensors", ["x.safetensors", "y.safetensors"]),
        ("images/{id}.png", "images/{id}.png"),
        ("a(b", "a(b"),
        ("dict(type='A', b=[dict(c=1), None])", {"type": "A", "b": [{"c": 1}, None]}),
        (
            "dict(a=true, b=False, c=inf, d=-inf, e=[false, 1])",
            dict(a=True, b=False, c=math.inf, d=-math.inf, e=[0, 1]),
        ),
        ("{'a': true, 3: dict(b=-1)}", {"a": True, 3: {"b": -1}}),
    ],
)
def test_values(text, value):
    assert parsed(text) == value and type(parsed(text)) is type(value)
    assert math.isnan(parsed("dict(a=nan)")["a"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("dict(type=DDIMSampler,steps=4)", "found the bare word DDIMSampler; expected it in quotes, 'DDIMSampler'"),
        ("[dict(type=CFG)]", "found the bare word CFG"),
        ("{'type': CFG}", "found the bare word CFG"),
        ("dict(type='CFG', scale=2", "was never closed"),
        ("[dict(type='CFG', scale=2)", "was never closed"),
        ("dict(path=a/b)", "found a / b; expected a number, a text in quotes"),
        ("dict('a')", "only dict(key=value) may be called: dict('a')"),
        ("dict(**{'a': 1})", "only dict(key=value) may be called"),
        ("[1, 2", "brackets that are not balanced"),
        ("f(1,2)", "brackets that are not balanced, or not around a list"),
    ],
)
def test_what_cannot_be_read_is_one_line_with_the_key(text, words, capsys):
    with pytest.raises(SystemExit) as caught:
        parsed(text)
    assert caught.value.code == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert f"error: --cfg-options a.b={text}: {words}" in last or (words == "was never closed" and words in last)


def test_plugins_are_paths(tmp_path):
    (tmp_path / "c.py").write_text("seed = 3")
    for wrong in (3, [{}]):
        with pytest.raises(ConfigError, match="^plugins: found .*; expected the path of a folder"):
            load_config(tmp_path / "c.py", {"plugins": wrong})
