"""Errors on the other ranks when one of them fails."""

import signal
import textwrap
import time

import pytest
import torch.distributed as dist

from pitikit.engine.distributed import failures
from pitikit.engine.distributed.failures import DistributedError, lost_contact, on_main


def test_without_a_group():
    assert on_main(lambda a, b: a + b, 1, 2) == 3
    with pytest.raises(KeyError):
        on_main({}.__getitem__, "a")


@pytest.fixture
def one_of_two(monkeypatch):
    """Makes this process one of two; ``sent`` is what the first one says, or is told to say."""

    def make(rank, sent):
        monkeypatch.setattr(failures, "get_world_size", lambda: 2)
        monkeypatch.setattr(failures, "get_rank", lambda: rank)
        exchange = sent.append if rank == 0 else lambda shared: shared.__setitem__(slice(None), sent.pop(0))
        monkeypatch.setattr(dist, "broadcast_object_list", exchange)
        return sent

    return make


def test_rank_0_shares_the_outcome(one_of_two):
    sent = one_of_two(0, [])
    assert on_main(lambda: 7) == 7
    with pytest.raises(KeyError):
        on_main({}.__getitem__, "a")
    with pytest.raises(OSError, match="^full$"):
        on_main(open_full)
    assert sent[0] == [7, None]
    assert [str(error) for _, error in sent[1:]] == ["rank 0 failed: KeyError: 'a'", "full (on rank 0)"]
    assert [type(error) for _, error in sent[1:]] == [DistributedError, OSError]


def test_the_others_do_nothing_but_listen(one_of_two):
    one_of_two(1, [[7, None], [None, OSError("full (on rank 0)")]])
    assert on_main(pytest.fail, "called") == 7
    with pytest.raises(OSError, match="on rank 0"):
        on_main(pytest.fail, "called")


def open_full():
    raise OSError("full")


def test_a_broken_connection_is_explained(monkeypatch):
    monkeypatch.setattr(failures, "is_distributed", lambda: True)
    with pytest.raises(DistributedError, match="lost contact.*Connection closed by peer.*--resume"), lost_contact():
        raise RuntimeError("[pair.cc:5] Connection closed by peer [127.0.0.1]:5\nmore")
    with pytest.raises(RuntimeError, match="^another$"), lost_contact():
        raise RuntimeError("another")
    # What is said already is not said once more.
    with pytest.raises(DistributedError, match="^gloo has gone$"), lost_contact():
        raise DistributedError("gloo has gone")


PLUGIN = """
import os, signal, time
from contextlib import contextmanager
from pathlib import Path
from mmengine.hooks import Hook
from pitikit.engine import runner
from pitikit.registry import HOOKS

explain = runner.lost_contact

@contextmanager
def late():
    # The launcher's SIGTERM is there before the explanation.
    with explain():
        try:
            yield
        except RuntimeError:
            time.sleep(1)
            raise

runner.lost_contact = late

@HOOKS.register_module()
class Die(Hook):
    def __init__(self, death):
        self.death = Path(death)

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == 2 and runner.rank == 1:
            self.death.write_text(str(time.time()))
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("launcher", ["forks", pytest.param("torchrun", marks=pytest.mark.slow)])
def test_the_others_end_when_one_is_killed(launcher, tiny_config, python, tmp_path):
    (tmp_path / "dying").mkdir()
    (tmp_path / "dying" / "__init__.py").write_text(PLUGIN)
    config = tmp_path / "config.py"
    config.write_text(
        textwrap.dedent(f"""
        _base_ = [{str(tiny_config)!r}]
        plugins = [{str(tmp_path / "dying")!r}]
        custom_hooks = [dict(type="Die", death={str(tmp_path / "death")!r})]
        """)
    )
    command = ["tools/train.py", config, "--work-dir", tmp_path / "work"]
    if launcher == "forks":
        done = python(*command, ranks=2, environment={"CUDA_VISIBLE_DEVICES": ""})
        assert done.returncode[1] == -signal.SIGKILL
        status = done.returncode[0]
    else:
        start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        done = python(*start, *command, environment={"CUDA_VISIBLE_DEVICES": ""})
        status = done.returncode
    text = done.stdout + done.stderr
    assert status != 0 and time.time() - float((tmp_path / "death").read_text()) < 60, text
    assert "world size 2" in text and "Iter(train) [ 2/12]" in text
    assert "error: rank 0 of 2: lost contact with the other ranks" in text and "--resume goes on" in text
    assert "Iter(train) [ 4/12]" not in text
