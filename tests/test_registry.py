"""Registries: names resolve without imports, wrong ones come with a hint, plugins load."""

import dataclasses
import importlib.metadata
import subprocess
import sys
import textwrap
from typing import NamedTuple, Protocol

import pytest
from mmengine.optim.scheduler import CosineAnnealingLR
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import Registry
from torch import nn

from pitikit import registry
from pitikit.registry import accepted_arguments, find_class, load_plugins, nearest, registered


@pytest.fixture
def toys():
    """A registry with two classes of its own."""
    made = registry._own("toy")

    @made.register_module()
    class Square:
        def __init__(self, side, colour="red"):
            self.side, self.colour = side, colour

    @made.register_module()
    class Circle:
        pass

    return made


def test_nearest_ignores_case_and_lists_what_is_known():
    assert nearest("ddimsampler", ["DDIMSampler", "CFG"]) == "did you mean 'DDIMSampler'?"
    assert nearest("zzz", ["b", "a"]) == "known: a, b"
    assert nearest("zzz", []) == "known: nothing"
    assert nearest("zzz", [f"a{n}" for n in range(30)]).endswith("and 10 more")


def test_build_passes_arguments_and_finished_objects(toys):
    square = toys.build(dict(type="Square", side=3))
    assert (square.side, square.colour) == (3, "red")
    assert toys.build(square) is square


@pytest.mark.parametrize(
    ("config", "error", "words"),
    [
        (dict(type="Sqare", side=1), KeyError, ["'Sqare'", "'toy'", "'Square'"]),
        (dict(type="Square", side=1, color="b"), TypeError, ["'color'", "'colour'", "Square"]),
        (dict(side=1), KeyError, ["'type'", "side"]),
        (dict(type="random"), KeyError, ["'random'", "Circle"]),
    ],
)
def test_a_wrong_config_is_explained(toys, config, error, words):
    with pytest.raises(error) as caught:
        toys.build(config)
    assert all(word in str(caught.value) for word in words), caught.value


def test_children_find_the_names_of_mmengine():
    assert find_class("LoggerHook", registry.HOOKS) is ROOT_HOOKS.get("LoggerHook")
    assert find_class("torch.nn.Linear", registry.MODELS) is nn.Linear
    with pytest.raises(KeyError, match="LoggerHook"):
        find_class("LogerHook", registry.HOOKS)


def test_own_names_hide_those_of_the_parent():
    parent = Registry("toy", scope="other")
    child = registry._child(parent)
    parent.register_module(name="Both", module=int)
    parent.register_module(name="Parents", module=str)
    child.register_module(name="Both", module=float)
    assert registered(child) == {"Both": float, "Parents": str}
    assert registered(parent) == {"Both": int, "Parents": str}


class Base:
    def __init__(self, a, b=1):
        pass


class Forwards(Base):
    def __init__(self, c, **kwargs):
        super().__init__(**kwargs)


class Reads:
    def __init__(self, a, **kwargs):
        pass


class Part(nn.Module):
    def __init__(self, width, *, depth=1):
        super().__init__()


class Bare(nn.Module):
    pass


class Named(Protocol):
    def wrap(self, x): ...


class Follows(Named):
    def __init__(self, scale):
        pass


@dataclasses.dataclass
class Record:
    x: int
    y: int = dataclasses.field(default=0, init=False)


class Pair(NamedTuple):
    left: int
    right: int


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (Base, {"a", "b"}),
        (Forwards, {"a", "b", "c"}),
        (Reads, None),
        (Part, {"width", "depth"}),
        (Bare, set()),
        (Follows, {"scale"}),
        (Record, {"x"}),
        (Pair, {"left", "right"}),
        (lambda a, *, b: 0, {"a", "b"}),
        (lambda a, **more: 0, None),
    ],
)
def test_accepted_arguments(target, names):
    assert accepted_arguments(target) == names


def test_accepted_arguments_follow_mixins_to_the_class_that_takes_them():
    assert {"T_max", "by_epoch", "begin"} <= accepted_arguments(CosineAnnealingLR)


def write_plugin(folder, body):
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(textwrap.dedent(body))
    return folder


@pytest.fixture
def guidances(monkeypatch):
    """Leaves the registry of guidances as it was."""
    before = dict(registry.GUIDANCES.module_dict)
    yield registry.GUIDANCES
    for name in set(registry.GUIDANCES.module_dict) - set(before):
        del registry.GUIDANCES._module_dict[name]


PLUGIN = """
    from pitikit.registry import GUIDANCES
    from .more import scale

    @GUIDANCES.register_module()
    class {name}:
        needs_null = False
        scale = scale
"""


def test_a_plugin_folder_registers_its_parts_once(tmp_path, guidances):
    folder = write_plugin(tmp_path / "plugins" / "toy", PLUGIN.format(name="ToyGuidance"))
    (folder / "more.py").write_text("scale = 7\n")
    first = load_plugins(["plugins/toy"], root=tmp_path)
    assert guidances.build(dict(type="ToyGuidance")).scale == 7
    assert load_plugins([folder]) == first


def test_plugins_of_one_name_in_two_folders_both_load(tmp_path, guidances):
    for parent in ("a", "b"):
        folder = write_plugin(tmp_path / parent / "toy", PLUGIN.format(name=f"Toy{parent}"))
        (folder / "more.py").write_text(f"scale = {ord(parent)}\n")
    load_plugins([tmp_path / "a" / "toy", tmp_path / "b" / "toy"])
    assert guidances.get("Toya").scale == ord("a")
    assert guidances.get("Toyb").scale == ord("b")


def test_a_missing_or_broken_plugin_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="absent.*__init__"):
        load_plugins(["absent"], root=tmp_path)
    folder = write_plugin(tmp_path / "broken", "from .part import x\n1 / 0\n")
    (folder / "part.py").write_text("x = 1\n")
    for _ in range(2):  # A failed import must not count as loaded.
        with pytest.raises(ImportError, match="broken.*division"):
            load_plugins([folder])
    assert not [name for name in sys.modules if name.startswith("pitikit_plugin_broken")]


def test_entry_points_are_loaded(tmp_path, monkeypatch):
    (tmp_path / "outside_plugin.py").write_text("loaded = True\n")
    monkeypatch.syspath_prepend(tmp_path)
    point = importlib.metadata.EntryPoint("outside", "outside_plugin", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    assert load_plugins() == ["outside_plugin"]
    assert sys.modules.pop("outside_plugin").loaded
    missing = importlib.metadata.EntryPoint("gone", "no_such_module", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [missing])
    with pytest.raises(ImportError, match="'gone'.*no_such_module"):
        load_plugins()


SCRIPT = """
import importlib, pkgutil
from pitikit import registry
found = [set(registry.registered(r)) for r in registry.ALL_REGISTRIES]
import mmengine.runner, mmcv.transforms, pitikit
for module in pkgutil.walk_packages(pitikit.__path__, "pitikit."):
    importlib.import_module(module.name)
for r, before in zip(registry.ALL_REGISTRIES, found):
    ours = {n for n, c in r.module_dict.items() if c.__module__.startswith("pitikit")}
    if ours - before:
        print(r.name, sorted(ours - before))
"""


def test_every_registered_name_is_found_without_an_import(repo):
    result = subprocess.run([sys.executable, "-c", SCRIPT], cwd=repo, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "", f"no `locations` of its registry leads to: {result.stdout}"
