"""The public API of plugins; a plugin in any folder and one that is installed; and the messages of bad ones."""

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mmengine.registry import Registry
from PIL import Image

from pitikit import plugins, registry
from pitikit.registry import TRANSFORMS

HEAT = '''
"""Heat and whether it is known: a modality of two channels."""

PITIKIT_API = "1.0"

import numpy as np

from pitikit.plugins import TRANSFORMS, ConditionLoader, DataError


@TRANSFORMS.register_module()
class LoadHeat(ConditionLoader):
    """Heat from 0 to 1, NaN where it is unknown."""

    source, channels = "heat", 2

    def read(self, path):
        return np.load(path)

    def validate(self, array):
        if array.ndim != 2 or array.dtype.kind != "f":
            raise DataError(f"an array of {array.dtype}", "heat, float (H, W)")
        return array

    def encode(self, array):
        known = np.isfinite(array)
        return np.stack([255 * np.where(known, array, 0).clip(0, 1), 255 * known], axis=2).astype(np.uint8)
'''

CONFIG = """
_base_ = ["{base}"]
plugins = {plugins}
load = [dict(type="LoadImage"), dict(type="LoadHeat"), dict(type="ResizePair", size=32, image_size=16)]
dataset = dict(_delete_=True, type="PairedImageDataset", root="{root}", image="image/{{id}}.png",
               conditions=dict(heat="heat/{{id}}.npy"), pipeline=[*load, dict(type="PackInputs")])
train_dataloader = dict(dataset=dataset)
test_dataloader = dict(dataset=dataset)
train_cfg = dict(max_iters=1)
custom_hooks = [dict(type="DenoiserEMA", decay=0.9)]
# Two runs of one name within a second share their log.
experiment_name = "{name}"
"""


def test_all_of_it_is_there_and_listed():
    public = {name for name, value in vars(plugins).items() if name[0] != "_" and not inspect.ismodule(value)}
    assert public == set(plugins.__all__)


def test_it_has_what_a_plugin_is_made_of():
    assert plugins.API_VERSION == registry.PLUGIN_API
    kinds = {"ConditionLoader", "Encoder", "Decoder", "Guidance", "Sampler", "Loss", "Metric"}
    assert kinds | {"DataError", "ConditionPart", "Conditioning", "Prediction"} <= set(plugins.__all__)
    registries = {name for name, value in vars(plugins).items() if isinstance(value, Registry)}
    assert registries >= {"ENCODERS", "DECODERS", "SAMPLERS", "GUIDANCES", "LOSSES"}
    assert registries >= {"TRANSFORMS", "DATASETS", "METRICS"}


SHIPPED = sorted(path.parent for path in (Path(__file__).parents[1] / "plugins").glob("*/__init__.py"))


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda folder: folder.name)
def test_the_shipped_plugins_import_the_public_api_alone(folder):
    assert f'PITIKIT_API = "{plugins.API_VERSION}"' in (folder / "__init__.py").read_text()
    texts = [path.read_text() for path in folder.rglob("*.py") if not path.name.startswith("test_")]
    imported = {name for text in texts for name in re.findall(r"^ *(?:from|import) (pitikit[.\w]*)", text, re.M)}
    assert imported <= {"pitikit", "pitikit.plugins"}


@pytest.fixture
def project(repo, tmp_path):
    """Makes a folder with pairs, a config and, where there is a source, the folder of its plugin; the config's path."""
    yield lambda source: write_project(repo, tmp_path, source)
    # A plugin of another test has the same names.
    TRANSFORMS.module_dict.pop("LoadHeat", None)
    for name in [name for name in sys.modules if name.startswith("pitikit_plugin_heat_")]:
        del sys.modules[name]


def write_project(repo: Path, folder: Path, source: str | None) -> Path:
    rng = np.random.default_rng(0)
    for name in ("image", "heat"):
        (folder / "pairs" / name).mkdir(parents=True)
    for index in range(3):
        Image.fromarray(rng.integers(0, 255, (32, 32, 3), np.uint8)).save(folder / f"pairs/image/{index}.png")
        np.save(folder / f"pairs/heat/{index}.npy", rng.random((32, 32), np.float32))
    if source is not None:
        (folder / "heat").mkdir()
        (folder / "heat" / "__init__.py").write_text(source)
    base = repo / "tests" / "configs" / "tiny_training.py"
    folders = [] if source is None else ["heat"]
    path = folder / "heat.py"
    path.write_text(CONFIG.format(base=base, plugins=folders, root=folder / "pairs", name=folder.name))
    return path


