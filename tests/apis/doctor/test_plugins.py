"""Plugins in the report: what each registers, and of a bad one what failed, while the others are still examined."""

import importlib.metadata
import sys

import pytest

from pitikit import registry
from pitikit.apis.doctor.plugins import look
from pitikit.registry import ENTRY_POINT_GROUP, GUIDANCES

GOOD = """
PITIKIT_API = "1.0"
from pitikit.registry import GUIDANCES

@GUIDANCES.register_module()
class {name}:
    needs_null = False
"""


@pytest.fixture
def installed(monkeypatch):
    """Sets the entry points; takes their names out of the registry afterwards."""
    before, points = dict(GUIDANCES.module_dict), []
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    yield points
    for name in set(GUIDANCES.module_dict) - set(before):
        del GUIDANCES.module_dict[name]


def write(folder, text):
    folder.mkdir()
    (folder / "__init__.py").write_text(text)
    return folder


def test_folders_good_and_bad(tmp_path, installed):
    folders = [
        write(tmp_path / "good", GOOD.format(name="GoodGuidance")),
        write(tmp_path / "broken", "import a_package_that_is_absent\n"),
        write(tmp_path / "taken", GOOD.format(name="CFG")),
        write(tmp_path / "idle", 'PITIKIT_API = "1.0"\n'),
        tmp_path / "missing",
    ]
    api, good, broken, taken, idle, missing, nothing = look(folders)
    assert api.facts == {"version": registry.PLUGIN_API}
    assert nothing.status == "ok" and ENTRY_POINT_GROUP in nothing.text
    assert good.status == "ok" and good.text.endswith("for API 1.0: GUIDANCES GoodGuidance")
    assert good.facts["components"] == ["GUIDANCES GoodGuidance"]
    assert broken.status == "fault" and "a_package_that_is_absent" in broken.text and "line 1" in broken.text
    assert taken.status == "fault" and "CFG" in taken.text
    assert idle.status == "note" and "registers nothing" in idle.text
    assert missing.status == "fault" and "__init__.py" in missing.text


def test_a_plugin_for_another_version_is_named_as_such(tmp_path, installed):
    folder = write(tmp_path / "newer", 'PITIKIT_API = "9.0"\nfrom pitikit.plugins import Later\n')
    _, newer, _ = look([folder])
    assert newer.status == "fault" and "PITIKIT_API: got '9.0', expected" in newer.text


def test_a_broken_package_does_not_hide_the_next(tmp_path, monkeypatch, installed):
    write(tmp_path / "bad_package", "1 / 0\n")
    write(tmp_path / "good_package", GOOD.format(name="PackagedGuidance"))
    monkeypatch.syspath_prepend(tmp_path)
    installed += [importlib.metadata.EntryPoint(name, f"{name}_package", ENTRY_POINT_GROUP) for name in ("bad", "good")]
    _, bad, good = look()
    assert (bad.name, bad.status) == ("bad", "fault") and "division by zero" in bad.text
    assert (good.name, good.status) == ("good", "ok") and "GUIDANCES PackagedGuidance" in good.text
    sys.modules.pop("good_package")
    registry.INSTALLED.pop("good_package")


def test_a_folder_stands_in_for_an_installed_copy(tmp_path, monkeypatch, installed):
    (tmp_path / "site").mkdir()
    for place in (tmp_path, tmp_path / "site"):
        write(place / "copied", GOOD.format(name="CopiedGuidance"))
    monkeypatch.syspath_prepend(tmp_path / "site")
    installed.append(importlib.metadata.EntryPoint("copied", "copied", ENTRY_POINT_GROUP))
    _, folder, package = look([tmp_path / "copied"])
    assert (folder.status, package.status) == ("ok", "ok") and "replaced by the folder" in package.text
    assert "replaced" not in folder.text
