"""Registries: names resolve without imports, wrong ones come with a hint, plugins load."""

import importlib
import importlib.metadata
import sys
import textwrap

import pytest
from mmengine.registry import HOOKS as ROOT_HOOKS
from mmengine.registry import Registry
from torch import nn

from pitikit import registry
from pitikit.registry import find_class, load_plugins, registered


@pytest.fixture
def toys():
    """A registry with two classes of its own."""
    made = registry.make_registry("toy")

    @made.register_module()
    class Square:
        def __init__(self, side, colour="red"):
            self.side, self.colour = side, colour

    @made.register_module()
    class Circle:
        pass

    return made


def test_build_passes_arguments_and_finished_objects(toys):
    square = toys.build(dict(type="Square", side=3))
    assert (square.side, square.colour) == (3, "red")
    assert toys.build(square) is square
    assert toys.build(dict(type="Square"), default_args=dict(side=4)).side == 4


@pytest.mark.parametrize(
    ("config", "error", "words"),
    [
        (dict(type="Sqare", side=1), KeyError, ["'Sqare'", "'toy'", "'Square'"]),
        (dict(type="Square", side=1, color="b"), TypeError, ["'color'", "'colour'", "Square"]),
        (dict(side=1), KeyError, ["'type'", "side"]),
        (dict(type="Square"), TypeError, ["Square: got no 'side', expected a value; set it beside 'type'"]),
        (dict(type="random"), KeyError, ["'random'", "Circle"]),
    ],
)
def test_a_wrong_config_is_explained(toys, config, error, words):
    with pytest.raises(error) as caught:
        toys.build(config)
    assert all(word in str(caught.value) for word in words), caught.value


def test_children_find_the_names_of_mmengine():
    assert find_class("IterTimerHook", registry.HOOKS) is ROOT_HOOKS.get("IterTimerHook")
    assert find_class("torch.nn.Linear", registry.MODELS) is nn.Linear
    with pytest.raises(KeyError, match="LoggerHook"):
        find_class("LogerHook", registry.HOOKS)


def test_own_names_hide_those_of_the_parent():
    parent = Registry("toy", scope="other")
    child = registry.make_child(parent)
    parent.register_module(name="Both", module=int)
    parent.register_module(name="Parents", module=str)
    child.register_module(name="Both", module=float)
    assert registered(child) == {"Both": float, "Parents": str}
    assert registered(parent) == {"Both": int, "Parents": str}


def test_a_wrong_value_stops_a_build():
    with pytest.raises(TypeError, match=r"^CFG\.scale: found 'abc', a str; expected float$"):
        registry.GUIDANCES.build(dict(type="CFG", scale="abc"))


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
        del registry.GUIDANCES.module_dict[name]


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


def test_a_name_of_ours_is_taken_before_it_is_needed(tmp_path, python):
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
    done = python("-c", script)
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


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('PITIKIT_API = "2.0"', "got '2.0', expected {ours}.*; update pitikit, or take an older"),
        ('PITIKIT_API: str = "1.99"', "got '1.99', expected {ours}.*; update pitikit"),
        ('PITIKIT_API = "0.9"', "got '0.9', expected {ours}.*; update the plugin"),
        ("PITIKIT_API = 1.0", "got 1.0, expected a text of two numbers, such as '{ours}'"),
        ('PITIKIT_API = "1"', "got '1', expected a text of two numbers"),
    ],
)
def test_a_plugin_of_another_version_fails_whatever_its_import_does(tmp_path, line, words):
    # What it imports is not there, and the version stands below.
    folder = write_plugin(tmp_path / "later", f"from pitikit.plugins import Later\n{line}\n")
    words = words.format(ours=registry.PLUGIN_API.replace(".", "[.]"))
    with pytest.raises(ImportError, match=f"^plugin '.*later': PITIKIT_API: {words}"):
        load_plugins([folder])


@pytest.mark.parametrize(
    "line", [f"PITIKIT_API = '{registry.PLUGIN_API}'", "from pitikit.plugins import API_VERSION as PITIKIT_API", ""]
)
def test_a_plugin_of_this_version_or_of_none_is_loaded(tmp_path, line, recwarn):
    load_plugins([write_plugin(tmp_path / "plugin", f"{line}\n")])
    assert not recwarn