def test_a_plugin_in_any_folder_serves_every_tool(project, run_tool, tmp_path):
    config = project(HEAT)
    for tool, words in {
        "check_data": ["--split", "train"],
        "train": ["--work-dir", "work"],
        "translate": ["work/ema.safetensors", "pairs/heat", "--out", "made"],
        "test": ["work/ema.safetensors", "--out", "tested", "--cfg-options", "test_evaluator=[dict(type='PSNR')]"],
    }.items():
        done = run_tool(tool, config, *words, cwd=tmp_path)
        assert done.returncode == 0, done.stderr + done.stdout
    assert len(list((tmp_path / "made").rglob("*.png"))) == 3
    # What the run wrote down works as well, without a word about channels in the config.
    assert "in_channels=2" in (tmp_path / "work" / "heat.py").read_text().replace(" ", "")
    done = run_tool("translate", "work/heat.py", "work/ema.safetensors", "pairs/heat/1.npy", "--out", "b", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


STATE = 'source, channels = "heat", 2'
PLACE = "train_dataloader.dataset.pipeline.1: LoadHeat"
BAD = {
    "an import that fails": ("import numpy as np", "import absent", "No module named 'absent'"),
    "a name taken twice": ("class LoadHeat", "class LoadMask", "LoadMask is already registered in transform"),
    "another version": ('"1.0"', '"2.0"', "PITIKIT_API: got '2.0', expected 1.0"),
    "no bytes": (".astype(np.uint8)", "", "LoadHeat.encode gave float64 (32, 32, 2); expected uint8 (32, 32, 2)"),
    "too many channels": ("[255", "[known, 255", "LoadHeat.encode gave uint8 (32, 32, 3); expected uint8 (32, 32, 2)"),
    "the channels first": ("axis=2", "axis=0", "LoadHeat.encode gave uint8 (2, 32, 32)"),
    "another size": ("known = ", "array = array[::2]\n        known = ", "LoadHeat.encode gave uint8 (16, 32, 2)"),
    "an encode that fails": ("known = np", "known = no", "LoadHeat.encode raised NameError: name 'no' is not"),
    "a method that is missing": ("def encode", "def encoded", f"{PLACE} has no encode"),
    "a method without a result": ("        return array\n", "", "LoadHeat.validate gave a NoneType"),
    "no channels": (STATE, 'source = "heat"', f"{PLACE}.channels: got 0, expected 1 or more"),
    "no source": (STATE, "channels = 2", f"{PLACE}.source: got '', expected the name of a member"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_plugin_is_named_with_its_fault(project, run_tool, tmp_path, case):
    old, new, words = BAD[case]
    assert old in HEAT
    done = run_tool("train", project(HEAT.replace(old, new)), "--work-dir", "work", cwd=tmp_path)
    assert done.returncode == 2 and words in done.stderr, done.stderr
    assert "Traceback" not in done.stderr and str(tmp_path) in done.stderr


@pytest.mark.slow
def test_an_installed_plugin(project, tmp_path, repo):
    config, package, site = project(None), tmp_path / "package", tmp_path / "site"
    (package / "heat_of_others").mkdir(parents=True)
    (package / "heat_of_others" / "__init__.py").write_text("")
    (package / "heat_of_others" / "plugin.py").write_text(HEAT)
    (package / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["setuptools>=64"]\nbuild-backend = "setuptools.build_meta"\n'
        '[project]\nname = "heat-of-others"\nversion = "0.1"\n'
        f'[project.entry-points."{registry.ENTRY_POINT_GROUP}"]\nheat = "heat_of_others.plugin"\n'
        '[tool.setuptools]\npackages = ["heat_of_others"]\n'
    )

    def run(*words, **options):
        done = subprocess.run(
            [sys.executable, *map(str, words)], cwd=tmp_path, capture_output=True, text=True, timeout=200, **options
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    offline = ["--quiet", "--disable-pip-version-check", "--no-index", "--no-deps"]
    run("-m", "pip", "wheel", *offline, "--no-build-isolation", "--wheel-dir", "wheels", package)
    run("-m", "pip", "install", *offline, "--target", site, *(tmp_path / "wheels").glob("*.whl"))
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(repo)])}
    run(repo / "tools" / "train.py", config, "--work-dir", "work", env=environment)
    out = ["work/ema.safetensors", "pairs/heat", "--out", "made"]
    run(repo / "tools" / "translate.py", "work/heat.py", *out, env=environment)
    assert len(list((tmp_path / "made").rglob("*.png"))) == 3
