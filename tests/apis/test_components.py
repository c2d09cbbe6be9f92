"""Registries and their components as tools/list.py shows them."""

import importlib.metadata
import sys

import pytest

from pitikit import registry
from pitikit.apis import components
from pitikit.apis.components import (
    PLACES,
    Component,
    checked_registry,
    components_of,
    describe,
    find_components,
    find_registry,
    names,
    origin,
    overview,
    registry_names,
    summary,
)
from pitikit.registry import ALL_REGISTRIES, SAMPLERS, load_plugins


def test_every_registry_has_a_name_and_a_place():
    assert len(registry_names()) == len(ALL_REGISTRIES) and set(PLACES) == set(registry_names())
    lines = overview().splitlines()
    assert len(lines) == len(ALL_REGISTRIES) + 1
    assert lines[0].split()[:4] == ["registry", "pitikit", "plugins", "others"]
    row = next(line for line in lines if line.startswith("SAMPLERS"))
    assert int(row.split()[1]) >= 6 and row.endswith("model.sampler")


@pytest.mark.parametrize("word", ["SAMPLERS", "samplers", "Sampler"])
def test_a_registry_goes_by_several_names(word):
    assert find_registry(word) == "SAMPLERS"


@pytest.mark.parametrize(
    ("word", "expected"),
    [("loss", "LOSSES"), ("data-samplers", "DATA_SAMPLERS"), ("param_scheduler", "PARAM_SCHEDULERS"), ("x", None)],
)
def test_other_names_of_registries(word, expected):
    assert find_registry(word) == expected
    for name, each in registry_names().items():
        assert find_registry(name) == find_registry(name.lower()) == find_registry(each.name) == name


def test_the_names_of_one_registry():
    lines = names("SAMPLERS").splitlines()
    assert lines[0].split() == ["name", "from", "component"]
    row = next(line for line in lines if line.startswith("DDIMSampler"))
    # The point of "et al." ends no sentence.
    assert row.split()[1] == "pitikit" and "Song et al. 2" in row
    # Ours come first, then those of mmengine.
    sources = [line.split()[1] for line in names("HOOKS").splitlines()[1:]]
    assert sources == sorted(sources, key=lambda each: each != "pitikit") and "mmengine" in sources


def test_one_component_is_described():
    (found,) = find_components(["samplers", "DPMSolverSampler"])
    text = describe(found)
    assert "DPMSolverSampler, of SAMPLERS" in text and "pitikit/diffusion/samplers/solvers.py:" in text
    assert "model.sampler: dict(type='DPMSolverSampler')" in text
    rows = {line.split()[0]: line.split()[1:] for line in text.splitlines() if line}
    # Its own, and those of its base classes, which go through **kwargs.
    assert rows["eta"] == ["float", "0.0"] and rows["guidance"] == ["of", "GUIDANCES", "None"]
    assert rows["steps"][-1] == "20" and "Lu et al. 2022" in text


def test_a_required_argument_stands_in_the_example():
    (found,) = find_components(["ScaleSchedule"])
    assert "dict(type='ScaleSchedule', guidance=...)" in describe(found)
    assert any(line.split()[-1] == "required" for line in describe(found).splitlines() if line)


def test_a_function_and_a_class_in_c_are_described():
    (function,) = find_components(["default_collate"])
    assert "FUNCTIONS" in describe(function) and "mmengine" in describe(function)
    assert "from         builtins" in describe(Component("MODELS", "dict", dict))


def test_a_name_in_several_registries_is_found_in_each(monkeypatch):
    class Shared:
        """A class with two registries."""

    for each in (registry.SAMPLERS, registry.LOSSES):
        monkeypatch.setitem(each.module_dict, "Shared", Shared)
    assert [each.registry for each in find_components(["Shared"])] == ["SAMPLERS", "LOSSES"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["smplers"], "did you mean 'samplers'"),
        (["DDIMSmpler"], "did you mean 'DDIMSampler'"),
        (
            ["samplers", "DDIM"],
            "SAMPLERS: got 'DDIM', expected a name that is registered there; did you mean 'DDIMSampler'",
        ),
        (["smplers", "DDIMSampler"], "got 'smplers', expected a registry; did you mean 'samplers'"),
        (["zzzzzz"], "without a name for the registries"),
    ],
)
def test_a_misspelt_name_has_the_nearest(words, message):
    with pytest.raises(LookupError) as caught:
        find_components(words)
    assert message in str(caught.value)


def test_origins(tmp_path, monkeypatch):
    text = "from pitikit.registry import SAMPLERS\n@SAMPLERS.register_module()\nclass {name}:\n    ...\n"
    before = dict(SAMPLERS.module_dict)
    for name in ("InFolder", "InPackage"):
        (tmp_path / name.lower()).mkdir()
        (tmp_path / name.lower() / "__init__.py").write_text(text.format(name=name))
    monkeypatch.syspath_prepend(tmp_path)
    point = importlib.metadata.EntryPoint("p", "inpackage", registry.ENTRY_POINT_GROUP)
    monkeypatch.setattr(registry, "entry_points", lambda group: [point])
    monkeypatch.chdir(tmp_path)
    load_plugins(["infolder"])
    found = {each.name: origin(each.target) for each in components_of("SAMPLERS")}
    assert found["InFolder"] == "plugin infolder" and found["InPackage"] == "plugin inpackage (installed)"
    assert found["DDIMSampler"] == "pitikit"
    assert {"InFolder", "InPackage"} <= set(names("SAMPLERS").split()) and "(no docstring)" in describe(
        find_components(["InFolder"])[0]
    )
    assert next(line for line in overview().splitlines() if line.startswith("SAMPLERS")).split()[2] == "2"
    sys.modules.pop("inpackage")
    registry.INSTALLED.pop("inpackage")
    for name in set(SAMPLERS.module_dict) - set(before):
        del SAMPLERS.module_dict[name]


def test_the_docstring_of_a_base_class_is_not_that_of_the_component():
    class Base:
        """A base."""

    class Bare(Base):
        pass

    assert summary(Base) == "A base." and summary(Bare) == ""


def test_a_registry_must_exist():
    assert checked_registry("metric") == "METRICS"
    assert components.table([["a", "b"], ["cc", ""]]) == "a   b\ncc"
