"""Flags of tools/train.py in a config; the training itself is tested in tests/engine."""

import runpy
import sys

import pytest
import torch

from pitikit.config import load_config
from pitikit.engine.distributed.groups import LAUNCHERS
from pitikit.kernels.processor import has_matrix_units
from pitikit.registry import MODELS
from pitikit.weights import save_checkpoint_file


@pytest.fixture
def asked(repo, tiny_training, tmp_path, monkeypatch):
    """``asked(*flags)``: the config that a runner would be built from."""
    main = runpy.run_path(str(repo / "tools" / "train.py"))["main"]
    seen = []

    class Runner:
        @classmethod
        def from_cfg(cls, cfg):
            seen.append(cfg)
            return cls()

        def train(self):
            pass

    monkeypatch.setitem(main.__globals__, "RUNNERS", {"TranslationRunner": Runner})

    def call(*flags, config=tiny_training):
        monkeypatch.setattr(sys, "argv", ["train.py", config, "--work-dir", str(tmp_path), *flags])
        main()
        return seen[-1]

    return call


@pytest.fixture
def tiny_training(repo):
    return str(repo / "tests" / "configs" / "tiny_training.py")


def test_launcher(asked, monkeypatch):
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    assert asked().launcher == "none"
    assert [asked("--launcher", name).launcher for name in LAUNCHERS] == ["none", "none", "pytorch", "slurm"]
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.setenv(name, "1")
    assert asked().launcher == "pytorch"
    with pytest.raises(SystemExit):
        asked("--launcher", "mpi")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RuntimeError, match="got 2 processes of torchrun, expected one"):
        asked("--launcher", "none")


def test_a_second_value_is_refused(asked):
    for flags, option in (
        ((), "launcher=slurm"),
        ((), "work_dir=other"),
        (("--amp",), "optim_wrapper.precision=float16"),
    ):
        with pytest.raises(
            ValueError, match=rf"got {option.partition('=')[0]}=.* in the options .* expected one of two"
        ):
            asked(*flags, "--cfg-options", option)


def test_amp(asked):
    assert "precision" not in asked().optim_wrapper
    for flags, precision in ((["--amp"], "bfloat16"), (["--amp", "bf16"], "bfloat16"), (["--amp", "fp16"], "float16")):
        wrapper = asked(*flags).optim_wrapper
        assert (wrapper.type, wrapper.precision) == ("AutocastOptimWrapper", precision)


@pytest.mark.parametrize("units", [False, True])
def test_amp_where_bfloat16_is_slow(units, asked, monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": units}, raising=False)
    has_matrix_units.cache_clear()
    try:
        asked("--amp")
    finally:
        has_matrix_units.cache_clear()
    assert ("AMX" in capsys.readouterr().err) is not units


def test_amp_of_two_optimizers(asked, repo):
    config = str(repo / "tests" / "configs" / "tiny_upsampler.py")
    assert "precision" not in asked(config=config).optim_wrapper.denoiser
    wrapper = asked("--amp", config=config).optim_wrapper
    assert wrapper.constructor == "SeparateConstructor" and "precision" not in wrapper
    assert [wrapper[name].precision for name in ("denoiser", "discriminator")] == ["bfloat16"] * 2


def test_resume_begins_anew_where_there_is_nothing(asked, tmp_path):
    assert not asked("--resume").resume
    (tmp_path / "iter_3.pth").touch()
    found = asked("--resume", "--cfg-options", "load_from=weights/some.safetensors")
    assert found.resume and found.load_from is None


def test_training_and_test_from_any_folder(repo, tiny_training, tmp_path, run_tool, monkeypatch):
    """A config in a folder of a hard name, its prior beside it: trained, resumed and tested from other folders."""
    monkeypatch.setenv("PITIKIT_DATA", "C:\\new\\it's {id} %s")
    home, here, there = tmp_path / 'it\'s {a} "%s" \\n', tmp_path / "here", tmp_path / "there"
    for folder in (home, here, there):
        folder.mkdir()
    text = f"_base_ = {tiny_training!r}\nload_from = 'prior.pth'\nwork_dir = '{{{{ fileDirname }}}}/run'\n"
    (home / "my.py").write_text(text + "summary = '{{$PITIKIT_DATA:data}}/a'\nload = [dict(type='Nowhere')]\n")
    model = MODELS.build(load_config(tiny_training).model)
    save_checkpoint_file(
        home / "prior.pth", {"state_dict": {f"module.{k}": v for k, v in model.denoiser.state_dict().items()}}
    )
    options = ["--cfg-options", "train_cfg.max_iters=2"]
    done = run_tool("train", home / "my.py", *options, cwd=here)
    assert done.returncode == 0, done.stderr
    written = load_config(home / "run" / "my.py")
    assert written.summary == "C:\\new\\it's {id} %s/a" and written.load_from == str(home / "prior.pth")
    done = run_tool("train", home / "run" / "my.py", "--resume", "--cfg-options", "train_cfg.max_iters=4", cwd=there)
    assert done.returncode == 0 and (home / "run" / "iter_4.pth").is_file(), done.stderr
    # Weights beside the config that is given.
    done = run_tool("test", home / "run" / "my.py", "ema.safetensors", "--count", "1", "--out", "t", cwd=there)
    assert done.returncode == 0 and len(list((there / "t" / "images").iterdir())) == 1, done.stderr
    assert not list(here.iterdir())
