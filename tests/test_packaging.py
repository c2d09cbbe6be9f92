"""The wheel: everything is in it, and it works where there is no clone."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from configparser import ConfigParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import pitikit

PARTS = ["pitikit", "configs", "tools", "setup.cfg", "pyproject.toml", "README.md", "LICENSE"]


def run(*command, **options):
    """Run a program; its output, or a failure that shows it."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(kind, source, folder):
    """Build an sdist or a wheel of ``source`` with what is installed; its path."""
    program = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(folder)!r}))"
    return folder / run(sys.executable, "-c", program, cwd=source).splitlines()[-1]


@pytest.fixture(scope="module")
def installed(repo, tmp_path_factory):
    """A folder with pitikit installed out of a wheel, which was built out of an sdist, as the index has them."""
    folder = tmp_path_factory.mktemp("wheel")
    source, site = folder / "source", folder / "site"
    source.mkdir()
    # A copy without what the clone has built: an old list of sources there would hide one that is missing here.
    for name in PARTS:
        copy = shutil.copytree if (repo / name).is_dir() else shutil.copy
        copy(repo / name, source / name)
    (source / "weights").mkdir()
    for path in (repo / "weights").glob("scenes_*.safetensors"):
        shutil.copy(path, source / "weights")
    (source / "weights" / "glide_base.safetensors").write_text("a user's own, which does not ship")
    with tarfile.open(build("sdist", source, folder)) as file:
        file.extractall(folder / "unpacked", filter="data")
    wheel = build("wheel", next((folder / "unpacked").iterdir()), folder)
    options = ["--quiet", "--no-deps", "--no-index", "--no-compile", "--target", site]
    run(sys.executable, "-m", "pip", "install", *options, wheel)
    return site


def test_a_script_beside_the_clone_imports_the_package(repo, tmp_path):
    # The clone, an editable installation of it, and a script that lie in one folder.
    clone = tmp_path / "pitikit"
    clone.mkdir()
    for name in PARTS:
        copy = shutil.copytree if (repo / name).is_dir() else shutil.copy
        copy(repo / name, clone / name)
    (clone / "weights").mkdir()
    with zipfile.ZipFile(build("editable", clone, tmp_path)) as file:
        file.extractall(tmp_path / "site")
    (tmp_path / "script.py").write_text("import pitikit; print(pitikit.__version__)", encoding="utf-8")
    start = f"import runpy, site, sys; site.addsitedir({str(tmp_path / 'site')!r}); runpy.run_path('script.py')"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    # -S: without what is installed in the environment of this test.
    shown = run(sys.executable, "-S", "-c", start, cwd=tmp_path, env=environment)
    assert shown == f"{pitikit.__version__}\n"


@pytest.fixture
def pitikit_in(installed, python, tmp_path):
    """Calls the installed command in an empty folder."""

    def call(*words):
        command = installed / "bin" / "pitikit"
        done = python(command, *words, cwd=tmp_path, environment={"PYTHONPATH": str(installed)})
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return call


def files_of(folder, *suffixes):
    """Paths below ``folder``, relative to it."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.suffix in suffixes}


def test_every_package_is_listed(repo):
    config = ConfigParser()
    config.read(repo / "setup.cfg")
    listed = config["options"]["packages"].split()
    ours = {".".join(path.parent.relative_to(repo).parts) for path in (repo / "pitikit").rglob("*.py")}
    assert {name for name in listed if ".shipped" not in name} == ours, "setup.cfg: packages"
    assert config["metadata"]["version"] == "attr: pitikit.__version__"


def test_the_wheel_holds_code_configs_inputs_weights_and_tools(installed, repo):
    package = installed / "pitikit"
    code = {name for name in files_of(package, ".py") if not name.startswith("shipped/")}
    assert code == files_of(repo / "pitikit", ".py")
    kinds = (".py", ".png", ".tif")
    assert files_of(package / "shipped" / "configs", *kinds) == files_of(repo / "configs", *kinds)
    tools = {path.name for path in (repo / "tools").glob("*.py")}
    assert files_of(package / "shipped" / "tools", ".py") == tools
    weights = {path.name for path in (repo / "weights").glob("scenes_*.safetensors")}
    assert files_of(package / "shipped" / "weights", ".safetensors") == weights
    assert sorted(path.name for path in installed.iterdir() if path.suffix != ".dist-info") == ["bin", "pitikit"]
    assert (installed / f"pitikit-{pitikit.__version__}.dist-info").is_dir()


def test_the_command_without_a_clone(pitikit_in, tmp_path, installed):
    assert "translate" in pitikit_in("--help")
    assert pitikit_in("--version") == f"pitikit {pitikit.__version__}\n"
    own = tmp_path / "my.py"
    own.write_text(
        "_base_ = ['configs/scenes/piti_small_mask.py']\nmodel = dict(sampler=dict(steps=2))\n", encoding="utf-8"
    )
    shipped = ["weights/scenes_mask.safetensors", "configs/scenes/inputs/mask/scene_2000008.png"]
    said = pitikit_in("translate", own.name, *shipped, "--out", "made", "--device", "cpu")
    assert said.splitlines()[0] == str(Path("made", "scene_2000008.png")) and "2 steps, 1 image" in said
    assert np.asarray(Image.open(tmp_path / "made" / "scene_2000008.png")).shape == (64, 64, 3)
    # Outputs go to the working directory alone.
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made", "my.py"]
    assert not list(installed.rglob("made"))


def test_a_new_plugin_without_a_clone(pitikit_in, tmp_path):
    files = pitikit_in("new-plugin", "haze", "--kind", "modality", "--package").splitlines()
    assert Path("plugins", "haze", "__init__.py").as_posix() in files and (tmp_path / "plugins" / "haze").is_dir()
    assert "plugin plugins/haze (plugins/haze/__init__.py:" in pitikit_in(
        "list", "LoadHaze", "--plugins", "plugins/haze"
    )
    shown = pitikit_in("doctor", "--only", "weights", "plugins", "--plugins", "plugins/haze")
    assert "TRANSFORMS LoadHaze" in shown and "0 faults" in shown


@pytest.mark.slow
def test_training_and_test_without_a_clone(pitikit_in, tmp_path):
    stages = "stages = [dict(name='encoder', train=['encoder'], lr=1e-3)]\n"
    loader = "train_dataloader = dict(num_workers=0, batch_size=1, dataset=dict(length=2))\n"
    hooks = "custom_hooks = [dict(type='DenoiserEMA', decay=0.9)]\ntest_evaluator = [dict(type='PSNR')]\n"
    (tmp_path / "my.py").write_text(
        f"_base_ = ['pitikit::configs/scenes/piti_small_mask.py']\n{stages}{loader}{hooks}", encoding="utf-8"
    )
    pitikit_in("train", "my.py", "--cfg-options", "train_cfg.max_iters=1")
    fast = ["--count", "1", "--cfg-options", "model.sampler.steps=1"]
    assert "PSNR" in pitikit_in("test", "work_dirs/my/my.py", "ema.safetensors", *fast)
    assert "1 images made" in pitikit_in("test", "scenes_mask", "--out", "shipped", *fast)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_demonstration_without_a_clone(pitikit_in, tmp_path):
    said = pitikit_in("demo")
    assert {"mask", "sketch", "geometry"} <= {line.split()[0] for line in said.splitlines() if line}
    assert (tmp_path / "demo_out" / "panel.png").is_file() and (tmp_path / "demo_out" / "panel_256.png").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["demo_out"]
