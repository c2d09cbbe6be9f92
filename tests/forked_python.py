"""Starts Python programs by a fork: torch and mmengine are imported already, which takes four seconds, pitikit is not.

python forked_python.py

The program of the fixture ``python``. It reads a request a line, JSON: {words, cwd, environment, ranks, out, err},
where words are what follows ``python`` (a path, ``-m`` or ``-c``), and answers each with a list of the exit statuses.
Several ranks are started and ended as torchrun does it: when one fails, the others get SIGTERM.
"""

import importlib
import json
import os
import runpy
import signal
import socket
import sys
import traceback

# Imported for the processes to come. Nothing may compute here: a pool of threads does not survive a fork.
import mmcv.transforms  # noqa: F401
import mmengine.runner  # noqa: F401
import torch.distributed.fsdp
import torch.distributed.tensor  # noqa: F401

#: Without the folder of this file.
PATH = sys.path[1:]


def run_words(words: list[str]) -> None:
    """What ``python`` does with its arguments."""
    kind = words[0] if words[0] in ("-c", "-m") else None
    text = words[1] if kind else words[0]
    sys.argv = [kind or text, *words[2 if kind else 1 :]]
    own = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [os.path.dirname(os.path.abspath(text)) if kind is None else "", *filter(None, own), *PATH]
    importlib.invalidate_caches()
    if kind == "-c":
        exec(compile(text, "<string>", "exec"), {"__name__": "__main__"})
    elif kind == "-m":
        runpy.run_module(text, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(text, run_name="__main__")


def status_of(words: list[str]) -> int:
    """Run a program; its exit status, with the traceback of an error printed."""
    try:
        run_words(words)
    except SystemExit as left:
        if left.code is None or isinstance(left.code, int):
            return left.code or 0
        print(left.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def fork(request: dict, **variables: str) -> int:
    """Start one process; its number."""
    child = os.fork()
    if child:
        return child
    signal.signal(signal.SIGINT, signal.default_int_handler)
    status = 1
    try:
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(request[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND), number)
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["environment"], **variables)
        for stream in (sys.stdout, sys.stderr):
            stream.reconfigure(encoding=os.environ.get("PYTHONIOENCODING", "utf-8"))
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
        status = status_of(request["words"])
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(status)


def launch(request: dict) -> list[int]:
    """Start the ranks, wait for all of them; their exit statuses."""
    count = request["ranks"]
    if count == 1:
        return [os.waitstatus_to_exitcode(os.waitpid(fork(request), 0)[1])]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = dict(WORLD_SIZE=str(count), LOCAL_WORLD_SIZE=str(count), MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    numbers = [fork(request, RANK=str(rank), LOCAL_RANK=str(rank), **shared) for rank in range(count)]
    statuses: dict[int, int] = {}
    while len(statuses) < count:
        number, status = os.wait()
        statuses[number] = os.waitstatus_to_exitcode(status)
        if statuses[number]:
            for other in numbers:
                if other not in statuses:
                    os.kill(other, signal.SIGTERM)
    return [statuses[number] for number in numbers]


def main() -> None:
    """Answer requests until there is an empty line: where others hold the pipe, its end comes late."""
    # Ctrl-C is for pytest, which closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    loaded = [name for name in sys.modules if name.partition(".")[0] == "pitikit"]
    assert not loaded, loaded
    for line in iter(sys.stdin.readline, ""):
        if not line.strip():
            break
        print(json.dumps(launch(json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
