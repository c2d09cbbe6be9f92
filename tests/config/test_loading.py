"""Reading a config: the file, its plugins, the options, and what is said of a wrong one."""

import argparse
import textwrap
from pathlib import Path

import pytest

from pitikit.config import ConfigError, add_config_arguments, apply_options, load_config
from pitikit.registry import GUIDANCES
from tests.data.shipped_loaders import assert_loaders_take

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SHIPPED = sorted(CONFIGS.rglob("*.py"))

BASE = """
    title = 'a toy'
    image_size = 64
    block = dict(type='DDPMSampler', steps=[10, 10], guidance=dict(type='CFG', scale=1.3))
    model = dict(
        schedule=dict(type='NoiseSchedule', steps=1000),
        sampler=block,
        losses=[dict(type='EpsMSE', weight=1.0), dict(type='VariationalBound')],
    )
    optim_wrapper = dict(optimizer=dict(type='AdamW', lr=1e-4), clip_grad=None)
    train_dataloader = dict(
        batch_size=2,
        sampler=dict(type='InfiniteSampler', shuffle=True),
        collate_fn=dict(type='default_collate'),
    )
    train_cfg = dict(by_epoch=False, max_iters=10)
    default_hooks = dict(checkpoint=dict(type='CheckpointHook', interval=5, by_epoch=False))
"""


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes a config and returns its path; the working directory is a scratch folder."""
    monkeypatch.chdir(tmp_path)

    def write(text=BASE, name="toy.py"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    return write


def options(*pairs):
    parser = argparse.ArgumentParser()
    add_config_arguments(parser)
    return parser.parse_args(["--cfg-options", *pairs] if pairs else []).cfg_options


def load(write, *pairs):
    return load_config(write(), options(*pairs))


def complaint(write, *pairs):
    with pytest.raises(ConfigError) as caught:
        load(write, *pairs)
    return str(caught.value)


def test_a_plain_config_loads_with_its_defaults(write):
    cfg = load_config(write())
    assert cfg.model.sampler.guidance.scale == 1.3
    assert cfg.work_dir == "work_dirs/toy"
    assert cfg.default_scope == "pitikit"
    assert cfg.filename.endswith("toy.py")


def test_work_dir_overrides(write):
    path = write(BASE + "    work_dir = 'from_file'\n")
    assert load_config(path).work_dir == "from_file"
    assert load_config(path, work_dir="given").work_dir == "given"


@pytest.mark.parametrize(
    ("pair", "place", "value"),
    [
        ("model.sampler.guidance.scale=2", "model.sampler.guidance.scale", 2),
        ("model.losses.1.weight=0.5", "model.losses.1.weight", 0.5),
        ("model.sampler.clip_x0=false", "model.sampler.clip_x0", False),
        ("model.sampler.steps=fast27", "model.sampler.steps", "fast27"),
        ("model.sampler.steps=10,10,3", "model.sampler.steps", [10, 10, 3]),
        ("model.sampler.steps.1=7", "model.sampler.steps", [10, 7]),
        ("optim_wrapper.clip_grad.max_norm=1.0", "optim_wrapper.clip_grad.max_norm", 1.0),
        ("optim_wrapper.accumulative_counts=4", "optim_wrapper.accumulative_counts", 4),
        ("train_dataloader.num_workers=2", "train_dataloader.num_workers", 2),
        ("train_dataloader.sampler.seed=3", "train_dataloader.sampler.seed", 3),
        ("randomness.seed=5", "randomness.seed", 5),
        ("train_cfg.val_interval=3", "train_cfg.val_interval", 3),
        ("default_hooks.checkpoint.max_keep_ckpts=2", "default_hooks.checkpoint.max_keep_ckpts", 2),
        ("load_from=a.safetensors", "load_from", "a.safetensors"),
        ("model.sampler.guidance={'type':'CFG','scale':2}", "model.sampler.guidance.scale", 2),
        ("model.sampler.guidance=dict(type='CFG', scale=2)", "model.sampler.guidance.scale", 2),
        ("model.sampler.guidance={'scale':4}", "model.sampler.guidance.scale", 4),
        ("model.sampler.guidance=None", "model.sampler.guidance", None),
    ],
)
def test_options_reach_their_place(write, pair, place, value):
    node = load(write, pair)
    for part in place.split("."):
        node = node[int(part) if part.isdigit() else part]
    assert node == value and type(node) is type(value)


def test_a_dict_with_a_type_replaces_and_one_without_changes(write):
    cfg = load(write, "model.sampler=dict(type='DDIMSampler', steps=5)")
    assert dict(cfg.model.sampler) == dict(type="DDIMSampler", steps=5)
    cfg = load(write, "model.sampler=dict(steps=5)")
    assert cfg.model.sampler.type == "DDPMSampler" and cfg.model.sampler.guidance.scale == 1.3


def test_delete_replaces_a_dict_without_a_type(write):
    cfg = load(write, "train_cfg=dict(_delete_=True, type='IterBasedTrainLoop', max_iters=3)")
    assert dict(cfg.train_cfg) == dict(type="IterBasedTrainLoop", max_iters=3)


def test_a_group_in_a_list_may_get_what_its_neighbours_have():
    tree = dict(custom_hooks=[dict(type="StageHook", stages=[dict(name="a", lr=1), dict()])])
    result = apply_options(tree, {"custom_hooks.0.stages.1.lr": 2})
    assert result["custom_hooks"][0]["stages"][1] == dict(lr=2)
    with pytest.raises(ConfigError, match="custom_hooks.0.stages.1.rl: unknown key"):
        apply_options(tree, {"custom_hooks.0.stages.1.rl": 2})


@pytest.mark.parametrize("swap", [False, True])
def test_a_type_and_the_arguments_of_the_new_one_in_any_order(write, swap):
    pairs = ["model.sampler.type=DDIMSampler", "model.sampler.eta=0.5"]
    cfg = load(write, *(reversed(pairs) if swap else pairs))
    assert (cfg.model.sampler.type, cfg.model.sampler.eta) == ("DDIMSampler", 0.5)
    assert cfg.model.sampler.steps == [10, 10]


def test_arguments_that_a_new_type_does_not_take_are_reported(write):
    text = complaint(write, "model.sampler.guidance.type=DynamicThreshold")
    assert "model.sampler.guidance.scale: DynamicThreshold takes no argument 'scale'" in text
    assert "gives to 'CFG'" in text and 'model.sampler.guidance="dict(type=' in text


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("modle.sampler.steps=5", ["modle", "'model'"]),
        ("model.sampelr.steps=5", ["model.sampelr", "'sampler'", "DenoisingTranslator"]),
        ("model.sampler.stesp=5", ["model.sampler.stesp", "DDPMSampler", "'steps'"]),
        ("model.sampler.type=DDIMSampelr", ["model.sampler.type", "'DDIMSampler'"]),
        ("model.sampler={'type':'DDIMSampler','stesp':5}", ["model.sampler.stesp", "'steps'"]),
        ("model.sampler={'stesp':5}", ["model.sampler.stesp", "'steps'"]),
        ("model.sampler.guidance.type=AdamW", ["model.sampler.guidance.type", "optimizer"]),
        ("model.losses.2.weight=1", ["model.losses", "list of 2", "'2'"]),
        ("model.losses.first.weight=1", ["model.losses", "'first'"]),
        ("model.sampler.steps.0.x=1", ["model.sampler.steps.0", "'x'"]),
        ("train_dataloader.batchsize=1", ["train_dataloader.batchsize", "'batch_size'"]),
        ("train_cfg.max_iter=1", ["train_cfg.max_iter", "'max_iters'"]),
        ("randomness.sed=1", ["randomness.sed", "'seed'"]),
        ("optim_wrapper.optimizer.rl=1", ["optim_wrapper.optimizer.rl", "AdamW"]),
        ("optim_wrapper.acumulative_counts=1", ["OptimWrapper", "'accumulative_counts'"]),
        ("default_hooks.chekpoint.interval=1", ["default_hooks.chekpoint", "'checkpoint'"]),
        ("default_hooks.checkpoint.intervall=1", ["CheckpointHook", "'interval'"]),
        ("default_hooks.logger.interval=1", ["default_hooks.logger", "with its type"]),
        ("model.timestep_sampler.history=1", ["model.timestep_sampler", "with its type"]),
        ("load_form=x", ["load_form", "'load_from'"]),
    ],
)
def test_a_wrong_option_is_named_with_its_place_and_the_nearest_names(write, pair, words):
    if pair.startswith(("model.sampelr", "model.timestep")):
        path = write(BASE.replace("model = dict(", "model = dict(type='DenoisingTranslator',"))
        with pytest.raises(ConfigError) as caught:
            load_config(path, options(pair))
        text = str(caught.value)
    else:
        text = complaint(write, pair)
    assert all(word in text for word in words), text


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(CONFIGS)))
def test_every_shipped_config_passes_and_its_loaders_take_no_workers(path):
    cfg = load_config(path)
    if "_base_" not in path.relative_to(CONFIGS).parts:
        assert_loaders_take(cfg, workers=0)


def test_options_leave_the_given_tree_alone():
    tree = dict(model=dict(steps=[1, 2], deep=(dict(a=1), 2)))
    result = apply_options(tree, {"model.steps.0": 5, "model.deep.0.a": 7})
    assert result["model"] == dict(steps=[5, 2], deep=(dict(a=7), 2))
    assert tree["model"] == dict(steps=[1, 2], deep=(dict(a=1), 2))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("1e-4", 1e-4),
        ("true", True),
        ("None", None),
        ("'3'", "3"),
        ("a red house", "a red house"),
        ("a=b", "a=b"),
        ("1,2", [1, 2]),
        ("(1,2)", (1, 2)),
        ("[a,b]", ["a", "b"]),
        ("data/x-1.png", "data/x-1.png"),
        ("dict(a=[dict(b=1)], c='x')", dict(a=[dict(b=1)], c="x")),
        ("open('x')", "open('x')"),
        ("-5", -5),
    ],
)
def test_values_of_options(text, value):
    parsed = options(f"k={text}")["k"]
    assert parsed == value and type(parsed) is type(value)


def test_an_option_without_a_value_ends_the_tool(capsys):
    assert options() == {}
    with pytest.raises(SystemExit):
        options("model.sampler.steps")
    assert "expected KEY=VALUE, got 'model.sampler.steps'" in capsys.readouterr().err


def test_a_variable_of_the_file_has_no_effect_and_says_so(write):
    with pytest.warns(UserWarning, match="image_size.*variable of the config file"):
        assert load(write, "image_size=128").image_size == 128


def test_a_name_one_letter_off_a_runner_key_is_warned_of(write):
    path = write(BASE.replace("train_dataloader", "train_dataloder"))
    with pytest.warns(UserWarning, match="'train_dataloder'.*'train_dataloader'"):
        load_config(path)


def test_files_that_cannot_be_read_are_named(write, tmp_path):
    path = write()
    with pytest.raises(ConfigError, match=r"toyy\.py' does not exist; did you mean 'toy\.py'"):
        load_config(tmp_path / "toyy.py")
    with pytest.raises(ConfigError, match="is a folder"):
        load_config(tmp_path)
    with pytest.raises(ConfigError, match=r"(?s)broken\.py.*line 2"):
        load_config(write("a = 1\nb = = 2\n", "broken.py"))
    with pytest.raises(ConfigError, match=r"child\.py.*base\.py"):
        load_config(write("_base_ = ['absent/base.py']\n", "child.py"))
    with pytest.raises(ConfigError, match=r"uses\.py.*broken\.py.*line 2"):
        load_config(write("_base_ = ['broken.py']\n", "uses.py"))
    write("a = 1\nb = nowhere\n", "name.py")
    with pytest.raises(ConfigError, match=r"uses\.py.*name\.py.*line 2.*NameError.*nowhere"):
        load_config(write("_base_ = 'name.py'\n", "uses.py"))
    with pytest.raises(ConfigError, match=r"lazy style"):
        load_config(
            write(
                "from mmengine.config import read_base\nwith read_base():\n    from .toy import *\n",
                "lazy.py",
            )
        )
    assert load_config(path).title == "a toy"


def test_a_child_config_changes_its_base(write):
    write()
    path = write("_base_ = ['toy.py']\nmodel = dict(sampler=dict(steps=5))\n", "child.py")
    assert load_config(path).model.sampler.steps == 5
    path = write("_base_ = ['toy.py']\nmodel = dict(sampler=dict(step=5))\n", "child.py")
    with pytest.raises(ConfigError, match=r"child\.py: model\.sampler\.step: DDPMSampler"):
        load_config(path)


PLUGIN = """
from pitikit.registry import GUIDANCES

