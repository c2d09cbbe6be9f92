"""Training and test of several configs alike, with one table of their metrics: the work of ``tools/compare.py``."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from tqdm import tqdm

from pitikit.apis.metrics_table import mean_and_spread
from pitikit.apis.protocol import write_json
from pitikit.config import load_config, refuse_second_values
from pitikit.engine.checkpoints.loading import files_of, start_keys
from pitikit.evaluation.mean_iou import is_of_class
from pitikit.files import file_sha256, write_text
from pitikit.resources import find_weights


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class ComparisonError(RuntimeError):
    """A run that failed; the message names it, the file of its output and its last line."""


@dataclass(frozen=True)
class Run:
    """One config at one share of the training pairs, trained with one seed.

    Attributes:
        config: path of the config.
        share: of the training pairs, in (0, 1].
        seed: of the training; None for the config's.
        folder: its work directory.
        options: what the training is given in ``--cfg-options``.
        content: hash of the config as it is trained, options included, and of the weights that it starts from.
    """

    config: Path
    share: float
    seed: int | None
    folder: Path
    options: Mapping[str, Any]
    content: str

    @property
    def name(self) -> str:
        """The config's name, the share in percent and the seed."""
        return f"{self.config.stem}, {100 * self.share:g}%" + ("" if self.seed is None else f", seed {self.seed}")


def plan(
    configs: Sequence[str | Path],
    shares: Sequence[float],
    out: str | Path,
    iterations: int | None = None,
    options: Mapping[str, Any] | None = None,
    prior: str | Path | None = None,
    seeds: Sequence[int] = (),
) -> list[Run]:
    """The runs of a comparison; every config is read, so that a wrong one is found before hours of work.

    Args:
        configs: paths.
        shares: of the training pairs; the smaller are part of the larger.
        out: folder of the comparison.
        iterations: of every training, with the borders of its stages moved in proportion; the config's by default.
        options: changes to the config, by dotted key, for every training and test.
        prior: weights to start from in place of the config's; a config that starts from none stays so.
        seeds: of the trainings, each of which is made with every one of them; one with the config's by default.

    Raises:
        pitikit.config.ConfigError: a wrong config.
        ValueError: a share, seed or number out of range, two configs of one name, or a config that trains nothing.
    """
    paths = [Path(config) for config in configs]
    names = [path.stem for path in paths]
    if len(set(names)) != len(names):
        raise ValueError(f"configs: two of the same name among {names}; their results would share a folder")
    for share in shares:
        if not 0 < share <= 1:
            raise ValueError(f"share {share}: expected more than 0 and at most 1")
    for argument, values in (("shares", shares), ("seeds", seeds)):
        if len(set(values)) != len(values):
            raise ValueError(f"{argument}: one comes twice among {', '.join(map(str, values))}")
    if any(seed < 0 for seed in seeds):
        raise ValueError(f"seeds: got {', '.join(map(str, seeds))}, expected 0 or more")
    if iterations is not None and iterations < 1:
        raise ValueError(f"iterations={iterations}: expected 1 or more")
    refuse_second_values(
        options or {},
        iterations=(iterations, ["train_cfg.max_iters"]),
        prior=(prior, ["load_from"]),
        seeds=(seeds or None, ["randomness.seed"]),
    )
    runs = []
    # The common prior is hashed once.
    digest = partial(_digest, file_hash=cache(file_sha256))
    for path in paths:
        cfg = load_config(path, options)
        if not cfg.get("train_cfg"):
            raise ValueError(f"{path}: has no train_cfg; expected the config of a training (a cascade is not trained)")
        given = dict(options or {})
        if prior is not None and cfg.get("load_from"):
            given |= dict.fromkeys(start_keys(cfg.load_from), str(prior))
        if iterations is not None:
            total = cfg.train_cfg.max_iters
            given["train_cfg.max_iters"] = iterations
            # A stage ends with a step of the optimizer.
            window = (cfg.get("optim_wrapper") or {}).get("accumulative_counts", 1)
            for place, stage in _stages(cfg):
                if stage.get("until") is not None:
                    given[f"{place}.until"] = window * max(1, round(stage["until"] * iterations / total / window))
        for share in shares:
            folder = Path(out) / path.stem / f"{100 * share:g}"
            # Not every kind of dataset has shares; all of it needs none.
            part = {"train_dataloader.dataset.subset": share} if share < 1 else {}
            for seed in seeds or (None,):
                own = {**given, **part, **({} if seed is None else {"randomness.seed": seed})}
                own_folder = folder if seed is None else folder / f"seed_{seed}"
                runs.append(Run(path, share, seed, own_folder, own, digest(path, own)))
    return runs


