"""Variables in configs: whatever text they hold, it arrives as it is, and is never run."""

import json

import pytest

from pitikit.config import ConfigError, load_config
from pitikit.config.substitution import Variables, has_variables, write_data

HARD = [
    "C:\\new\\table\\u1",
    "it's",
    'say "x"',
    "a\nb = 1",
    "'''\"\"\"",
    "{{ fileDirname }}",
    "{id} {{$OTHER:x}} %s %(a)d",
    "ends with \\",
    "späte 数据 \udc80",
    "'); raise SystemExit(3) #",
    " spaces ",
]


@pytest.fixture(autouse=True)
def clean(monkeypatch):
    for name in ("NAME", "OTHER", "PITIKIT_DATA"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def run(tmp_path):
    """Runs a config's source, its variables put in, and gives what it defines."""

    def run(source):
        variables, found = Variables(tmp_path / "my.py"), {}
        exec(variables.in_python(source), found)
        return {key: value for key, value in found.items() if not key.startswith("__")}

    return run


@pytest.mark.parametrize("value", HARD)
@pytest.mark.parametrize(
    ("literal", "before", "after"),
    [
        ('"{{$NAME:x}}"', "", ""),
        ("'{{$NAME:x}}/a'", "", "/a"),
        ('"a\\t{{ $NAME : x }}/\'b"', "a\t", "/'b"),
        ("r'C:\\{{$NAME:x}}\\d'", "C:\\", "\\d"),
        ('f"{1 + 1}{{$NAME:x}}{2}"', "2", "2"),
        ('rf"\\d{1 + 1}{{$NAME:x}}"', "\\d2", ""),
        ('"""a\n"{{$NAME:x}}"\n"""', 'a\n"', '"\n'),
        ("'a' \"{{$NAME:x}}\" 'b'", "a", "b"),
        ('"\\\\{{$NAME:x}}"', "\\", ""),
        ("u'''{{\"$NAME:x\"}}'''", "", ""),
    ],
)
def test_any_text_within_any_string(run, monkeypatch, value, literal, before, after):
    for chosen in (None, "", value):
        if chosen is not None:
            monkeypatch.setenv("NAME", chosen)
        expected = {"a": before + (chosen or "x") + after, "b": 5}
        assert run(f"# {{{{$NAME:x}}}} it's\na = {literal}\nb = 5  # '{{{{$NAME:y}}}}\n") == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("7", 7),
        ("[1, 'a']", [1, "a"]),
        ("dict(type='X')", {"type": "X"}),
        ("true", True),
        ("inf", float("inf")),
        ("__import__('os').getcwd()", "__import__('os').getcwd()"),
        ("1)\nraise SystemExit(3)", "1)\nraise SystemExit(3)"),
        ("", 3),
    ],
)
@pytest.mark.parametrize("bare", ["{{$NAME:3}}", "{{'$NAME:3'}}", '{{ "$NAME:3" }}'.replace(" ", "")])
def test_outside_of_strings_a_value_is_read_and_not_run(run, monkeypatch, value, expected, bare):
    monkeypatch.setenv("NAME", value)
    assert run(f"a = dict(b=[{bare}])\n") == {"a": {"b": [expected]}}


def test_a_default_of_the_file_is_its_own_code(run):
    assert run("a = {{$NAME:dict(b=1+1)}}\nb = '{{$NAME:two words}}'\n") == {"a": {"b": 2}, "b": "two words"}


def test_a_variable_without_default_and_value(run, monkeypatch):
    with pytest.raises(ConfigError, match=r"my\.py: \{\{\$NAME:\}\} has no default.*write \{\{\$NAME:DEFAULT\}\}"):
        run("a = '{{$NAME:}}'")
    monkeypatch.setenv("NAME", "x")
    assert run("a = '{{$NAME:}}'") == {"a": "x"}


def test_variables_of_the_file(tmp_path):
    folder = tmp_path / 'it\'s {id} "%s" \\n'
    folder.mkdir()
    text = "a = '{{ fileDirname }}/b'\nc = {{fileBasenameNoExtension}}\nd = '{{fileBasename}} {{ fileExtname }}'\n"
    (folder / "o'my.py").write_text(text)
    cfg = load_config(folder / "o'my.py")
    assert (cfg.a, cfg.c, cfg.d) == (f"{folder}/b", "o'my", "o'my.py .py")


def test_what_is_no_variable_stays(run):
    source = "a = {{_base_.b}}\nc = '{{id}} {{ name }} {$HOME}'\n"
    assert not has_variables(source) and Variables("my.py").in_python(source) == source
    assert has_variables("{{$NAME:}}") and has_variables("{{ fileExtname }}")


@pytest.mark.parametrize("value", [*HARD, "12", ""])
@pytest.mark.parametrize("suffix", [".json", ".yaml"])
def test_json_and_yaml(monkeypatch, value, suffix):
    monkeypatch.setenv("NAME", value)
    variables = Variables("my" + suffix)
    text = '{"a": "{{$NAME:x}}/b", "c": [{{$NAME:3}}, "{{$NAME:y}}"], "d": {{_base_.e}}}'
    found = variables.in_data(text, suffix)
    assert found["a"] == (value or "x") + "/b" and found["c"][1] == (value or "y")
    assert found["c"][0] == {"": 3, "12": 12}.get(value, value)
    assert json.loads(write_data(found).replace("{{_base_.e}}", "1")) == {**found, "d": 1}
    assert variables.used == ({"NAME": value} if value else {})


def test_plain_yaml(monkeypatch):
    monkeypatch.setenv("NAME", "it's: a #b")
    text = "# don't\na: {{$NAME:x}}/b\nc: {{$OTHER:5}}\nd: '{{$NAME:x}}'\n"
    assert Variables("my.yaml").in_data(text, ".yaml") == {"a": "it's: a #b/b", "c": 5, "d": "it's: a #b"}
