"""Configs that inherit from shipped ones, from a folder outside the clone."""

import pytest

from pitikit.config import ConfigError, load_config

SHIPPED = "configs/scenes/piti_small_mask.py"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a config into a folder of its own, where one works."""
    monkeypatch.chdir(tmp_path)

    def write(name, text):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.mark.parametrize("base", [f"'{SHIPPED}'", f"[\n    '{SHIPPED}',\n]"])
def test_a_shipped_base(write, repo, base):
    path = write("my.py", f"# mine\n_base_ = {base}\nmodel = dict(sampler=dict(steps=7))\nwork_dir = 'w'\n")
    cfg, expected = load_config(path), load_config(repo / SHIPPED, {"model.sampler.steps": 7}, "w")
    assert cfg.to_dict() == expected.to_dict()
    assert cfg.filename == str(path)


def test_a_shipped_base_of_a_base(write):
    write("between.py", f"_base_ = '{SHIPPED}'\nmodel = dict(sampler=dict(steps=7))\n")
    write("my.py", "_base_ = 'between.py'\nmodel = dict(sampler=dict(guidance=dict(scale=3.0)))\n")
    sampler = load_config("my.py").model.sampler
    assert sampler.steps == 7 and sampler.guidance.scale == 3.0


def test_a_base_beside_the_config_comes_first(write, tmp_path):
    (tmp_path / "configs" / "scenes").mkdir(parents=True)
    write(SHIPPED, "title = 'beside'\n")
    assert load_config(write("my.py", f"_base_ = ['{SHIPPED}']\n")).title == "beside"


def test_what_mmengine_alone_can_read_is_left_to_it(write, monkeypatch):
    write("base.py", "title = 'a'\n")
    monkeypatch.setenv("NAME", "base")
    assert load_config(write("my.py", "_base_ = ['{{$NAME:x}}.py']\nnumber = {{$NUMBER:3}}\n")).number == 3
    assert load_config(write("my.py", "_base_ = 'ba' + 'se.py'\n")).title == "a"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("_base_ = ['configs/scenes/absent.py']", "a file that its _base_ names is missing"),
        ("_base_ = ['base.py']", r"syntax error: .*base\.py, line 2"),
    ],
)
def test_errors_name_the_files_of_the_user(write, text, words):
    write("base.py", f"_base_ = ['{SHIPPED}']\na = = 1\n")
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(write("my.py", text + "\n"))
    assert "my.py" in str(caught.value)


def test_weights_beside_the_config(write, tmp_path, monkeypatch):
    path = write("my.py", f"_base_ = ['{SHIPPED}']\nload_from = 'mine.safetensors'\n")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_config(path).load_from == "mine.safetensors"
    (tmp_path / "mine.safetensors").touch()
    assert load_config(path).load_from == str(tmp_path / "mine.safetensors")
    assert load_config(path, {"load_from": "other.safetensors"}).load_from == "other.safetensors"
    (tmp_path / "elsewhere" / "mine.safetensors").touch()
    assert load_config(path).load_from == "mine.safetensors"


def test_a_cascade_of_shipped_parts(write):
    parts = "base='configs/scenes/piti_small_mask.py', upsampler='configs/scenes/upsampler_small_mask.py'"
    path = write("my.py", f"_base_ = ['{SHIPPED}']\nmodel = dict(_delete_=True, type='Cascade', {parts})\n")
    assert load_config(path).model.upsampler.type.endswith("Upsampler")