def _digest(path: Path, options: Mapping[str, Any], file_hash: Callable[[str], str]) -> str:
    cfg = load_config(path, options)
    cfg.pop("plugins", None)  # Paths, which differ between checkouts.
    found = filter(None, map(find_weights, files_of(cfg.get("load_from"))))
    start = "".join(file_hash(str(path)) for path in found)
    return hashlib.sha256((cfg.pretty_text + start).encode()).hexdigest()


def _stages(cfg: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Key and value of every stage of a training: those of the config, and those of its hooks."""
    holders = {"stages": cfg.get("stages") or ()}
    for number, hook in enumerate(cfg.get("custom_hooks") or ()):
        holders[f"custom_hooks.{number}.stages"] = hook.get("stages") or ()
    return [(f"{key}.{index}", stage) for key, stages in holders.items() for index, stage in enumerate(stages)]


def compare(
    runs: Sequence[Run],
    out: str | Path,
    tools: str | Path,
    jobs: int = 1,
    count: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> str:
    """Train and test every run, each in a process of its own; what is finished is not done again.

    Returns the table, which is written to ``table.md`` in ``out`` too, with ``results.json`` beside it. A run's
    images are in its folder under ``test``, its output in ``output.log``.

    Args:
        runs: of :func:`plan`.
        out: folder of the comparison.
        tools: folder of ``train.py`` and ``test.py``.
        jobs: runs at a time; the cores are shared out among them.
        count: only the first so many images of each test set.
        options: changes to the config, by dotted key, for the tests.

    Ctrl-C or SIGTERM stops the runs at work, which keep what they have, and begins no others.

    Raises:
        ComparisonError: a training or test ended with an error; the others are finished first.
        ValueError: ``jobs`` is below 1.
    """
    if jobs < 1:
        raise ValueError(f"jobs={jobs}: expected 1 or more")
    threads = max(1, cores() // jobs)
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    failed, children = [], _Children(environment)
    with ThreadPoolExecutor(jobs) as pool, tqdm(total=len(runs), unit="run") as bar, _leaving_on_sigterm():
        try:
            for task in [pool.submit(_run, run, Path(tools), children, count, options or {}) for run in runs]:
                error = task.exception()
                failed += [error] if error is not None else []
                bar.update()
        except BaseException:
            # The pool would go on to the next ones.
            pool.shutdown(wait=False, cancel_futures=True)
            children.stop()
            raise
    if failed:
        raise ComparisonError("\n".join(str(error) for error in failed))
    results = [{"config": str(run.config), "share": run.share, "seed": run.seed, **_metrics(run)} for run in runs]
    text = table(results)
    write_json(Path(out) / "results.json", {"runs": results})
    write_text(Path(out) / "table.md", text + "\n")
    return text


def table(results: Sequence[Mapping[str, Any]]) -> str:
    """The results as a Markdown table, one row for each config and share; a metric that a run lacks is a dash.

    Of several seeds a cell has the mean ± half the distance of the lowest from the highest.
    """
    rows: dict[tuple[str, float], list[Mapping[str, Any]]] = {}
    for result in results:
        rows.setdefault((Path(result["config"]).stem, result["share"]), []).append(result["metrics"])
    keys = list(dict.fromkeys(key for row in results for key in row["metrics"] if not is_of_class(key)))
    several = any(len(found) > 1 for found in rows.values())
    lines = [
        "| config | pairs | " + " | ".join(keys) + " |",
        "|---|---|" + "---|" * len(keys),
    ]
    for (name, share), found in rows.items():
        cells = [mean_and_spread([metrics.get(key) for metrics in found], 3, "–") for key in keys]
        lines.append(f"| {name} | {100 * share:g}% | " + " | ".join(cells) + " |")
    if several:
        most = max(map(len, rows.values()))
        lines += ["", f"Mean of {most} trainings (± half the distance of the lowest from the highest)."]
    return "\n".join(lines)


def _metrics(run: Run) -> dict[str, Any]:
    report = json.loads((run.folder / "test" / "metrics.json").read_text())
    return {"metrics": report["metrics"], "count": report["protocol"]["count"]}


class _Children:
    """The running subprocesses, so that all of them can be stopped."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = dict(environment)
        self._running: set[subprocess.Popen] = set()
        self._stopped = False
        self._lock = threading.Lock()

    def call(self, command: Sequence[str], output: Any) -> int:
        """Exit code of a Python program, whose output goes to a file."""
        with self._lock:
            if self._stopped:
                return -signal.SIGTERM
            # In a session of its own, without the terminal's Ctrl-C: a second signal would end a training at once.
            process = subprocess.Popen(
                [sys.executable, *command], env=self.environment, stdout=output, stderr=output, start_new_session=True
            )
            self._running.add(process)
        code = process.wait()
        with self._lock:
            self._running.discard(process)
        return code

    def stop(self) -> None:
        """Let those at work save what they have, and start no others."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                process.terminate()


@contextmanager
def _leaving_on_sigterm() -> Iterator[None]:
    """Let SIGTERM and SIGHUP raise SystemExit within the context; otherwise they would end this process alone."""
    numbers: list[signal.Signals] = []
    if threading.current_thread() is threading.main_thread():
        numbers = [each for each in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(each) is signal.SIG_DFL]

    def leave(number: int, frame: Any) -> None:
        raise SystemExit(128 + number)

    for number in numbers:
        signal.signal(number, leave)
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, signal.SIG_DFL)


def _run(run: Run, tools: Path, children: _Children, count: int | None, options: Mapping[str, Any]) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    weights = run.folder / "ema.safetensors"
    asked, done, tested = (run.folder / name for name in ("asked.json", "trained.json", "tested.json"))
    # Written before the training: a kill may leave nothing but a checkpoint.
    wanted: dict[str, Any] = {"config": run.content, "options": _typed(run.options)}
    begun = any(path.is_file() for path in (asked, done, *run.folder.glob("iter_*.pth")))
    if begun and _content(asked) != wanted:
        raise ComparisonError(
            f"{run.name}: {run.folder} holds a training of another config or with other options; choose another --out"
        )
    write_json(asked, wanted)
    if not done.is_file():
        train = [str(tools / "train.py"), str(run.config), "--work-dir", str(run.folder), "--resume"]
        _call(run, [*train, *_typed(run.options)], children)
        write_json(done, wanted)
    test = [str(tools / "test.py"), str(run.config), str(weights), "--out", str(run.folder / "test"), "--skip-missing"]
    test += ["--count", str(count)] if count is not None else []
    test += _typed(options)
    wanted = {"test": test, "weights": weights.stat().st_mtime_ns}
    if _content(tested) != wanted:
        tested.unlink(missing_ok=True)
        _call(run, [*test, "--overwrite"], children)
        # A column without values lacked weights, which may be present next time.
        if None not in _metrics(run)["metrics"].values():
            write_json(tested, wanted)


def _content(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _typed(options: Mapping[str, Any]) -> list[str]:
    """The options as words of a command line: a value's repr is a literal, which the tools read."""
    return ["--cfg-options", *(f"{key}={value!r}" for key, value in options.items())] if options else []


def _call(run: Run, command: Sequence[str], children: _Children) -> None:
    log = run.folder / "output.log"
    with log.open("ab") as file:
        code = children.call(command, file)
    if code:
        lines = log.read_text(errors="replace").strip().splitlines() or [""]
        raise ComparisonError(f"{run.name}: {Path(command[0]).name} ended with exit code {code}: {lines[-1]} ({log})")