@GUIDANCES.register_module(force=True)
class PluggedGuidance:
    needs_null = False

    def __init__(self, strength=1.0):
        self.strength = strength
"""


@pytest.mark.parametrize("where", ["plugins/toy", "configs/plugins/toy"])
def test_plugins_are_found_from_here_and_from_the_config(write, tmp_path, where):
    write(PLUGIN, f"{where}/__init__.py")
    changed = BASE.replace("type='CFG', scale", "type='PluggedGuidance', strength")
    path = write(changed + "    plugins = ['plugins/toy']\n", "configs/deep/toy.py")
    try:
        cfg = load_config(path)
        assert GUIDANCES.build(cfg.model.sampler.guidance).strength == 1.3
        cfg = load_config(
            write(),
            options(
                "plugins=plugins/toy" if where == "plugins/toy" else "plugins=configs/plugins/toy",
                "model.sampler.guidance=dict(type='PluggedGuidance')",
            ),
        )
        assert cfg.model.sampler.guidance.type == "PluggedGuidance"
    finally:
        GUIDANCES.module_dict.pop("PluggedGuidance", None)


def test_a_missing_plugin_is_named(write):
    with pytest.raises(ConfigError, match="plugins: 'plugins/absent'"):
        load_config(write(), {"plugins": ["plugins/absent"]})


STAGED = BASE.replace("lr=1e-4", "") + "    stages = [dict(name='a', until=5, lr=1e-3), dict(name='b')]\n"


def test_a_learning_rate_that_the_stages_replace_is_told(write):
    assert load_config(write(STAGED)).stages[0].lr == 1e-3
    for option in ("optim_wrapper.optimizer.lr=1e-5", "optim_wrapper.optimizer=dict(type='SGD', lr=0.1)"):
        with pytest.raises(
            ConfigError, match=r"optim_wrapper\.optimizer\.lr=\S+ is without effect.*stages\.0\.lr=0\.001"
        ):
            load_config(write(STAGED), options(option))
    both = STAGED.replace("type='AdamW', ", "type='AdamW', lr=1e-5")
    with pytest.warns(UserWarning, match=r"optimizer\.lr=1e-05 is without effect.*stages\.0\.lr"):
        load_config(write(both))
    # The option changes the stage, as intended.
    with pytest.warns(UserWarning, match="without effect"):
        assert load_config(write(both), options("stages.0.lr=0.1")).stages[0].lr == 0.1


def test_of_two_optimizers_the_denoisers_rate_is_the_stages(repo):
    config = repo / "configs" / "scenes" / "upsampler_small_mask_adversarial.py"
    said = r"optim_wrapper\.denoiser\.optimizer\.lr=0\.5 is without effect.*stages\.0\.lr"
    with pytest.raises(ConfigError, match=said):
        load_config(config, {"optim_wrapper.denoiser.optimizer.lr": 0.5})
    assert load_config(config, {"optim_wrapper.discriminator.optimizer.lr": 0.5})


@pytest.mark.filterwarnings("error")
def test_a_learning_rate_that_counts_is_no_fault(write):
    later = BASE + "    stages = [dict(name='a', until=5), dict(name='b', lr=1e-3)]\n"
    assert load_config(write(later), options("optim_wrapper.optimizer.lr=1e-5")).stages[1].lr == 1e-3
    assert load(write, "optim_wrapper.optimizer.lr=1e-5").optim_wrapper.optimizer.lr == 1e-5


def test_a_file_that_is_no_config_is_named(write, tmp_path):
    (tmp_path / "w.safetensors").write_bytes(bytes(9))
    with pytest.raises(ConfigError, match=r"w\.safetensors': expected a file that ends in \.py"):
        load_config(tmp_path / "w.safetensors")
    (tmp_path / "w.py").write_bytes(b"\x89PNG\xff")
    with pytest.raises(ConfigError, match=r"w\.py': found bytes that are no text"):
        load_config(tmp_path / "w.py")
