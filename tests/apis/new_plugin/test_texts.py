"""The frame of new plugins, as their files have it."""

import ast
from pathlib import Path

import pytest

from pitikit.apis.new_plugin.write import KINDS, contents
from pitikit.registry import ENTRY_POINT_GROUP, PLUGIN_API


@pytest.fixture(params=KINDS)
def files(request):
    """The files of a plugin of each kind."""
    return contents("colour_hints", request.param, Path("plugins/colour_hints"), package=True)


def test_code_config_and_test_are_python_of_the_usual_width(files):
    names = {"__init__.py", "piti_small_colour_hints.py", "test_colour_hints.py", "README.md", "pyproject.toml"}
    assert set(files) == names
    for name, text in files.items():
        assert "${" not in text and text.endswith("\n")
        if name.endswith(".py"):
            assert ast.get_docstring(ast.parse(text)) and max(map(len, text.splitlines())) <= 120
    assert f'PITIKIT_API = "{PLUGIN_API}"' in files["__init__.py"]


def test_nothing_is_imported_that_is_not_used(files):
    text = files["test_colour_hints.py"]
    for node in ast.walk(ast.parse(text)):
        for alias in getattr(node, "names", []) if isinstance(node, (ast.Import, ast.ImportFrom)) else []:
            name = alias.asname or alias.name
            assert text.count(name) > 1, f"{name} is imported and not used"


def test_the_package_has_its_entry_point(files):
    # Since Python 3.11.
    found = pytest.importorskip("tomllib").loads(files["pyproject.toml"])
    assert found["project"]["entry-points"] == {ENTRY_POINT_GROUP: {"colour_hints": "colour_hints"}}
    assert found["tool"]["setuptools"] == {"packages": ["colour_hints"], "package-dir": {"colour_hints": "."}}


def test_commands_can_be_copied_whatever_the_folder():
    readme = contents("pose", "loss", Path("my plugins/pose"), package=True)["README.md"]
    assert (
        "pip install 'my plugins/pose'\n" in readme and "pitikit train 'my plugins/pose/piti_small_pose.py'" in readme
    )
