"""From condition images to images, by a config and its weights or by a live model."""

from __future__ import annotations

import operator
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine import Config
from torch import Tensor
from tqdm import tqdm

from pitikit.apis.building import Checkpoint, build_model, pipeline_of, read_config, stages_of
from pitikit.apis.inputs import ConditionReader, Item
from pitikit.apis.low_res_inputs import read_low_res
from pitikit.apis.results import (
    LOW_RES_FOLDER,
    Timing,
    Translation,
    check_paths,
    make_folder,
    write_results,
)
from pitikit.diffusion.noise import sample_seed
from pitikit.diffusion.samplers import Sampler, build_sampler
from pitikit.models.cascade import Cascade
from pitikit.models.translator import DenoisingTranslator, to_uint8

EXPORT = "ema.safetensors"
"""What a training leaves in its work directory; see :class:`~pitikit.engine.ema.DenoiserEMA`."""

# Faster work than this needs no bar; it would only flicker.
PROGRESS_AFTER_SECONDS = 2.0


class Translator:
    """Turns conditions (label maps, sketches, depth, captions, …) into images.

    ``Translator.from_config('configs/….py', 'weights/….safetensors')('mask.png')`` gives a uint8
    RGB array (1, 1, H, W, 3). A cascade takes the weights of both its stages, ``{'base': …, 'upsampler': …}``.

    Args:
        model: a live model. It stays on its device, and in the mode that it is in.
        pipeline: the config whose test pipeline loads the condition, or a pipeline itself.

    Attributes:
        model: as given.
        reader: finds, checks and encodes what is to be translated.
        timing: of the last translation.
    """

    def __init__(self, model: DenoisingTranslator | Cascade, pipeline: Sequence[Any] | Mapping[str, Any]) -> None:
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
        checkpoint: Checkpoint,
        device: str | torch.device | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> Translator:
        """Build the model of a config and load its weights.

        Args:
            config: path of a config, or what :func:`~pitikit.engine.config.load_config` gave.
            checkpoint: exported weights, or a training checkpoint, of which the EMA is used. None or
                'random' leaves the weights random (always the same ones), to time a model. Of a cascade
                those of its stages: ``{'base': path, 'upsampler': path}``.
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
        None goes back to it. Of a cascade it is the base model's; the other is ``model.upsampler.sampler``.
        """
        return self.model.sampler if self._sampler is None else self._sampler

    @sampler.setter
    def sampler(self, value: Sampler | Mapping[str, Any] | None) -> None:
        built = None if value is None else build_sampler(dict(value) if isinstance(value, Mapping) else value)
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
        low_res: Any = None,
    ) -> np.ndarray:
        """Translate.

        Args:
            inputs: paths, folders, PIL images, arrays, dicts of members, or a list of them; see
                :meth:`~pitikit.apis.inputs.ConditionReader.find`.
            seed: the first sample is what ``tools/test.py`` makes with this seed for an item of the
                same id, the next one what it makes with ``seed + 1``, and so on. Or all the seeds.
            samples: images per input, where ``seed`` is one number.
            batch_size: images at once; it changes nothing but the time and the memory.
            progress: show a bar if it takes more than two seconds.
            ids: names of the inputs, which the noise depends on; the files' stems by default.
            low_res: what an upsampler enlarges, or a cascade in the place of its base model's images: a folder
                with ``<id>.png``, or an image an input; see :func:`~pitikit.apis.low_res_inputs.read_low_res`.

        Returns:
            uint8 RGB (N, samples, H, W, 3), in the order of the inputs.

        Raises:
            DataError: an input cannot be used; all are looked at before the first is translated.
        """
        results = self.stream(inputs, seed, samples, batch_size, progress, ids, low_res)
        return np.stack([result.images for result in results])

    def stream(
        self,
        inputs: Any,
        seed: int | Sequence[int] = 0,
        samples: int = 1,
        batch_size: int = 8,
        progress: bool = False,
        ids: Sequence[str] | None = None,
        low_res: Any = None,
    ) -> Iterator[Translation]:
        """Translate input after input: yields id, images and what they were enlarged from when they are ready.

        Arguments and errors are those of :meth:`__call__`; errors are raised at once, not at the
        first item.
        """
        seeds = _seeds(seed, samples)
        return self._start(self.reader.find(inputs, ids), seeds, batch_size, progress, low_res)

    def write(
        self,
        inputs: Any,
        folder: str | Path,
        seed: int | Sequence[int] = 0,
        samples: int = 1,
        batch_size: int = 8,
        progress: bool = True,
        overwrite: bool = False,
        low_res: Any = None,
        keep_low_res: bool = False,
    ) -> Iterator[Path]:
        """Translate to ``folder/<id>.png``, ``<id>_<k>.png`` of several samples; yields each path.

        Arguments and errors are those of :meth:`__call__`. Every file is complete or absent.

        Args:
            overwrite: replace what other weights, seeds or settings may have made.
            keep_low_res: write what a cascade enlarges as well, to ``folder/low_res/`` under the same names.

        Raises:
            ValueError: two inputs would be written to one file, or over an input.
            FileExistsError: a result is there, and ``overwrite`` is False.
            OSError: ``folder`` cannot be made or written to.
        """
        folder, seeds = Path(folder), _seeds(seed, samples)
        if keep_low_res and not self._enlarges:
            raise ValueError("keep_low_res: the model enlarges nothing; expected a cascade or an upsampler")
        items = self.reader.find(inputs)
        check_paths(items, folder, len(seeds), keep_low_res, overwrite)
        results = self._start(items, seeds, batch_size, progress, low_res)
        make_folder(folder / LOW_RES_FOLDER if keep_low_res else folder)
        return write_results(results, folder, keep_low_res)

    @property
    def _enlarges(self) -> bool:
        """Whether the model, or the last stage of a cascade, takes ``low_res``."""
        last = list(stages_of(self.model).values())[-1]
        return bool(getattr(last.denoiser.decoder, "low_res", False))

    @property
    def _low_res_side(self) -> int | None:
        stages = list(stages_of(self.model).values())
        return stages[0].denoiser.decoder.image_size if len(stages) > 1 else self.reader.low_res_side

    def _start(
        self, items: list[Item], seeds: Sequence[int], batch_size: int, progress: bool, low_res: Any
    ) -> Iterator[Translation]:
        """Look at everything, so that a bad file is told now and not after an hour."""
        batch_size = _whole("batch_size", batch_size)
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: expected at least 1")
        if low_res is not None and not self._enlarges:
            raise ValueError("low_res: the model enlarges nothing; expected an upsampler or a cascade")
        if low_res is None and self._enlarges and not isinstance(self.model, Cascade):
            raise ValueError(
                "an upsampler enlarges images, and none are given: expected low_res (--low-res FOLDER), or a cascade"
            )
        for item in items:
            self.reader.read(item)
        small = None if low_res is None else read_low_res(low_res, items, self._low_res_side)
        return self._generate(items, seeds, batch_size, progress, small)

    def _generate(
        self,
        items: list[Item],
        seeds: Sequence[int],
        batch_size: int,
        progress: bool,
        small: list[np.ndarray] | None,
    ) -> Iterator[Translation]:
        rows = [(index, seed) for index in range(len(items)) for seed in seeds]
        batches = [rows[start : start + batch_size] for start in range(0, len(rows), batch_size)]
        steps = self._steps(small is not None)
        self.timing = timing = Timing(steps)
        made: list[np.ndarray] = []
        enlarged: list[np.ndarray] = []
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
                read = {index: self.reader.read(items[index]) for index, _ in batch}
                given = {"condition": torch.stack([read[index] for index, _ in batch])}
                if small is not None:
                    images = np.stack([small[index] for index, _ in batch])
                    given["low_res"] = torch.from_numpy(images).permute(0, 3, 1, 2)
                noise = [sample_seed(seed, items[index].id) for index, seed in batch]
                start = time.perf_counter()
                new, low = self._sample(given, noise, lambda *_: bar.update())
                made.extend(new)
                enlarged.extend(low)
                timing.seconds += time.perf_counter() - start
                timing.calls += steps
                timing.images += len(batch)
                while len(made) >= len(seeds):
                    low_res = np.stack(enlarged[: len(seeds)]) if enlarged else None
                    yield Translation(items[done].id, np.stack(made[: len(seeds)]), low_res)
                    del made[: len(seeds)], enlarged[: len(seeds)]
                    done += 1

    def _steps(self, enlarges_only: bool) -> int:
        with self._set_up():
            stages = stages_of(self.model)
            return (list(stages.values())[-1] if enlarges_only else self.model).steps

    def _sample(self, given: dict[str, Tensor], seeds: Sequence[int], callback: Any) -> tuple[np.ndarray, np.ndarray]:
        """The images (B, H, W, 3), and those that were enlarged, (B, h, w, 3) or none."""
        model = self.model
        with self._set_up():
            batch = model.data_preprocessor(given, False)
            condition, low = batch["condition"], batch.get("low_res")
            if low is None and isinstance(model, Cascade):
                low = model.predict_low_res(condition, seeds, callback)
            images = model.predict_images(condition, seeds, low, callback=callback)
        return _arrays(images), _arrays(images[:0] if low is None else low)

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


def _seeds(seed: Any, samples: Any) -> list[int]:
    samples = _whole("samples", samples)
    if isinstance(seed, np.ndarray) and seed.ndim == 1:
        seed = seed.tolist()
    if isinstance(seed, Sequence) and not isinstance(seed, (str, bytes)):
        seeds = [_whole("seed", each) for each in seed]
        if not seeds or samples not in (1, len(seeds)):
            raise ValueError(f"seed={seeds}, samples={samples}: expected one seed a sample")
        return seeds
    if samples < 1:
        raise ValueError(f"samples={samples}: expected at least 1")
    return [_whole("seed", seed) + k for k in range(samples)]


def _whole(name: str, value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError:
        shown = " ".join(repr(value).split())
        more = ", or a list of them" if name == "seed" else ""
        raise TypeError(f"{name}={shown[:60]}: expected a whole number{more}") from None


def _arrays(images: Tensor) -> np.ndarray:
    return to_uint8(images).permute(0, 2, 3, 1).cpu().numpy()
