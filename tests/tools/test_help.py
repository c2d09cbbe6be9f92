"""--help shows how a tool is called."""

import runpy
import sys

import pytest


@pytest.mark.parametrize("tool", ["convert_checkpoint", "test", "translate"])
def test_help_has_examples_and_says_what_each_argument_is(repo, monkeypatch, capsys, tool):
    monkeypatch.setattr(sys, "argv", [tool, "--help"])
    monkeypatch.setenv("COLUMNS", "200")
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(repo / "tools" / f"{tool}.py"), run_name="__main__")
    assert left.value.code == 0
    said = capsys.readouterr().out
    assert said.count(f"    python tools/{tool}.py ") >= 2
    arguments = said[said.index("positional arguments:") :].splitlines()
    listed = [line for line in arguments if line.startswith("  ") and line.strip()]
    bare = [line for line in listed if line.startswith("  ") and line[2] != " " and len(line.split("  ")) < 3]
    # An argument too long for its column has its text on the next line.
    assert all(arguments[arguments.index(line) + 1].startswith("      ") for line in bare), bare
