"""The tree of tests mirrors the package, and tests use what is public of it."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests"

#: Tests of whole features, of a config or of the repository, which belong to no single module.
WHOLE = {
    "apis/test_cascade_end_to_end.py",
    "apis/test_shared_model.py",
    "degradations/test_recipes.py",
    "engine/distributed/test_two_ranks.py",
    "engine/test_adversarial_training.py",
    "engine/test_consistency_training.py",
    "engine/test_resume.py",
    "engine/test_resume_upsampler.py",
    "plugins/test_walk.py",
    "test_advice.py",
    "test_extend.py",
    "test_floors.py",
    "test_mirror.py",
    "test_packaging.py",
    "test_readme.py",
    "test_words.py",
    "tools/test_help.py",
}
#: Folders of such tests: the shipped configs, and the released numbers.
WHOLE_FOLDERS = ("configs", "parity")

#: Private names of others that tests need, for want of public ones.
FOREIGN = {
    "mmengine": {"_rank", "_world_size", "_load_from", "_train_loop", "_test_loop", "_iterator"}
    | {"_inner_count", "_max_counts", "_clip_grad", "_run_forward"},
    "torch": {"_workers", "_version", "_forward_hooks", "_optimizer_step_pre_hooks", "_non_persistent_buffers_set"},
    "python": {"_fields", "_replace", "_asdict", "_exit", "_actions", "_SubParsersAction"},
    "numba": {"_locator_classes"},
}


def paths_of_tests() -> list[Path]:
    return sorted(TESTS.rglob("test_*.py"))


def module_of(path: Path) -> Path:
    """The module of a test file, without the suffix: of pitikit, of tools or of plugins."""
    inside = path.relative_to(TESTS)
    top = ROOT if inside.parts[0] in ("tools", "plugins") else ROOT / "pitikit"
    return top / inside.with_name(inside.stem.removeprefix("test_"))


def module_name(path: Path) -> Path:
    """As :func:`module_of` gives it."""
    return path.with_name(path.stem.strip("_"))


def exists(module: Path) -> bool:
    places = (module.with_suffix(".py"), module.with_name(f"__{module.name}__.py"), module / "__init__.py")
    return any(place.is_file() for place in places)


def test_every_test_file_has_its_module():
    names = {path.relative_to(TESTS).as_posix(): path for path in paths_of_tests()}
    assert names.keys() >= WHOLE
    mirrored = [path for name, path in names.items() if name not in WHOLE and name.split("/")[0] not in WHOLE_FOLDERS]
    lost = [path.relative_to(ROOT).as_posix() for path in mirrored if not exists(module_of(path))]
    assert not lost, f"{lost}: no module of that name; name the file after what it tests, or put it into WHOLE"


def test_every_module_has_its_test_file():
    modules = [path for path in (ROOT / "pitikit").rglob("*.py") if path.name != "__init__.py"]
    tested = {module_of(path) for path in paths_of_tests()}
    untested = [
        each.relative_to(ROOT).as_posix() for each in modules if each.with_name(each.stem.strip("_")) not in tested
    ]
    assert not untested, f"{untested}: no test file of that name"


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and not any(name in names for names in FOREIGN.values())


def private_names(tree: ast.AST) -> list[str]:
    """Private names that a source imports, reads or replaces, with their lines."""
    found = []
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute):
            # What a test's own class keeps is its own.
            names = [] if isinstance(node.value, ast.Name) and node.value.id == "self" else [node.attr]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "setattr":
            # monkeypatch.setattr(module, "_name", ...), or ("module._name", ...).
            names = [each.value for each in node.args if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        found += [f"line {node.lineno}: {name}" for name in names if is_private(name.rpartition(".")[2])]
    return found


def test_tests_use_public_names():
    sources = {path: ast.parse(path.read_text(encoding="utf-8")) for path in sorted(TESTS.rglob("*.py"))}
    wrong = [f"{path.relative_to(ROOT)}, {name}" for path, tree in sources.items() for name in private_names(tree)]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "count"),
    [
        ("from pitikit.files import _open", 1),
        ("import pitikit.files\npitikit.files._open()", 1),
        ("loop._resumed_at = 3", 1),
        ("monkeypatch.setattr(files, '_open', 1)", 1),
        ("monkeypatch.setattr('pitikit.files._open', '_b')", 2),
        ("files.open(), files.__name__, runner._rank, self._mine", 0),
        ("monkeypatch.setattr(files, 'open', 1)", 0),
    ],
)
def test_a_private_name_is_found(source, count):
    assert len(private_names(ast.parse(source))) == count
