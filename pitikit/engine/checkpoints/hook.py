"""Checkpoints of a work directory: when they are written, which are kept, and which one a run is resumed from."""

from __future__ import annotations

import logging
import re
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mmengine.hooks
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend

from pitikit.engine.distributed.failures import on_main
from pitikit.files import temporaries, write_text
from pitikit.registry import HOOKS
from pitikit.weights import DamagedFileError, WeightsError

POINTER = "last_checkpoint"
#: Content of the pointer until a run that began in the folder of an older one has its first checkpoint.
NONE = "none"
_NAME = re.compile(r"iter_(\d+)\.pth")


def iteration_of(path: Path) -> int:
    """The number in ``iter_<n>.pth``; -1 for any other name."""
    found = _NAME.fullmatch(path.name)
    return int(found[1]) if found else -1


def find_checkpoints(folder: str | Path) -> list[Path]:
    """The training checkpoints of a work directory, the newest first.

    Where the file 'last_checkpoint' names one, later ones are left out: they are of an older, longer run. Where it
    holds 'none' all are: a run that began anew has not come to its first.
    """
    folder = Path(folder)
    found = [path for path in folder.glob("iter_*.pth") if iteration_of(path) >= 0]
    pointer = folder / POINTER
    # With a damaged pointer all checkpoints are candidates.
    named = pointer.read_text(encoding="utf-8", errors="replace").strip() if pointer.is_file() else ""
    if named == NONE:
        return []
    last = iteration_of(Path(named))
    if last >= 0:
        found = [path for path in found if iteration_of(path) <= last]
    return sorted(found, key=iteration_of, reverse=True)


def verify_checkpoint(path: str | Path) -> None:
    """Read a checkpoint and compare its checksums, which torch writes but does not read.

    Raises:
        DamagedFileError: it is cut off, or bytes of it have changed.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise DamagedFileError(f"{path}: damaged ({error})") from error
    if damaged is not None:
        raise DamagedFileError(f"{path}: damaged (checksum of {damaged})")


def newest_whole(folder: str | Path, logger: logging.Logger) -> str | None:
    """The newest training checkpoint of a work directory that is not damaged; None where there are none.

    Raises:
        WeightsError: all are damaged.
    """
    candidates = find_checkpoints(folder)
    for path in candidates:
        try:
            verify_checkpoint(path)
        except DamagedFileError as error:
            logger.warning(f"{error}; trying the checkpoint before it")
        else:
            return str(path)
    if candidates:
        raise WeightsError(f"{folder}: none of {len(candidates)} checkpoints is whole, nothing to resume from")
    return None


@HOOKS.register_module()
class CheckpointHook(mmengine.hooks.CheckpointHook):
    """Write ``iter_<n>.pth``; at every moment the newest whole checkpoint is on disk.

    Rank 0 writes. It replaces mmengine's hook of that name, which removes an
    old checkpoint before the new one is there and forgets after a resume which ones it may remove.

    Args:
        interval: in iterations.
        by_epoch: False; trainings count iterations.
        max_keep_ckpts: how many of the newest are kept; -1 for all.
        save_last: write one at the end of the training as well.
        save_best: name of a metric; ``best_<metric>_iter_<n>.pth`` is the best of it so far.
        rule: 'greater' or 'less', which values of the metric are better.
        greater_keys, less_keys: names of metrics from which the rule is guessed.
        save_begin: first iteration to write one.
    """

    last_ckpt: str | None

    def __init__(
        self,
        interval: int = 1000,
        by_epoch: bool = False,
        max_keep_ckpts: int = 3,
        save_last: bool = True,
        save_best: str | list[str] | None = None,
        rule: str | list[str] | None = None,
        greater_keys: Sequence[str] | None = None,
        less_keys: Sequence[str] | None = None,
        save_begin: int = 0,
    ) -> None:
        if by_epoch:
            raise ValueError("CheckpointHook: by_epoch=True; expected False, `interval` counts iterations")
        super().__init__(
            interval=interval,
            by_epoch=False,
            max_keep_ckpts=max_keep_ckpts,
            save_last=save_last,
            save_best=save_best,
            rule=rule,
            greater_keys=greater_keys,
            less_keys=less_keys,
            save_begin=save_begin,
        )

    def before_train(self, runner: Any) -> None:
        """Remove what a killed run has left half written; a run that begins anew leaves an older one's behind."""
        self.out_dir = runner.work_dir
        if self.save_best:
            known = runner.message_hub.runtime_info
            if len(self.key_indicators) == 1:
                self.best_ckpt_path = known.get("best_ckpt")
            else:
                self.best_ckpt_path_dict = {key: known.get(f"best_ckpt_{key}") for key in self.key_indicators}
        if is_main_process():
            for left in temporaries(runner.work_dir):
                left.unlink(missing_ok=True)
            if not runner.iter and find_checkpoints(runner.work_dir):
                # Killed before its first checkpoint, this run must not be resumed from those of the one before it.
                write_text(Path(runner.work_dir, POINTER), NONE)

    def save(self, runner: Any, iteration: int) -> Path:
        """Write the checkpoint of ``iteration`` finished iterations, if it is not there yet.

        The file first, then the pointer to it, then the oldest ones go: a kill in between loses nothing.
        """
        path = Path(runner.work_dir, self.filename_tmpl.format(iteration))
        if self.last_ckpt != str(path):
            meta = dict(epoch=runner.epoch, iter=iteration)
            runner.save_checkpoint(str(path.parent), path.name, meta=meta, by_epoch=False)
            self.last_ckpt = str(path)
            on_main(self._point_to, path)
        return path

    def _point_to(self, path: Path) -> None:
        write_text(path.with_name(POINTER), str(path))
        if self.max_keep_ckpts > 0:
            # Only those up to the pointer: a later one belongs to another run.
            for old in find_checkpoints(path.parent)[self.max_keep_ckpts :]:
                old.unlink(missing_ok=True)

    def _save_best_checkpoint(self, runner: Any, metrics: dict) -> None:
        # mmengine removes the old best one first, and a full disk would leave none.
        self.file_backend = old = _LateRemoval()
        super()._save_best_checkpoint(runner, metrics)
        kept = {
            str(path) for path in (self.best_ckpt_path, *(getattr(self, "best_ckpt_path_dict", None) or {}).values())
        }
        for path in old.put_off:
            # A validation that is repeated after a resume writes the file of that name again.
            if str(path) not in kept:
                path.unlink(missing_ok=True)

    def _save_checkpoint(self, runner: Any) -> None:
        self.save(runner, runner.iter + 1)

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict) -> None:
        """Do nothing: mmengine's save_best would overwrite the newest checkpoint while the EMA is in the model."""


class _LateRemoval(LocalBackend):
    """Files, of which those to be removed are noted."""

    def __init__(self) -> None:
        self.put_off: list[Path] = []

    def remove(self, filepath: str | Path) -> None:
        """Note it."""
        self.put_off.append(Path(filepath))
