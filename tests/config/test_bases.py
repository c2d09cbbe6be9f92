"""Configs that inherit from shipped ones, from a folder outside the clone."""

from pathlib import Path

import pytest

from pitikit.config import ConfigError, load_config
from pitikit.config.writing import write_config

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


@pytest.mark.parametrize("value", ["C:\\new\\x", "it's", 'say "x"', "a\nb", "{id} %d {{ fileDirname }}", ""])
@pytest.mark.parametrize("shipped", ["mask/piti_small_camvid", "photographs/upsampler_small_degradation"])
def test_the_folder_of_the_data_may_have_any_name(write, monkeypatch, value, shipped):
    monkeypatch.setenv("PITIKIT_DATA", value)
    cfg = load_config(write("my.py", f"_base_ = '{'configs/' + shipped}.py'\n"))
    dataset = cfg.train_dataloader.dataset
    roots = [part.root for part in dataset.get("datasets", [dataset])]
    assert all(root.startswith((value or "data") + "/") for root in roots)
    assert cfg.env_variables == ({"PITIKIT_DATA": value} if value else {})
    # The config that a run writes, and what is resumed from.
    assert load_config(write_config(cfg, Path("run"))).to_dict() == cfg.to_dict()


@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_json_and_yaml_with_shipped_bases_and_variables(write, monkeypatch, repo, suffix):
    monkeypatch.setenv("NAME", "it's \\new")
    text = '{"_base_": ["configs/scenes/piti_small_mask.py"], "work_dir": "{{$NAME:x}}", "summary": {{_base_.stages}}}'
    cfg, base = load_config(write("my" + suffix, text)), load_config(repo / SHIPPED)
    assert cfg.work_dir == "it's \\new" and cfg.summary == cfg.stages == base.stages
    assert load_config(write("plain" + suffix, '{"work_dir": "w"}')).work_dir == "w"


def test_folders_and_names_with_quotes(write, tmp_path):
    folder = tmp_path / 'it\'s {a} "%s"'
    folder.mkdir()
    write(f"{folder.name}/o'base.py", "title = '{{ fileBasename }}'\n")
    path = write(f"{folder.name}/my.py", "_base_ = ['{{ fileDirname }}/o\\'base.py']\n")
    assert load_config(path).title == "o'base.py"


def test_an_error_names_the_line_of_the_config(write):
    text = "_base_ = [\n    'configs/scenes/piti_small_mask.py',\n]\na = '{{$NAME:x}}'\nb = 1 / 0\n"
    with pytest.raises(ConfigError, match=r"my\.py, line 5\): ZeroDivisionError"):
        load_config(write("my.py", text))
    with pytest.raises(ConfigError, match=r"syntax error: .*my\.py, line 2"):
        load_config(write("my.py", "a = {{$NUMBER:3}}\nb = = 1\n"))


@pytest.mark.parametrize("base", ["pitikit::configs/scenes/piti_small_mask.py", SHIPPED])
def test_a_base_of_the_package_alone(write, tmp_path, base):
    (tmp_path / "configs" / "scenes").mkdir(parents=True)
    write(SHIPPED, "title = 'beside'\n")
    cfg = load_config(write("my.py", f"_base_ = ['{base}']\n"))
    assert (cfg.get("title") == "beside") is not base.startswith("pitikit::")


def test_a_missing_base_is_named_with_the_places(write, tmp_path):
    places = f"looked for {tmp_path}/configs/absent.py, configs/absent.py, .*/configs/absent.py"
    with pytest.raises(ConfigError, match=places):
        load_config(write("my.py", "_base_ = ['configs/absent.py']\n"))
    with pytest.raises(ConfigError, match="missing: 'pitikit::configs/absent.py'; looked for"):
        load_config(write("my.py", "_base_ = ['pitikit::configs/absent.py']\n"))


def test_weights_of_any_component_may_lie_beside_its_config(write, tmp_path, monkeypatch):
    (tmp_path / "elsewhere").mkdir()
    mine = "dict(type='MeanIoU', segmenter=dict(type='SceneSegmenter', weights='mine.pth'))"
    write("base.py", f"_base_ = ['{SHIPPED}']\ntest_evaluator = [{mine}]\n")
    path = write("elsewhere/my.py", "_base_ = ['../base.py']\nload_discriminator = 'd.pt'\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    cfg = load_config("my.py")
    assert (cfg.test_evaluator[0].segmenter.weights, cfg.load_discriminator) == ("mine.pth", "d.pt")
    for name in ("mine.pth", "elsewhere/d.pt"):
        (tmp_path / name).touch()
    monkeypatch.chdir("/")
    cfg = load_config(path)
    found = (cfg.test_evaluator[0].segmenter.weights, cfg.load_discriminator)
    assert found == (str(tmp_path / "mine.pth"), str(tmp_path / "elsewhere" / "d.pt"))
    monkeypatch.chdir(tmp_path)
    assert load_config(path).test_evaluator[0].segmenter.weights == "mine.pth"


def test_parts_to_load_in_the_place_of_a_path_and_the_other_way_round(write):
    parts = dict(encoder="a.pth", decoder=dict(path="b.pth"))
    first = write("first.py", f"_base_ = '{SHIPPED}'\nload_from = dict(encoder='a.pth', decoder=dict(path='b.pth'))\n")
    assert load_config(first).load_from == parts
    more = write("more.py", "_base_ = 'first.py'\nload_from = dict(decoder=dict(prefix='c.'))\n")
    assert load_config(more).load_from == dict(parts, decoder=dict(path="b.pth", prefix="c."))
    for value in ("'d.pth'", "None", "'d' + '.pth'"):
        cfg = load_config(write("last.py", f"_base_ = 'more.py'\nload_from = {value}\n"))
        assert cfg.load_from == eval(value) and "load_from_parts" not in cfg
    assert load_config(write_config(load_config(more), Path("run"))).load_from == load_config(more).load_from


def test_a_start_in_parts_beside_a_base_of_another_folder(write, tmp_path):
    for folder in ("bases", "own"):
        (tmp_path / folder).mkdir()
    write("bases/plain.py", "load_from = 'a.pth'\n")
    path = write("own/parts.py", "_base_ = ['../bases/plain.py']\nload_from = dict(decoder='b.pth')\n")
    assert load_config(path).load_from == dict(decoder="b.pth")
