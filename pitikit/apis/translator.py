"""From condition pictures to images, by a config and its weights or by a live model."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine import Config
from torch import Tensor
from tqdm import tqdm

from pitikit.apis.building import build_model, pipeline_of, read_config
from pitikit.apis.inputs import ConditionReader, Item
from pitikit.data.pictures import write_png
from pitikit.diffusion.noise import sample_seed
from pitikit.diffusion.samplers import Sampler
from pitikit.engine.weights import write_atomically
from pitikit.models.translator import DenoisingTranslator, to_uint8
from pitikit.registry import SAMPLERS

EXPORT = "ema.safetensors"
"""What a training leaves in its work directory; see :class:`~pitikit.engine.ema.DenoiserEMA`."""

# Faster work than this needs no bar; it would only flicker.
PROGRESS_AFTER_SECONDS = 2.0


@dataclass
class Timing:
    """What the last translation took.

    Attributes:
        steps: sampling steps of a picture.
        pictures: how many were made.
        calls: sampling steps in all, one of a whole batch counted once.
        seconds: of sampling, encoding included; reading and writing files excluded.
    """

    steps: int = 0
    pictures: int = 0
    calls: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        """Such as ``5 steps, 1 picture, 12.3 s, 2.46 s per step``."""
        noun = "picture" if self.pictures == 1 else "pictures"
        batches = self.calls // max(self.steps, 1)
        many = f" in {batches} batches" if batches > 1 else ""
        per_step = self.seconds / max(self.calls, 1)
        return f"{self.steps} steps, {self.pictures} {noun}{many}, {self.seconds:.1f} s, {per_step:.3g} s per step"


class Translator:
    """Turns conditions (label maps, sketches, depth, captions, …) into images.

    ``Translator.from_config('configs/….py', 'weights/….safetensors')('mask.png')`` gives a uint8
    RGB array (1, 1, H, W, 3).

    Args:
        model: a live model. It stays on its device, and in the mode that it is in.
        pipeline: the config whose test pipeline loads the condition, or a pipeline itself.

    Attributes:
        model: as given.
        reader: finds, checks and encodes what is to be translated.
        timing: of the last translation.
    """

    def __init__(self, model: DenoisingTranslator, pipeline: Sequence[Any] | Mapping[str, Any]) -> None:
        if not hasattr(model, "predict_images"):
            raise TypeError(
                f"model of type {type(model).__name__}; expected a DenoisingTranslator (its "
                "denoiser alone knows neither schedule nor sampler)"
            )
        self.model = model
        self.reader = ConditionReader(pipeline if isinstance(pipeline, Sequence) else pipeline_of(pipeline))
        self._sampler: Sampler | None = None
        self.timing = Timing()

    @classmethod
    def from_config(
        cls,
        config: str | Path | Config,
        checkpoint: str | Path | None,
        device: str | torch.device | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Translator:
        """Build the model of a config and load its weights.

        Args:
            config: path of a config, or what :func:`~pitikit.engine.config.load_config` gave.
            checkpoint: exported weights, or a training checkpoint, of which the EMA is used. None
                leaves the weights random (always the same ones), to time a model.
            device: a CUDA device where there is one, otherwise the CPU, by default.
            options: changes to the config by dotted key, ``{'model.sampler.steps': 20}``.

        Raises:
            ValueError: the config, the weights or the device cannot be used; the message says why.
        """
        cfg = read_config(config, options)
        model = build_model(cfg, checkpoint, device)
        return cls(model, cfg)

    @classmethod
    def from_folder(
        cls,
        folder: str | Path,
        device: str | torch.device | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Translator:
        """Take config and EMA from the work directory of a training; see :meth:`from_config`.

        Raises:
            ValueError: the folder holds no config, more than one, or no ``ema.safetensors``.
        """
        folder = Path(folder)
        configs = sorted(folder.glob("*.py"))
        if len(configs) != 1:
            found = [path.name for path in configs] if folder.is_dir() else "no such folder"
            raise ValueError(f"{folder}: expected a work directory with one config; found {found or 'none'}")
        return cls.from_config(configs[0], folder / EXPORT, device, options)

    @property
    def members(self) -> tuple[str, ...]:
        """What an input consists of, such as ('mask',) or ('normals', 'depth')."""
        return self.reader.members

    @property
    def sampler(self) -> Sampler:
        """How images are sampled: the model's sampler, or what was set here: a config or a Sampler.

        ``translator.sampler = dict(type='DDIMSampler', steps=20)`` leaves the model's own as it is;
        None goes back to it.
        """
        return self.model.sampler if self._sampler is None else self._sampler

    @sampler.setter
    def sampler(self, value: Sampler | Mapping[str, Any] | None) -> None:
        built = SAMPLERS.build(dict(value)) if isinstance(value, Mapping) else value
        if built is not None:
            self.model.schedule.spaced(built.steps)  # A wrong number is told now.
        self._sampler = built

    def __call__(
        self,
        inputs: Any,
        seed: int | Sequence[int] = 0,
        samples: int = 1,
        batch_size: int = 8,
        progress: bool = True,
        ids: Sequence[str] | None = None,
    ) -> np.ndarray:
        """Translate.

        Args:
            inputs: paths, folders, PIL images, arrays, dicts of members, or a list of them; see
                :meth:`~pitikit.apis.inputs.ConditionReader.find`.
            seed: the first sample is what ``tools/test.py`` makes with this seed for an item of the
                same id, the next one what it makes with ``seed + 1``, and so on. Or all the seeds.
            samples: pictures per input, where ``seed`` is one number.
            batch_size: pictures at once; it changes nothing but the time and the memory.
            progress: show a bar if it takes more than two seconds.
            ids: names of the inputs, which the noise depends on; the files' stems by default.

        Returns:
            uint8 RGB (N, samples, H, W, 3), in the order of the inputs.

        Raises:
            DataError: an input cannot be used; all are looked at before the first is translated.
        """
        results = self.stream(inputs, seed, samples, batch_size, progress, ids)
        return np.stack([pictures for _, pictures in results])

    def stream(
        self,
        inputs: Any,
        seed: int | Sequence[int] = 0,
        samples: int = 1,
        batch_size: int = 8,
        progress: bool = False,
        ids: Sequence[str] | None = None,
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Translate input after input: yields id and uint8 (samples, H, W, 3) when it is ready.

        Arguments and errors are those of :meth:`__call__`; errors are raised at once, not at the
        first item.
        """
        seeds = _seeds(seed, samples)
        return self._start(self.reader.find(inputs, ids), seeds, batch_size, progress)

    def write(
        self,
        inputs: Any,
        folder: str | Path,
        seed: int | Sequence[int] = 0,
        samples: int = 1,
        batch_size: int = 8,
        progress: bool = True,
        overwrite: bool = False,
    ) -> Iterator[Path]:
        """Translate to ``folder/<id>.png``, ``<id>_<k>.png`` of several samples; yields each path.

        Arguments and errors are those of :meth:`__call__`. Every file is complete or absent.

        Args:
            overwrite: replace what other weights, seeds or settings may have made.

        Raises:
            ValueError: two inputs would be written to one file, or over an input.
            FileExistsError: a result is there, and ``overwrite`` is False.
        """
        folder, seeds = Path(folder), _seeds(seed, samples)
        items = self.reader.find(inputs)
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"{folder}: expected a folder to write to; found a file")
        taken: dict[Path, Item] = {}
        read = {v.resolve() for i in items for v in i.sources.values() if isinstance(v, Path)}
        for item in items:
            for path in _paths(folder, item.id, len(seeds)):
                if path in taken:
                    raise ValueError(
                        f"{_origin(taken[path])} and {_origin(item)} would both be written to "
                        f"{path}; translate them into different folders"
                    )
                if path.resolve() in read:
                    raise ValueError(f"{path} is an input; expected another folder for the results")
                taken[path] = item
        there = [path for path in taken if path.exists()]
        if there and not overwrite:
            more = f" and {len(there) - 1} more" if len(there) > 1 else ""
            advice = "choose another folder, or overwrite=True (--overwrite)"
            raise FileExistsError(f"{there[0]}{more}: is there already; {advice}")
        return self._write(self._start(items, seeds, batch_size, progress), folder)

    def _start(
        self, items: list[Item], seeds: Sequence[int], batch_size: int, progress: bool
    ) -> Iterator[tuple[str, np.ndarray]]:
        """Look at everything, so that a bad file is told now and not after an hour."""
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: expected at least 1")
        for item in items:
            self.reader.read(item)
        return self._generate(items, seeds, batch_size, progress)

    def _write(self, results: Iterator[tuple[str, np.ndarray]], folder: Path) -> Iterator[Path]:
        for name, pictures in results:
            paths = _paths(folder, name, len(pictures))
            for path, picture in zip(paths, pictures, strict=True):
                _save(path, picture)
                yield path

    def _generate(
        self, items: list[Item], seeds: Sequence[int], batch_size: int, progress: bool
    ) -> Iterator[tuple[str, np.ndarray]]:
        rows = [(item, seed) for item in items for seed in seeds]
        batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
        steps = len(self.model.schedule.spaced(self.sampler.steps))
        self.timing = timing = Timing(steps)
        ready: list[np.ndarray] = []
        done = 0
        bar = tqdm(
            total=steps * len(batches),
            desc="translating",
            unit="step",
            disable=not progress,
            delay=PROGRESS_AFTER_SECONDS,
        )
        with bar:
            for batch in batches:
                read = {id(item): self.reader.read(item) for item, _ in batch}
                conditions = torch.stack([read[id(item)] for item, _ in batch])
                noise = [sample_seed(seed, item.id) for item, seed in batch]
                start = time.perf_counter()
                ready.extend(self._sample(conditions, noise, lambda *_: bar.update()))
                timing.seconds += time.perf_counter() - start
                timing.calls += steps
                timing.pictures += len(batch)
                while len(ready) >= len(seeds):
                    yield items[done].id, np.stack(ready[: len(seeds)])
                    del ready[: len(seeds)]
                    done += 1

    def _sample(self, conditions: Tensor, seeds: Sequence[int], callback: Any) -> np.ndarray:
        with self._set_up():
            batch = self.model.data_preprocessor({"condition": conditions}, False)
            images = self.model.predict_images(batch["condition"], seeds, callback=callback)
        return to_uint8(images).permute(0, 2, 3, 1).cpu().numpy()

    @contextmanager
    def _set_up(self) -> Iterator[None]:
        """Evaluation mode and this translator's sampler, for as long as the model samples."""
        modes = [(module, module.training) for module in self.model.modules()]
        own = self.model.sampler
        self.model.sampler = self.sampler
        self.model.eval()
        try:
            yield
        finally:
            self.model.sampler = own
            for module, mode in modes:
                module.training = mode


def _seeds(seed: int | Sequence[int], samples: int) -> list[int]:
    if isinstance(seed, Sequence):
        if not seed or samples not in (1, len(seed)):
            raise ValueError(f"seed={list(seed)}, samples={samples}: expected one seed a sample")
        return [int(s) for s in seed]
    if samples < 1:
        raise ValueError(f"samples={samples}: expected at least 1")
    return [int(seed) + k for k in range(samples)]


def _paths(folder: Path, name: str, count: int) -> list[Path]:
    return [folder / (f"{name}_{k}.png" if count > 1 else f"{name}.png") for k in range(count)]


def _save(path: Path, picture: np.ndarray) -> None:
    def write(temporary: Path) -> None:
        write_png(temporary, picture)

    write_atomically(path, write)


def _origin(item: Item) -> str:
    paths = [str(v) for v in item.sources.values() if isinstance(v, Path)]
    return paths[0] if paths else f"input {item.id!r}"
