"""The words of the house: retired ones are refused, and docstrings begin with a verb or a noun."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
SUFFIXES = {".py", ".md", ".cfg", ".toml"}

#: Retired word -> the word to write.
RETIRED = {
    r"pictures?": "image",
    r"critics?": "discriminator",
    r"data sets?": "dataset",
    r"(?:moving )?averages?": "EMA, or mean",
    r"(?:all|several|two) processes|each process": "rank",
    r"cascade(?:'s)?[^.\n]{0,40} stages?|stages? of (?:a|the) cascade|both (?:its )?stages": "part (base, upsampler)",
    r"judg(?:e|es|ed|ing)": "check, or the name of the loss",
    r"inside": "within, or the name of the thing",
    r"glanc(?:e|es|ed)": "a verb of what is done",
    r"silence": "without a message",
    r"told": "given, or named",
    r"tells?": "a thing does not tell: name what it has",
    r"asks?": "a thing does not ask: needs, takes",
    r"asked for": "requested, given",
    r"says?": "a thing does not say: name what it has",
    r"speaks?": "a thing does not speak: refers to, belongs to",
    r"knows?": "a thing does not know: has",
    r"wants?": "a thing does not want: needs",
    r"affair": "who defines it",
    r"by hand": "how it is done",
    r"is a matter of": "depends on",
    r"of no use": "ignored, and why",
    r"nobody": "the role that is meant",
    r"as it was found": "what it was",
    r"worn|shrunk": "degraded, reduced",
}
#: Other names that hold a retired word: (end of a path, text).
ALLOWED = (
    ("engine/ema.py", "Exponential moving averages"),
    ("networks/unet.py", "'down' (average)"),
    ("engine/distributed/replicated.py", "average its gradients"),
    # A class of NYU.
    ("data/class_tables.py", "picture, counter"),
    ("apis/demo.py", "say"),
    ("tools/demo.py", "say"),
    ("CHANGELOG.md", "`average` and `discriminator_average`"),
)


def sources() -> list[Path]:
    """Files of text that a user or a reader meets."""
    folders = [ROOT / name for name in ("pitikit", "tools", "configs", "plugins", "docs")]
    found = [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in SUFFIXES]
    return [*found, ROOT / "README.md", ROOT / "CHANGELOG.md"]


def retired(text: str, path: str) -> list[str]:
    """Complaints about the retired words in a file."""
    for end, allowed in ALLOWED:
        if path.endswith(end):
            text = text.replace(allowed, " " * len(allowed))
    complaints = []
    for pattern, instead in RETIRED.items():
        for match in re.finditer(rf"\b(?:{pattern})\b", text, re.IGNORECASE):
            line = text.count("\n", 0, match.start()) + 1
            complaints.append(f"{path}:{line}: got {match[0]!r}, expected another word: {instead}")
    return complaints


def openings(source: str, path: str) -> list[str]:
    """Complaints about docstrings (of attributes too) that begin with none of the two."""
    texts = (
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
    )
    return [
        f"{path}:{node.lineno}: got {str(node.value).split()[0]!r}, expected a verb in the imperative or a noun"
        for node in texts
        if re.match(r"(?:What|Whether|Of|How|Why|Which)\b", str(node.value).lstrip())
    ]


def test_no_retired_word_is_left():
    found = [
        complaint for path in sources() for complaint in retired(path.read_text(encoding="utf-8"), path.as_posix())
    ]
    assert not found, "\n".join(found)


def test_docstrings_begin_with_a_verb_or_a_noun():
    files = [path for name in ("pitikit", "tools", "plugins") for path in sorted((ROOT / name).rglob("*.py"))]
    found = [complaint for path in files for complaint in openings(path.read_text(encoding="utf-8"), path.as_posix())]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text", ["the critic", "a Picture", "both its stages", "weights of a cascade's two stages", "all processes"]
)
def test_a_retired_word_is_found(text):
    assert retired(text, "pitikit/somewhere.py")


@pytest.mark.parametrize("text", ["critical", "knowledge", "stage 2 of a training", "a process of its own", "essays"])
def test_other_words_pass(text):
    assert not retired(text, "pitikit/somewhere.py")


def test_what_opens_a_docstring_is_read():
    assert openings('X = 1\n"""What X is."""\n', "pitikit/somewhere.py")
    assert not openings('X = 1\n"""Offset of the ids."""\n', "pitikit/somewhere.py")
