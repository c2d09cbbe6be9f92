"""Registries: names resolve without imports, wrong ones come with a hint, plugins load."""

import dataclasses
import importlib.metadata
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Optional, Protocol, Union

import numpy as np
import pytest
import torch
from mmengine.optim.scheduler import CosineAnnealingLR
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import Registry
from torch import nn

from pitikit import registry
from pitikit.arguments import Argument, accepted_arguments, arguments_of, check_arguments, nearest, value_fault
from pitikit.registry import find_class, load_plugins, registered


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


STEPS = int | Sequence[int] | str


@pytest.mark.parametrize(
    ("hint", "fits", "fails"),
    [
        (int, [3, np.int64(3)], [1.5, "3", True, None, [3], {}]),
        (float, [3, 3.5, np.float32(1), np.int16(1)], ["3", False, None, (1.0,)]),
        (bool, [True, 0, 1, np.True_], ["yes", 2, None, 0.5]),
        (str, ["a"], [3, None, ["a"], b"a"]),
        (float | None, [None, 2], ["none"]),
        (Optional[int], [None, 2], ["none"]),  # noqa: UP045
        (Union[int, str], ["a", 2], [None, 2.5]),  # noqa: UP007
        (STEPS, [5, "ddim50", [10, 2], (1, 5)], [1.5, None, [1, "x"], {}]),
        (Sequence[int], [(1, 2), [], range(3), np.arange(3)], [3, "12", ["1"], {"a": 1}, None]),
        (Sequence[str], [["a"], "a"], [[3]]),
        (Sequence[Any], [[1, "a"]], ["EpsMSE", dict(type="EpsMSE")]),
        (list[str], [["a"], ("a",)], ["a"]),
        (tuple[float, float], [(0, 1), [0.5, 1]], [(1, 2, 3), (1, "a"), 2]),
        (tuple[int, ...], [(), (1, 2, 3)], [("a",)]),
        (Mapping[str, str], [{"a": "b"}], [{"a": 3}, [], "a"]),
        (dict, [{}, {"a": 1}], ["a", [1]]),
        (dict[str, Any] | Sequence[dict[str, Any]], [{}, [{}]], ["a", ["a"]]),
        (Literal["l1", "l2"], ["l1"], ["l3", 1]),
        (Path, ["a/b", Path("a")], [3, ["a"]]),
        (str | Path | None, ["a", None], [3]),
        (float | torch.Tensor, [1.0, torch.ones(2)], ["fast"]),
        (torch.dtype, ["float16", torch.float16], []),
        (nn.Module, [dict(type="x"), "x", None, nn.Identity()], []),
        (Callable[[int], int], ["f", 3, abs], []),
        (Any, [1, "a", None], []),
        ("Nowhere", [1, "a"], []),
    ],
)
def test_values_are_judged_by_plain_annotations(hint, fits, fails):
    argument = Argument(hint, None if hint is Any else ..., ours=True)
    assert {repr(value): value_fault(value, argument) for value in fits} == {repr(value): None for value in fits}
    assert all(value_fault(value, argument) for value in fails), [v for v in fails if not value_fault(v, argument)]


def test_of_foreign_classes_only_texts_are_judged():
    argument = Argument(int, ..., ours=False)
    assert value_fault(1.5, argument) is None and value_fault(None, argument) is None
    assert value_fault("x", argument) == "found 'x', a str; expected int"


def test_a_default_may_break_its_own_annotation():
    assert value_fault(None, Argument(int, None, ours=True)) is None


def test_what_was_expected_is_said():
    def fault(value, hint):
        return value_fault(value, Argument(hint, ..., ours=True))

    assert fault("abc", float) == "found 'abc', a str; expected float"
    assert fault(3, Sequence[int] | None) == "found 3, an int; expected Sequence[int] | None"
    assert fault(None, bool) == "found None; expected bool"
    assert fault("l3", Literal["l1", "huber"] | None).endswith("did you mean 'l1'?")
    assert len(fault("x" * 1000, int)) < 120


def test_annotations_of_a_future_import_are_resolved_one_by_one():
    known, _ = arguments_of(torch.utils.data.DataLoader)
    assert value_fault("x", known["batch_size"]) and value_fault("x", known["sampler"]) is None


def test_a_wrong_value_stops_a_build():
    with pytest.raises(TypeError, match=r"^CFG\.scale: found 'abc', a str; expected float$"):
        registry.GUIDANCES.build(dict(type="CFG", scale="abc"))
    with pytest.raises(TypeError, match=r"^stages\[0\]: unknown argument 'z'"):
        check_arguments(Base, dict(z=1), "stages[0]")


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


def test_a_name_of_ours_is_taken_before_it_is_needed(tmp_path):
    script = f"""if 1:
        from pitikit.registry import METRICS, find_class, load_plugins
        assert not METRICS.module_dict
        for _ in range(2):
            try:
                load_plugins([{str(tmp_path / "rival")!r}])
            except ImportError as error:
                print(error)
        print(find_class("PSNR", METRICS).__module__, "RivalMetric" in METRICS.module_dict)
    """
    classes = [f"@METRICS.register_module()\nclass {name}: ...\n" for name in ("RivalMetric", "PSNR")]
    write_plugin(tmp_path / "rival", "from pitikit.registry import METRICS\n" + "".join(classes))
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    first, second, last = done.stdout.splitlines()
    assert "rival' failed to import: PSNR is already registered in metric at pitikit.evaluation.psnr" in first
    assert first == second and first.endswith("__init__.py, line 4)")
    assert last == "pitikit.evaluation.psnr False"


def test_a_failed_plugin_leaves_nothing_registered(tmp_path, guidances):
    body = PLUGIN.format(name="CFG").replace("register_module()", "register_module(force=True)")
    folder = write_plugin(tmp_path / "toy", body + PLUGIN.format(name="ToyGuidance") + "    import toy_is_absent\n")
    (folder / "more.py").write_text("scale = 7\n")
    ours = find_class("CFG", guidances)
    with pytest.raises(ImportError, match=r"toy_is_absent.*toy/__init__.py, line 17\)"):
        load_plugins([folder])
    assert find_class("CFG", guidances) is ours and "ToyGuidance" not in guidances.module_dict
    for text, words in (("import sys\nsys.exit(3)", "it called sys.exit.3. .*more.py, line 2"), ("a b", "line 1")):
        (folder / "more.py").write_text(text)
        with pytest.raises(ImportError, match=f"toy' failed to import: .*{words}"):
            load_plugins([folder])


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
