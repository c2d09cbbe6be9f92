"""The report of tools/doctor.py: what it lists, how it ends, and that nothing stops it."""

import json
import os
import subprocess
import sys

import pytest

from pitikit.apis.doctor.examine import TOPICS, Diagnosis, Finding, examine, guarded
from pitikit.apis.doctor.versions import OPTIONAL, REQUIRED


def test_the_exit_code_is_that_of_faults_alone():
    ok, note, fault = (Finding("data", kind, kind, "") for kind in ("ok", "note", "fault"))
    assert Diagnosis((ok, note)).status == 0 and Diagnosis((ok, fault, note)).status == 1


def test_the_table_has_topics_remedies_and_a_count(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    command = "pip install 'a-package-with-a-long-name[and-an-extra]'"
    found = (
        Finding("versions", "torch", "ok", "2.1"),
        Finding("versions", "mmcv", "fault", "not installed", f"run {command} in the environment"),
        Finding("data", "PITIKIT_DATA", "note", "not set"),
    )
    lines = Diagnosis(found).table().splitlines()
    assert lines[:3] == ["versions", "  ok     torch         2.1", "  FAULT  mmcv          not installed"]
    # A command stays whole where it is one word, whatever the width.
    assert lines[3].startswith("         -> run") and any(
        "'a-package-with-a-long-name[and-an-extra]'" in x for x in lines
    )
    assert lines[-1] == "1 fault, 1 note; 1 ok"


def test_json_has_all_of_it():
    whole = json.loads(Diagnosis((Finding("data", "x", "fault", "a", "b", {"bytes": 3}),)).json())
    expected = {"topic": "data", "name": "x", "status": "fault", "text": "a", "remedy": "b", "facts": {"bytes": 3}}
    assert whole == {"status": 1, "findings": [expected]}


@pytest.mark.parametrize("error", [KeyError("no key"), SystemExit(3), RuntimeError("two\nlines"), ImportError()])
def test_a_part_that_fails_is_a_fault(error):
    def look(given):
        yield Finding("data", given, "ok", "")
        raise error

    (found,) = guarded("data", "part", look, "given")
    assert found.status == "fault" and type(error).__name__ in found.text and "\n" not in found.text


def test_every_topic_has_findings():
    found = examine(topics=[topic for topic in TOPICS if topic != "versions"]).findings
    assert {each.topic for each in found} == set(TOPICS) - {"versions"}


@pytest.mark.parametrize(("package", "reports"), [("torch", "devices"), ("mmengine", "plugins")])
def test_it_works_where_a_package_does_not(repo, tmp_path, package, reports):
    # The other packages are stand-ins: an import of the real ones takes ten seconds.
    for module, *_ in {**REQUIRED, **OPTIONAL}.values():
        broken = module == package
        text = "raise ImportError('libcudart.so.99: no such file')\n" if broken else "__version__ = '99.0'\n"
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").write_text(text)
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{repo}"}
    command = [sys.executable, str(repo / "tools" / "doctor.py"), "--json", "--only", "versions", reports]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=200)
    assert done.returncode == 1, done.stderr
    found = {each["name"]: each for each in json.loads(done.stdout)["findings"]}
    for name in (package, reports):
        assert found[name]["status"] == "fault" and "libcudart.so.99" in found[name]["text"]
    assert found["numpy"]["status"] == "ok"
