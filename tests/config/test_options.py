"""Values on the command line, and the words in which one is refused."""

import argparse
import math
import warnings

import pytest

from pitikit.config import (
    ConfigError,
    add_config_arguments,
    add_options_argument,
    apply_options,
    load_config,
    refuse_second_values,
    warn_of_idle_options,
)


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


@pytest.mark.parametrize("word", ["none", "None", "null", "NONE"])
def test_the_word_none_is_none_where_it_may_be(word):
    tree = {"model": {"type": "DenoisingTranslator", "sampler": {"type": "DDIMSampler", "guidance": {"type": "CFG"}}}}
    changed = apply_options(tree, {"model.sampler.guidance": word, "load_from": word, "launcher": word})
    assert changed["model"]["sampler"]["guidance"] is None and changed["load_from"] is None
    # Where a text is expected, it is one; and where neither, the check of the config refuses it.
    assert changed["launcher"] == word
    assert apply_options(tree, {"model.seed": word})["model"]["seed"] == word


def test_a_second_value_is_refused():
    keys = ["model.sampler.steps"]
    for options in (
        {"model.sampler.steps": 20},
        {"model.sampler": dict(type="DDIMSampler", steps=20)},
        {"model": dict(sampler=dict(steps=20))},
    ):
        with pytest.raises(ConfigError, match=r"steps=5: got model\.sampler\.steps=20 in the options .* expected one"):
            refuse_second_values(options, steps=(5, keys))
        refuse_second_values(options, steps=(None, keys))
        refuse_second_values(options, steps=("20", keys))
    listed = {"model.sampler.guidance": [dict(type="CFG", scale=2), dict(type="DynamicThreshold")]}
    with pytest.raises(ConfigError, match=r"scale=1\.5: got model\.sampler\.guidance\.scale=2"):
        refuse_second_values(listed, scale=(1.5, ["model.sampler.guidance.scale"]))


def test_an_option_without_effect_is_warned_of():
    read = ("model", "test_dataloader.dataset")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # A variable of the file may have one.
        warn_of_idle_options({"model.seed": 1, "test_dataloader": {}, "model": {}, "models": 2}, "it", read)
        for key in ("randomness.seed", "test_dataloader.batch_size"):
            with pytest.raises(UserWarning, match=rf"--cfg-options {key}: ignored, it reads model, test_dataloader"):
                warn_of_idle_options({key: 1}, "it", read)


def test_a_key_without_its_path_gets_the_path():
    tree = {"model": {"type": "DenoisingTranslator", "sampler": {"type": "DDIMSampler", "steps": 3, "guidance": None}}}
    for key in ("guidance", "steps"):
        with pytest.raises(
            ConfigError, match=rf"{key}: unknown key, expected its whole path; .* model\.sampler\.{key}\?"
        ):
            apply_options(tree, {key: "none"})


def test_a_tool_gives_its_options_a_name():
    parser = argparse.ArgumentParser()
    add_options_argument(parser, "--options", "of the set")
    assert parser.parse_args(["--options", "crop=None", "kind=sketch"]).options == dict(crop=None, kind="sketch")
    assert "of the set" in parser.format_help()
