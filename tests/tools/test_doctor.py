"""tools/doctor.py as a user calls it."""

import json


def test_a_report_and_its_exit_code(repo, run_tool, tmp_path):
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "__init__.py").write_text("import no_such_package\n")
    given = ["doctor", "--only", "plugins", "--plugins", repo / "plugins" / "thermal", "bad"]
    shown = run_tool(*given, cwd=tmp_path)
    assert shown.returncode == 1 and "TRANSFORMS LoadThermal" in shown.stdout
    assert "FAULT  bad" in shown.stdout and "no_such_package" in shown.stdout
    assert shown.stdout.rstrip().splitlines()[-1].startswith("1 fault, 0 notes")
    shown = run_tool(*given[:-1], "--json", cwd=tmp_path)
    found = json.loads(shown.stdout)
    assert shown.returncode == found["status"] == 0
    assert [each["name"] for each in found["findings"]] == ["API", "thermal", "installed"]
