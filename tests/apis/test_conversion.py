import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from pitikit.apis import conversion
from pitikit.apis.conversion import Plan
from pitikit.apis.prepare import prepare_data
from pitikit.data.extraction import Extractor
from pitikit.data.preparation import Found, Item
from pitikit.data.reading import read_image
from tests.data.preparation import downloads


def run(plan, **options):
    return prepare_data(plan, bar=False, **options)


def test_networks_compute_with_one_thread_whatever_the_workers(tmp_path):
    class Threads(Extractor):
        def __call__(self, image):
            return np.full(image.shape[:2], 255 * (torch.get_num_threads() > 1), np.uint8)

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        run(Plan("ade20k", downloads.ade20k(tmp_path / "source"), tmp_path / "out", extract=[Threads()]))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert not read_image(tmp_path / "out/sketch/train/ADE_train_00000001.png").any()


def test_a_disk_without_room_is_found_before(tmp_path, monkeypatch):
    plan = Plan("nyu", downloads.nyu(tmp_path / "source"), tmp_path / "out")
    many = [
        Item("train", f"{i:04d}", dict(file=str(plan.source / "nyu_depth_v2_labeled.mat"), number="1"))
        for i in range(99)
    ]
    monkeypatch.setattr("pitikit.data.preparation.nyu.NYUDepth.find", lambda self, root: Found(many, [], {}))
    usage = shutil.disk_usage(tmp_path)._replace(free=1_000_000)
    monkeypatch.setattr(conversion.shutil, "disk_usage", lambda path: usage)
    with pytest.raises(OSError, match="GB free, expected .* GB for what is left; free some, or take --size or --limit"):
        run(plan)


def test_workers_make_the_same_files(tmp_path):
    plan = Plan("cocostuff", downloads.cocostuff(tmp_path / "source"), tmp_path / "out")
    for number in range(200, 215):
        for name, array in (
            (f"train2017/{number:012d}.jpg", downloads.photograph()),
            (f"stuffthingmaps/train2017/{number:012d}.png", downloads.plain(3)),
        ):
            downloads.put(plan.source / name, array)
    run(plan, workers=1)
    run(Plan(plan.name, plan.source, tmp_path / "alone"))
    sums = [json.loads((tmp_path / name / "manifest.json").read_text())["checksums"] for name in ("out", "alone")]
    assert sums[0] == sums[1]


WORKING = """
import os
import time
from pathlib import Path

import numpy as np

from pitikit.plugins import PREPARATIONS, Found, Item, Preparation, Sample

PITIKIT_API = "1.0"


@PREPARATIONS.register_module(name={name!r})
class Working(Preparation):
    title, layout = "slow", "slow"

    def find(self, root):
        return Found([Item("train", f"{{i:03d}}", {{}}) for i in range(60)], [], {{}})

    def read(self, item):
        {action}
        return Sample(np.zeros((8, 8, 3), np.uint8), {{}})
"""


def working_plan(tmp_path, name, action):
    plugin = tmp_path / f"plugin_{name}"
    plugin.mkdir()
    (plugin / "__init__.py").write_text(WORKING.format(name=name, action=action))
    (tmp_path / "source").mkdir()
    return Plan(name, tmp_path / "source", tmp_path / "out", plugins=[str(plugin)])


@pytest.mark.slow
def test_a_worker_that_dies_ends_the_run_with_a_remedy(tmp_path):
    # The first eight items, spread evenly, are made by this process.
    plan = working_plan(tmp_path, "dying_of_test", "int(item.id) % 7 == 0 or os._exit(3)")
    with pytest.raises(RuntimeError, match="a worker ended early, perhaps out of memory; take fewer --workers"):
        run(plan, workers=1)
    assert len((tmp_path / "out/items.jsonl").read_text().splitlines()) >= 8


@pytest.mark.slow
def test_workers_end_with_the_run_that_was_killed(tmp_path, repo):
    plan = working_plan(
        tmp_path,
        "slow_of_test",
        'int(item.id) % 7 == 0 or (Path("pid.txt").write_text(str(os.getpid())), time.sleep(5))',
    )
    paths = f"Path({str(plan.source)!r}), Path({str(plan.target)!r}), plugins={list(plan.plugins)!r}"
    script = f"""
from pathlib import Path
from pitikit.apis.conversion import Plan
from pitikit.apis.prepare import prepare_data
if __name__ == "__main__":
    prepare_data(Plan({plan.name!r}, {paths}), workers=1, bar=False)
"""
    (tmp_path / "script.py").write_text(script)
    environment = {**os.environ, "PYTHONPATH": str(repo)}
    process = subprocess.Popen([sys.executable, "script.py"], cwd=tmp_path, env=environment)
    pid, deadline = tmp_path / "pid.txt", time.monotonic() + 200
    while not (pid.is_file() and pid.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    worker = int(pid.read_text())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    deadline = time.monotonic() + 60
    while is_running(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(worker)


def is_running(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
