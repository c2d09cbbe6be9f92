"""Versions of packages: compared, imported, and named with the reason where that fails."""

import importlib
import sys
import types
from configparser import ConfigParser

import pytest

from pitikit.apis.doctor import versions
from pitikit.apis.doctor.versions import LOWEST_PYTHON, OPTIONAL, REQUIRED, look, numbers


def test_the_packages_are_those_of_the_metadata(repo):
    config = ConfigParser()
    config.read(repo / "setup.cfg")
    options, extras = config["options"], config["options.extras_require"]

    def lines(text):
        return {line for line in text.splitlines() if line and not line.startswith("#")}

    def listed(table):
        return {f"{name}>={lowest}" if lowest else name for name, (_, lowest, *_) in table.items()}

    assert listed(REQUIRED) == lines(options["install_requires"])
    assert listed(OPTIONAL) == {line for extra in set(extras) - {"test", "dev"} for line in lines(extras[extra])}
    assert options["python_requires"] == ">=" + ".".join(map(str, LOWEST_PYTHON))


@pytest.mark.parametrize(
    ("version", "expected"), [("2.1.0+cpu", (2, 1, 0)), ("0.10.5rc1", (0, 10, 5)), ("unknown", (sys.maxsize,))]
)
def test_numbers_of_a_version(version, expected):
    assert numbers(version) == expected


@pytest.fixture
def packages(monkeypatch):
    """Only the packages of the test: distribution to what its import gives, an error or a version."""
    given = {}

    def load(module):
        if isinstance(given[module], Exception):
            raise given[module]
        return types.SimpleNamespace(__version__=given[module])

    monkeypatch.setattr(versions, "import_module", load)
    monkeypatch.setattr(versions, "OPTIONAL", {})
    monkeypatch.setattr(versions, "installed", lambda name: None if name == "absent" else "3.0")
    return given


@pytest.mark.parametrize(
    ("name", "found", "status", "words"),
    [
        ("fine", "1.10", "ok", "1.10"),
        ("old", "1.9", "fault", "1.9, expected 1.10 or newer"),
        ("absent", ModuleNotFoundError("no", name="absent"), "fault", "not installed"),
        ("broken", OSError("libc10.so: cannot open"), "fault", "3.0, but its import failed: OSError: libc10.so"),
    ],
)
def test_a_package(packages, monkeypatch, name, found, status, words):
    packages[name] = found
    monkeypatch.setattr(versions, "REQUIRED", {name: (name, "1.10")})
    last = list(look())[-1]
    assert (last.name, last.status) == (name, status) and words in last.text
    assert (f"pip install '{name}>=1.10'" in last.remedy) == (status == "fault")


def test_a_missing_package_of_an_extra_is_a_note(packages, monkeypatch):
    packages["absent"] = ModuleNotFoundError("no", name="absent")
    monkeypatch.setattr(versions, "REQUIRED", {})
    monkeypatch.setattr(versions, "OPTIONAL", {"absent": ("absent", "1.0", "extra")})
    last = list(look())[-1]
    assert last.status == "note" and last.remedy == "pip install 'pitikit[extra]'"


def test_opencv_without_its_library_has_a_remedy(packages, monkeypatch):
    packages["cv2"] = ImportError("libGL.so.1: cannot open shared object file")
    monkeypatch.setattr(versions, "REQUIRED", {"opencv-python": ("cv2", "4.8")})
    assert "opencv-python-headless" in list(look())[-1].remedy


def test_what_runs_here_is_found():
    first, second, *_ = look()
    assert first.facts["path"] == sys.executable
    assert second.facts["version"] == importlib.import_module("pitikit").__version__