def test_a_failed_import_of_a_plugin_without_a_version_is_explained(tmp_path):
    text = "from pitikit.plugins import Later"
    for line, end in (
        ("", "; it has no PITIKIT_API, and may be .* than '.*'$"),
        ('PITIKIT_API = "1.0"\n', r"line 2\)$"),
    ):
        folder = write_plugin(tmp_path / f"p{len(line)}", line + text)
        with pytest.raises(ImportError, match=f"failed to import: cannot import name 'Later'.*{end}"):
            load_plugins([folder])


@pytest.mark.parametrize("value", ["outside", "outside.plugin", "outside.plugin.part"])
@pytest.mark.parametrize("place", ["__init__.py", "plugin/__init__.py"])
def test_the_version_of_an_installed_plugin(tmp_path, monkeypatch, value, place):
    broken = "from pitikit.plugins import Later\n"
    inner = tmp_path / "outside" / "plugin"
    inner.mkdir(parents=True)
    for file in (inner / "part.py", inner / "__init__.py", inner.parent / "__init__.py"):
        file.write_text(broken)
    (tmp_path / "outside" / place).write_text(broken + 'PITIKIT_API = "7.0"')
    monkeypatch.syspath_prepend(tmp_path)
    point = importlib.metadata.EntryPoint("odd", value, registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    # What is below is imported after its package, which has no version then and fails in its own words.
    known = value != "outside" or place == "__init__.py"
    with pytest.raises(ImportError, match="plugin 'odd' .*PITIKIT_API: got '7.0'" if known else "Later"):
        load_plugins()
    assert "outside" not in sys.modules


def test_a_name_of_another_plugin_is_found_in_its_file(tmp_path, guidances):
    for name in ("first", "second"):
        write_plugin(tmp_path / name, PLUGIN.format(name="ToyGuidance"))
        (tmp_path / name / "more.py").write_text("scale = 7\n")
    load_plugins([tmp_path / "first"])
    words = f"ToyGuidance is already registered in guidance at {tmp_path}/first/__init__.py; choose another name"
    with pytest.raises(ImportError, match=f"second' failed to import: {words} .*second/__init__.py, line 5"):
        load_plugins([tmp_path / "second"])


def test_a_folder_stands_in_for_the_package_of_its_name(tmp_path, guidances, monkeypatch):
    # Sources that are worked on, and a copy of them that was installed.
    folders = [write_plugin(tmp_path / place / "toy_twin", PLUGIN.format(name="ToyTwin")) for place in ("src", "site")]
    for folder in folders:
        (folder / "more.py").write_text("scale = 7\n")
    monkeypatch.syspath_prepend(tmp_path / "site")
    point = importlib.metadata.EntryPoint("toy", "toy_twin", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    loaded = load_plugins([folders[0]])
    assert len(loaded) == 1 and loaded == load_plugins() and "toy_twin" not in sys.modules
    assert guidances.get("ToyTwin").__module__ == loaded[0]


def test_a_file_that_is_imported_twice_registers_once(tmp_path, guidances, monkeypatch):
    # pytest imports the package that a test lies in, and a notebook what it has in its folder.
    folder = write_plugin(tmp_path / "toy_again", PLUGIN.format(name="ToyAgain"))
    (folder / "more.py").write_text("scale = 7\n")
    load_plugins([folder])
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("toy_again")
    assert guidances.get("ToyAgain").__module__ == "toy_again"
    # A second class of the name in one file is another one.
    twice = write_plugin(tmp_path / "twice", 2 * PLUGIN.format(name="ToyTwice"))
    (twice / "more.py").write_text("scale = 7\n")
    with pytest.raises(ImportError, match="ToyTwice is already registered"):
        load_plugins([twice])
    assert "ToyTwice" not in guidances.module_dict
    for name in ("toy_again", "toy_again.more"):
        sys.modules.pop(name)


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


def test_every_registered_name_is_found_without_an_import(python):
    result = python("-c", SCRIPT)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "", f"no `locations` of its registry leads to: {result.stdout}"
