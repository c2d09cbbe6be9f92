"""tools/list.py as a user calls it."""


def test_registries_names_and_a_component(repo, run_tool, tmp_path):
    shown = run_tool("list", cwd=tmp_path)
    assert shown.returncode == 0 and "GUIDANCES" in shown.stdout
    shown = run_tool("list", "guidance", cwd=tmp_path)
    assert shown.returncode == 0 and "NormalizedCFG" in shown.stdout
    for words in (["guidance", "CFG"], ["CFG"]):
        shown = run_tool("list", *words, cwd=tmp_path)
        assert shown.returncode == 0 and "model.sampler.guidance: dict(type='CFG'" in shown.stdout


def test_a_misspelt_name_ends_with_a_line(run_tool, tmp_path):
    shown = run_tool("list", "guidances", "CGF", cwd=tmp_path)
    assert shown.returncode == 2 and shown.stderr.startswith("error: GUIDANCES: got 'CGF', expected a name")
    assert shown.stderr.count("\n") == 1


def test_a_plugin_in_a_folder(repo, run_tool, tmp_path):
    (tmp_path / "mine").mkdir()
    text = "PITIKIT_API = '1.0'\nfrom pitikit.plugins import LOSSES, Loss\n\n\n@LOSSES.register_module()\n"
    (tmp_path / "mine" / "__init__.py").write_text(f"{text}class ListedLoss(Loss):\n    '''A loss of mine.'''\n")
    shown = run_tool("list", "losses", "ListedLoss", "--plugins", "mine", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert "from         plugin mine (mine/__init__.py:5)" in shown.stdout and "A loss of mine." in shown.stdout
    shown = run_tool("list", "--plugins", "absent", cwd=tmp_path)
    assert shown.returncode == 2 and "'absent' is no plugin folder" in shown.stderr
