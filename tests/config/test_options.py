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


def test_a_table_of_numbers_is_one_value(tmp_path):
    """``id_map={7: 0}`` in a file, given whole or by an entry, and read back as it was written."""
    path = tmp_path / "a.py"
    dataset = "dict(type='PairedImageDataset', root='.', pipeline=[dict(type='LoadMask', id_map={7: 0, 8: 1})])"
    path.write_text(f"train_dataloader = dict(dataset={dataset})\n")
    key = "train_dataloader.dataset.pipeline.0.id_map"
    parser = argparse.ArgumentParser()
    add_config_arguments(parser)
    for text, wanted in {
        f"{key}={{255: 1}}": {255: 1},
        f"{key}.8=0": {7: 0, 8: 0},
        f"{key}.-1=255": {7: 0, 8: 1, -1: 255},
        f"{key}=cityscapes19": "cityscapes19",
    }.items():
        cfg = load_config(path, parser.parse_args(["--cfg-options", text]).cfg_options)
        assert cfg.train_dataloader.dataset.pipeline[0].id_map == wanted
        cfg.dump(tmp_path / "b.py")
        assert load_config(tmp_path / "b.py").train_dataloader.dataset.pipeline[0].id_map == wanted
    for wrong in ({f"{key}.road": 1}, {f"{key}.7.a": 1}):
        with pytest.raises(ConfigError, match="id_map has numbers as keys; expected one, and no more, got"):
            load_config(path, wrong)
    with pytest.raises(ConfigError, match="id_map: found {7: 'road'}"):
        load_config(path, {key: {7: "road"}})
