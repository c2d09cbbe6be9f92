"""--help shows how a tool is called, and says of each argument what it is."""

import runpy
import sys
from argparse import SUPPRESS, ArgumentParser, _SubParsersAction
from pathlib import Path

import pytest

TOOLS = sorted(path.stem for path in (Path(__file__).parents[2] / "tools").glob("*.py"))


class Asked(Exception):
    """A tool began to read its arguments."""


@pytest.fixture
def parser_of(repo, monkeypatch):
    """Runs a tool until it has built its parser, and returns that."""

    def stop(self, *args, **kwargs):
        raise Asked(self)

    def build(tool, command=None):
        monkeypatch.setattr(sys, "argv", [command or f"{tool}.py"])
        for method in ("parse_args", "parse_intermixed_args"):
            monkeypatch.setattr(ArgumentParser, method, stop)
        # The frame of the tools turns errors into exit codes.
        monkeypatch.setattr("pitikit.apis.cli.run", lambda main: main())
        path = str(repo / "tools" / f"{tool}.py")
        with pytest.raises(Asked) as asked:
            if command:
                runpy.run_path(path)["main"]()
            runpy.run_path(path, run_name="__main__")
        return asked.value.args[0]

    return build


def parsers(parser):
    """The parser and those of its commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, _SubParsersAction):
            for command in action.choices.values():
                yield from parsers(command)


@pytest.mark.parametrize("tool", TOOLS)
def test_every_argument_says_what_it_is(parser_of, tool):
    for parser in parsers(parser_of(tool)):
        bare = [
            "/".join(action.option_strings) or action.dest
            for action in parser._actions
            if not isinstance(action, _SubParsersAction) and (not action.help or action.help == SUPPRESS)
        ]
        assert not bare, f"{parser.prog}: no help text for {', '.join(bare)}"


@pytest.mark.parametrize("tool", TOOLS)
def test_help_shows_a_command(parser_of, tool, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    said = parser_of(tool).format_help()
    examples = [line.strip() for line in said.splitlines() if f"python tools/{tool}.py" in line]
    # A line of its own, which can be copied: neither wrapped by argparse nor a scheme.
    begins = ("python ", "PITIKIT_DATA=data python ")
    copied = [line for line in examples if line.startswith(begins) and "[" not in line]
    assert copied, said


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if not tool.startswith("benchmark_")])
def test_help_of_a_command_shows_that_command(parser_of, tool, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    command = "pitikit " + tool.replace("_", "-")
    said = parser_of(tool, command).format_help()
    assert said.startswith(f"usage: {command} [-h]")
    assert f"{command} " in said.partition("\n\n")[2] and "tools/" not in said


@pytest.mark.parametrize("tool", ["convert_checkpoint", "test", "translate"])
def test_the_main_tools_have_several_examples(parser_of, tool):
    assert parser_of(tool).format_help().count(f"    python tools/{tool}.py ") >= 2
