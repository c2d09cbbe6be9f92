"""Configs that name other configs as the parts of their model."""

import pytest

from pitikit.config import ConfigError, load_config
from pitikit.config.files import resolve_parts

PART = (
    "model = dict(type='{kind}', denoiser=dict(encoder=dict(type='SemanticEncoder'), decoder=dict(type='GlideUNet')))\n"
)
SAMPLER = "model['sampler'] = dict(type='DDPMSampler', steps=30, guidance=dict(type='CFG', scale=1.3))\n"


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes the configs of a cascade and returns the path of it; the working directory is another folder."""
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")

    def write(**parts):
        folder = tmp_path / "configs"
        (folder / "parts").mkdir(parents=True, exist_ok=True)
        (folder / "base.py").write_text(PART.format(kind="DenoisingTranslator") + SAMPLER)
        (folder / "parts" / "up.py").write_text(PART.format(kind="Upsampler") + "_base_ = []\n")
        parts = {"base": "base.py", "upsampler": "parts/up.py", **parts}
        (folder / "cascade.py").write_text(f"model = dict(type='Cascade', **{parts!r})")
        return folder / "cascade.py"

    return write


def test_a_path_stands_for_the_model_of_its_config(write):
    cfg = load_config(write())
    assert cfg.model.base.type == "DenoisingTranslator" and cfg.model.base.sampler.steps == 30
    assert cfg.model.upsampler.type == "Upsampler"
    assert cfg.work_dir == "work_dirs/cascade"


def test_an_absolute_path_and_one_that_climbs(write, tmp_path):
    up = tmp_path / "configs" / "parts" / "up.py"
    assert load_config(write(upsampler=str(up), base="../configs/base.py")).model.upsampler.type == "Upsampler"


def test_options_reach_into_the_parts(write):
    options = {
        "model.base.sampler.steps": 10,
        "model.base.sampler.guidance": dict(type="NormalizedCFG", scale=2.0),
        "model.upsampler.sampler": dict(type="DDIMSampler", steps=5),
        "model.seed": 3,
    }
    model = load_config(write(), options).model
    assert (model.base.sampler.steps, model.base.sampler.guidance.type) == (10, "NormalizedCFG")
    assert (model.upsampler.sampler.type, model.seed) == ("DDIMSampler", 3)


def test_changes_stand_beside_the_path(write):
    base = dict(config="base.py", sampler=dict(steps=5, guidance=dict(_delete_=True, type="DynamicThreshold")))
    sampler = load_config(write(base=base)).model.base.sampler
    assert sampler.steps == 5 and dict(sampler.guidance) == dict(type="DynamicThreshold")
    with pytest.raises(ConfigError, match=r"model.base='base.py': .*type.*dict"):
        load_config(write(base=dict(config="base.py", type=dict(a=1))))


def test_a_part_by_option_is_looked_for_in_the_working_directory_first(write, tmp_path):
    path = write()
    cfg = load_config(path, {"model.base": "base.py", "model.base.sampler.steps": 7})
    assert cfg.model.base.sampler.steps == 7
    mine = tmp_path / "elsewhere" / "base.py"
    mine.write_text((tmp_path / "configs" / "base.py").read_text() + "model['seed'] = 9\n")
    assert load_config(path, {"model.base": "base.py"}).model.base.seed == 9
    assert "seed" not in load_config(path).model.base


def test_plugins_of_a_part_are_imported(write, tmp_path):
    path = write()
    plugin = tmp_path / "configs" / "parts" / "mine"
    plugin.mkdir()
    (plugin / "__init__.py").write_text(
        "from pitikit.diffusion.samplers import DDPMSampler\nfrom pitikit.registry import SAMPLERS\n"
        "@SAMPLERS.register_module(force=True)\nclass SamplerOfAPart(DDPMSampler):\n    pass\n"
    )
    up = tmp_path / "configs" / "parts" / "up.py"
    up.write_text(up.read_text() + "plugins = ['mine']\nmodel['sampler'] = dict(type='SamplerOfAPart', steps=3)\n")
    cfg = load_config(path)
    assert cfg.model.upsampler.sampler.type == "SamplerOfAPart"
    # What a run dumps is found from elsewhere.
    assert cfg.plugins == [str(plugin)]


@pytest.mark.parametrize(
    ("parts", "options", "words"),
    [
        ({"base": "bsae.py"}, {}, r"cascade.py: model.base='bsae.py': config '.*bsae.py' does not exist; did you mean"),
        ({}, {"model.base": "absent.py"}, r"model.base='absent.py': config '.*configs/absent.py' does not exist"),
        ({"base": "empty.py"}, {}, r"model.base='empty.py': config '.*' has no 'model'"),
        ({"base": "broken.py"}, {}, r"model.base='broken.py': config '.*': syntax error"),
        ({}, {"model.base.sampler.stesp": 3}, r"model.base.sampler.stesp: .* did you mean 'steps'"),
        ({}, {"model.bsae.sampler.steps": 3}, r"model.bsae: Cascade takes no argument 'bsae'; did you mean 'base'"),
        ({"base": dict(config="base.py", sampelr=1)}, {}, r"model.base.sampelr: .* did you mean 'sampler'"),
        ({"conditionde": True}, {}, r"model.conditionde: Cascade takes no argument .* 'conditioned'"),
    ],
)
def test_errors(write, parts, options, words):
    path = write(**parts)
    (path.parent / "empty.py").write_text("title = 'nothing'")
    (path.parent / "broken.py").write_text("a = = 1")
    with pytest.raises(ConfigError, match=words):
        load_config(path, options)


def test_other_trees_are_left_alone(tmp_path):
    for tree in ({}, {"model": None}, {"model": {"type": "Any", "base": "no path", "upsampler": {"a": 1}}}):
        given = {"model.base": dict(type="x")}
        assert resolve_parts(tree, tmp_path / "c.py", given) == (tree, {}) and len(given) == 1
