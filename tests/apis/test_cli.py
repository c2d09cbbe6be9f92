"""Errors for the user are one line; faults in a program keep their traceback."""

import os
import subprocess
import sys
import warnings

import pytest
import torch
from torch.utils.data import DataLoader, Dataset

from pitikit.apis import inputs
from pitikit.apis.cli import is_for_user, make_parser, message, run
from pitikit.config import ConfigError, load_config
from pitikit.data.conditions import voc_palette
from pitikit.data.errors import DataError
from pitikit.networks.recomputing import Recomputable
from pitikit.registry import GUIDANCES


def caught(function):
    with pytest.raises(Exception) as info:
        function()
    return info.value


def leave(main):
    with pytest.raises(SystemExit) as info:
        run(main)
    return info.value.code


class Bad(Dataset):
    """Item 0 fails as a bad item of data does, item 1 as a fault in a program."""

    def __len__(self):
        return 2

    def __getitem__(self, index):
        if index:
            return {}["nothing"]
        raise DataError("two\nlines", "one", item="a1")


def from_worker(index):
    return lambda: next(iter(DataLoader(Bad(), sampler=[index], num_workers=1)))


def test_exit_codes(capsys):
    assert leave(lambda: None) == 0
    assert leave(lambda: 3) == 3

    def interrupted():
        raise KeyboardInterrupt

    assert leave(interrupted) == 130
    assert leave(lambda: load_config("absent/config.py")) == 2
    assert capsys.readouterr().err.endswith("error: config 'absent/config.py' does not exist\n")


def test_a_warning_of_ours_is_one_line(capsys, monkeypatch):
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(warnings, "showwarning", show)

    def warned():
        warnings.warn_explicit("an empty sketch", UserWarning, inputs.__file__, 7)
        warnings.warn_explicit("not ours", UserWarning, "elsewhere.py", 7)

    leave(warned)
    said = capsys.readouterr().err
    assert said.startswith("warning: an empty sketch\n") and "elsewhere.py:7: UserWarning: not ours" in said


def show(message, category, filename, lineno, file=None, line=None):
    """As Python shows it; pytest collects warnings instead."""
    sys.stderr.write(warnings.formatwarning(message, category, filename, lineno, line))


def test_a_fault_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        run(lambda: 1 // 0)


def test_debug_variable_keeps_every_traceback(monkeypatch):
    monkeypatch.setenv("PITIKIT_DEBUG", "1")
    with pytest.raises(ConfigError):
        run(lambda: load_config("absent/config.py"))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda: open("absent.txt"), True),
        (lambda: GUIDANCES.build(dict(type="CFGG")), True),  # a KeyError raised by the registry
        (lambda: GUIDANCES.build(dict(type="CFG", scael=1)), True),  # a TypeError of ours
        (lambda: {}["key"], False),
        (lambda: int("x"), False),
        (lambda: torch.zeros(2) @ torch.zeros(3), False),
        (lambda: GUIDANCES.build(dict(type="CFG", scale=1)).wrap(), False),
        (lambda: voc_palette("x"), False),  # within our code, but not raised by it
        (lambda: Recomputable()(torch.zeros(2)), False),  # raised by our code, but not for the user
        (from_worker(0), True),
        (from_worker(1), False),
    ],
)
def test_which_errors_are_for_the_user(function, expected):
    assert is_for_user(caught(function)) is expected


def test_messages_are_plain():
    assert message(KeyError("no 'x' here")) == "no 'x' here"
    assert message(ValueError()) == "ValueError"
    text = message(caught(from_worker(0)))
    assert text == "item 'a1': found two\nlines; expected one"


def test_a_tool_whose_work_is_not_shared_runs_in_one_process(monkeypatch):
    for name, value in {"RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(
        RuntimeError, match="got 2 processes of torchrun, expected one: the ranks would do the same work"
    ):
        make_parser("A tool.")
    assert make_parser("A tool.", ranks=True).parse_args([]).launcher == "auto"
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert "launcher" not in vars(make_parser("A tool.").parse_args([]))


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_letters_that_a_terminal_lacks_are_escapes(encoding, repo):
    main = "def main():\n    print('24×24 ж \\udce9')\n    raise ValueError('ж \\udce9')\n"
    source = f"from pitikit.apis.cli import run\n{main}"
    environment = {**os.environ, "PYTHONPATH": str(repo), "PYTHONIOENCODING": encoding, "PITIKIT_DEBUG": "0"}
    command = [sys.executable, "-c", source + "run(main)"]
    done = subprocess.run(command, capture_output=True, env=environment, timeout=60, check=False)
    text = "24×24 ж \udce9\n".encode(encoding, "backslashreplace")
    assert done.stdout == text and b"UnicodeEncodeError" not in done.stderr


def test_a_reader_that_leaves_ends_a_tool_without_a_message(repo):
    program = "from pitikit.apis.cli import run; run(lambda: print('a line ' * 100000))"
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=repo, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as tool:
        tool.stdout.read(10)
        tool.stdout.close()
        assert (tool.stderr.read(), tool.wait()) == (b"", 141)


def test_a_broken_pipe_elsewhere_is_an_error(capsys):
    def main():
        raise BrokenPipeError(32, "Broken pipe")

    assert leave(main) == 2 and "Broken pipe" in capsys.readouterr().err
