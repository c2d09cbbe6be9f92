"""The command `pitikit`: its overview, its subcommands, its errors; and what `import pitikit` brings."""

import subprocess
import sys

import pytest

import pitikit
from pitikit import __main__ as command

TOOLS = {"browse", "cache-low-res", "check-data", "compare", "convert-checkpoint", "demo", "plot-log", "replay", "test"}
TOOLS |= {"doctor", "list", "new-plugin", "edit", "results", "sweep", "train", "train-segmenter", "translate"}


@pytest.fixture
def call(monkeypatch, capsys):
    """Runs `pitikit WORDS...`; returns exit code, stdout and stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["/some/bin/pitikit", *map(str, words)])
        with pytest.raises(SystemExit) as left:
            command.program()
        said = capsys.readouterr()
        return left.value.code, said.out, said.err

    return run


def test_the_overview_lists_every_tool_in_a_line(call):
    code, said, _ = call("--help")
    rows = [line.split(maxsplit=1) for line in said.splitlines() if line.startswith("  ")]
    assert code == 0 and {row[0] for row in rows} == set(command.commands()) >= TOOLS
    assert all(row[1].endswith(".") for row in rows if row[0] in TOOLS)
    assert all(len(line) <= 120 for line in said.splitlines() if not line.startswith("  benchmark"))


def test_without_a_command_the_overview_is_shown_and_the_code_is_an_error(call):
    code, said, _ = call()
    assert code == 2 and "translate" in said


def test_version(call):
    assert call("--version")[:2] == (0, f"pitikit {pitikit.__version__}\n")


def test_a_misspelt_command_names_the_nearest(call):
    said = call("tranlate", "x")
    assert said == (2, "", "error: pitikit: got 'tranlate', expected a command; did you mean 'translate'?\n")


@pytest.mark.parametrize("name", ["check-data", "check_data"])
def test_help_of_a_command_shows_the_command(call, name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    code, said, _ = call(name, "--help")
    assert code == 0 and said.startswith("usage: pitikit check-data [-h]")
    assert "    pitikit check-data configs/scenes/piti_small_mask.py --split val\n" in said
    assert "    PITIKIT_DATA=data pitikit check-data configs/mask/" in said and "tools/" not in said


def test_torchrun_takes_the_module(call):
    assert "torchrun --nproc-per-node 2 -m pitikit train configs/" in call("train", "--help")[1]


def test_a_command_works_and_its_exit_code_counts(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config = "configs/scenes/piti_small_mask.py"
    code, said, _ = call("check-data", config, "--split", "val", "--count", "2", "--out", "report")
    assert code == 0 and "2" in said and (tmp_path / "report" / "report.json").is_file()
    code, _, said = call("check-data", "configs/scenes/piti_small_msk.py")
    assert code == 2 and "did you mean 'piti_small_mask.py'" in said and said.count("\n") == 1


def test_importing_pitikit_or_asking_for_help_loads_neither_torch_nor_mmengine(repo):
    program = (
        "import sys, pitikit.__main__ as m; m.overview(); print({'torch', 'mmengine', 'numpy'} & set(sys.modules))"
    )
    found = subprocess.run([sys.executable, "-c", program], cwd=repo, capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_the_package_gives_its_translator():
    from pitikit.apis.translator import Translator

    assert pitikit.Translator is pitikit.apis.Translator is Translator
    with pytest.raises(AttributeError, match="no attribute 'Translater'"):
        getattr(pitikit, "Translater")  # noqa: B009


def test_a_file_that_a_system_left_is_no_command(monkeypatch, tmp_path):
    (tmp_path / "tools").mkdir()
    for name in ("._train.py", "train.py", "_own.py"):
        (tmp_path / "tools" / name).touch()
    monkeypatch.setattr(command, "ROOT", tmp_path)
    assert list(command.commands()) == ["train"]
