"""The page plugins/README.md: every command runs, in a folder that holds no plugin yet."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parents[2] / "plugins" / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"```bash\n(.*?)```", PAGE, re.S)
    for line in block.replace("\\\n", " ").splitlines()
]
#: Sizes at which the walk takes seconds.
SMALL = {
    "check_data": ["--count", "2"],
    "browse": ["--count", "1"],
    "train": "train_cfg.max_iters=2 stages.0.until=1 train_dataloader.batch_size=2 train_dataloader.num_workers=0 "
    "train_dataloader.dataset.cache=False".split(),
    "test": "--count 1 --cfg-options model.sampler.steps=1 test_dataloader.num_workers=0".split(),
    "translate": ["--steps", "1"],
}


def is_tool(command):
    return command[0] == "python" and command[1].startswith("tools/")


def test_the_class_of_the_page_is_the_one_that_is_written(repo, run_tool, tmp_path):
    assert run_tool("new_plugin", "haze", "--kind", "modality", cwd=tmp_path).returncode == 0
    written = (tmp_path / "plugins" / "haze" / "__init__.py").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    lines = iter(written.splitlines())
    # In the same order; the page leaves out docstrings and a check.
    assert all(line in lines for line in shown.splitlines() if line.strip())


def test_the_tools_of_the_page_at_small_sizes(repo, run_tool, tmp_path, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    shown = {}
    for _, file, *words in filter(is_tool, COMMANDS):
        # The last one is about the installed package.
        if file == "tools/list.py" and "--plugins" not in words:
            continue
        tool = Path(file).stem
        done = run_tool(tool, *words, *SMALL.get(tool, []), cwd=tmp_path)
        assert done.returncode == 0, (file, words, done.stdout, done.stderr)
        shown[tool] = done.stdout
    assert "TRANSFORMS LoadHaze" in shown["doctor"] and "plugin plugins/haze" in shown["list"]
    assert shown["new_plugin"].count("plugins/haze/") >= 5 and "none bad" in shown["check_data"]
    assert "PSNR" in shown["test"] and (tmp_path / "haze.png").is_file()
    assert (tmp_path / "haze_results" / "scene_2000008.png").is_file()


def test_every_plugin_is_listed_and_every_link_leads_somewhere(repo):
    links = re.findall(r"\]\(([^)]+)\)", PAGE)
    assert not [link for link in links if not (repo / "plugins" / link).exists()]
    assert {path.parent.name for path in (repo / "plugins").glob("*/__init__.py")} <= set(links)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_page_to_the_letter(repo, tmp_path):
    for name in ("tools", "setup.cfg", "configs", "weights"):
        (tmp_path / name).symlink_to(repo / name)
    site = tmp_path / "site"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(repo), str(site)]),
        # pip has no network and leaves this environment as it is.
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_TARGET": str(site),
    }
    programs = {"python": [sys.executable], "pip": [sys.executable, "-m", "pip"]}
    for name, *words in COMMANDS:
        done = subprocess.run(
            [*programs[name], *words], cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=900
        )
        assert done.returncode == 0, (name, words, done.stdout, done.stderr)
    assert "plugin haze (installed)" in done.stdout
    assert (tmp_path / "haze_results" / "scene_2000008.png").is_file()
    # The config works on beside the installed copy, and the package without the folder.
    config = "plugins/haze/piti_small_haze.py"
    check = [sys.executable, "tools/check_data.py", config, "--count", "1", "--split", "val"]
    subprocess.run(check, cwd=tmp_path, env=environment, check=True, timeout=300)
    text = (tmp_path / config).read_text(encoding="utf-8").replace('plugins = ["{{ fileDirname }}"]\n', "")
    (tmp_path / "mine.py").write_text(text, encoding="utf-8")
    subprocess.run([*check[:2], "mine.py", *check[3:]], cwd=tmp_path, env=environment, check=True, timeout=300)
