"""Translation of condition images to images, by a config and its weights or by a live model."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine import Config
from PIL import Image
from torch.utils.data import DataLoader
from tqdm import tqdm

from pitikit.apis.building import Checkpoint, build_model, pipeline_and_key, read_config, refuse_idle_seeds
from pitikit.apis.edit import Edit
from pitikit.apis.inputs import ConditionReader, Item
from pitikit.apis.instances import class_names
from pitikit.apis.low_res_inputs import read_low_res
from pitikit.apis.photographs import Photographs
from pitikit.apis.pretrained import pretrained, trained
from pitikit.apis.requests import as_sampler, as_whole, make_request, make_seeds
from pitikit.apis.results import (
    LOW_RES_FOLDER,
    Timing,
    Translation,
    check_paths,
    collect,
    make_folder,
    write_results,
)
from pitikit.apis.rows import InputRows, make_rows
from pitikit.config import warn_of_idle_options
from pitikit.diffusion.resampling import Resample
from pitikit.diffusion.samplers import Sampler, SamplingRequest
from pitikit.diffusion.schedule import Steps
from pitikit.diffusion.types import Prediction
from pitikit.evaluation.generate import generate
from pitikit.models.cascade import Cascade
from pitikit.models.translator import DenoisingTranslator, to_uint8

#: Keys of a config that a translation depends on.
READ = ("model", "test_dataloader.dataset", "plugins", "accelerate")
# A bar for faster work would only flicker.
PROGRESS_AFTER_SECONDS = 2.0

PreviewCallback = Callable[[int, int, np.ndarray], Any]
"""``(step, steps, preview)``: steps made and in all, and x0 as the model sees it now, uint8 (B, H, W, 3)."""
OUTPUT_TYPES = ("np", "pil", "pt")


class Translator:
    """A translator of conditions (label maps, sketches, depth, captions, …) into images.

    ``Translator.from_config('configs/….py', 'weights/….safetensors')('mask.png')`` gives a uint8
    RGB array (1, 1, H, W, 3). A cascade takes the weights of both its parts, ``{'base': …, 'upsampler': …}``.

    Args:
        model: a live model. It stays on its device, and in the mode that it is in.
        pipeline: the config whose test pipeline loads the condition, or a pipeline itself.

    Attributes:
        model: as given.
        reader: finds, checks and encodes the inputs.
        classes: names of the labels by id, where the config has them.
        timing: of the last translation.
    """

    def __init__(self, model: DenoisingTranslator | Cascade, pipeline: Sequence[Any] | Mapping[str, Any]) -> None:
        if not isinstance(model, (DenoisingTranslator, Cascade)):
            raise TypeError(
                f"Translator: got a model of type {type(model).__name__}, expected a DenoisingTranslator or a Cascade "
                "(a denoiser alone has neither schedule nor sampler)"
            )
        self.model = model
        self.reader = ConditionReader(*((pipeline,) if isinstance(pipeline, Sequence) else pipeline_and_key(pipeline)))
        self.classes = () if isinstance(pipeline, Sequence) else class_names(pipeline)
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
            config: path of a config, or what :func:`~pitikit.config.load_config` gave.
            checkpoint: exported weights, or a training checkpoint, of which the EMA is used. None or
                'random' leaves the weights random (always the same ones), to time a model. For a cascade
                those of its parts: ``{'base': path, 'upsampler': path}``.
            device: a CUDA device where there is one, otherwise the CPU, by default.
            options: changes to the config by dotted key, ``{'model.sampler.steps': 20}``.

        Raises:
            ValueError: the config, the weights or the device cannot be used; the message has the reason.
        """
        cfg = read_config(config, options)
        refuse_idle_seeds(cfg, options or {})
        warn_of_idle_options(options or {}, "a translation", READ)
        model = build_model(cfg, checkpoint, device)
        return cls(model, cfg)

    @classmethod
    def from_pretrained(
        cls, name: str, device: str | torch.device | None = None, options: Mapping[str, Any] | None = None
    ) -> Translator:
        """Take a shipped model by its name, such as 'scenes_mask' or 'scenes_mask_256'; see :meth:`from_config`.

        Raises:
            ValueError: there is no such name; the message lists those of :data:`~pitikit.apis.pretrained.PRETRAINED`.
        """
        return cls.from_config(*pretrained(name), device, options)

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
        return cls.from_config(*trained(folder), device, options)

    @property
    def members(self) -> tuple[str, ...]:
        """The members of an input, such as ('mask',) or ('normals', 'depth')."""
        return self.reader.members

    @property
    def sampler(self) -> Sampler:
        """The sampler of every call that names none: the model's, or what was set here, a config or a Sampler.

        ``translator.sampler = dict(type='DDIMSampler', steps=20)`` leaves the model's own as it is;
        None goes back to it. For a cascade it is the base model's; the other is ``model.upsampler.sampler``.
        """
        return self.model.sampler if self._sampler is None else self._sampler

    @sampler.setter
    def sampler(self, value: Sampler | Mapping[str, Any] | None) -> None:
        built = None if value is None else as_sampler(value)
        if built is not None:
            built.timesteps(self.model.schedule)  # Wrong steps are an error now.
        self._sampler = built

    def __call__(
        self,
        inputs: Any,
        seed: int | Sequence[int] | None = None,
        samples: int = 1,
        batch_size: int = 8,
        progress: bool = True,
        ids: Sequence[str] | None = None,
        low_res: Any = None,
        steps: Steps | None = None,
        scale: float | None = None,
        sampler: Sampler | Mapping[str, Any] | None = None,
        upsampler: Mapping[str, Any] | None = None,
        dtype: str | torch.dtype | None = None,
        callback: PreviewCallback | None = None,
        output_type: str = "np",
        edit: Edit | None = None,
        instances: Any = None,
        weights: Mapping[str, float] | None = None,
        intervals: Mapping[str, Sequence[float]] | None = None,
        from_photo: Any = None,
    ) -> Any:
        """Translate.

        Args:
            inputs: paths, folders, PIL images, arrays, dicts of members, or a list of them; see
                :meth:`~pitikit.apis.inputs.ConditionReader.find`.
            seed: of the first sample, the model's own by default; the next one has ``seed + 1``, and so on. Or all
                the seeds. The noise of a single input, given in whatever form, depends on the seed alone. That of
                each of several depends on its name as well: the stem of its file, or its position where it has none.
            samples: images per input, where ``seed`` is one number.
            batch_size: images at once; it changes only time, memory and rounding.
            progress: show a bar if it takes more than two seconds.
            ids: names of the inputs, in the place of those; then the noise of a single input depends on its name
                too. The first sample is what ``tools/test.py`` makes with this seed for an item of the same id.
            low_res: what an upsampler enlarges, or a cascade in the place of its base model's images: a folder
                with ``<id>.png``, or an image an input; see :func:`~pitikit.apis.low_res_inputs.read_low_res`.
            steps: sampling steps, in the place of the sampler's; see
                :func:`~pitikit.diffusion.schedule.spaced_timesteps`.
            scale: of the guidance, in the place of the sampler's.
            sampler: config or Sampler for this call. For a cascade these three are the base's.
            upsampler: of a cascade, ``steps``, ``scale``, ``sampler`` and ``strength`` of its upsampler.
            dtype: precision of the network's products, such as 'bfloat16'; that of the parameters by default.
            callback: called after every step of every batch with a preview; see :data:`PreviewCallback`.
            output_type: 'np', 'pil' or 'pt'.
            edit: images to begin from, see :meth:`edit`.
            instances: classes of a label map, by name or id, whose objects need not look alike: each is sampled with a
                seed of its own, which takes as much time as a further image; the 8 largest of an image at most.
            from_photo: ``inputs`` are photographs, of which an extractor makes the condition: its name or config, such
                as 'pidinet', several of them, or 'auto' for that of the training; see
                :mod:`pitikit.data.extraction`.
            weights: of several conditions the weight of each by its name, ``{'mask': 1.0, 'sketch': 0.5}``; 0 leaves a
                condition out.
            intervals: of several conditions from where to where in the sampling each acts, ``{'sketch': (0, 0.5)}``
                for the noisier half; see :class:`~pitikit.diffusion.guidance.PartsCFG`.

        Returns:
            In the order of the inputs: uint8 RGB (N, samples, H, W, 3); of 'pt' a tensor uint8 (N, samples, 3, H, W);
            of 'pil' a list of ``samples`` images for each input.

        Raises:
            DataError: an input cannot be used; all are checked before the first is translated.
            ValueError: another argument out of range.
        """
        if output_type not in OUTPUT_TYPES:
            raise ValueError(f"output_type={output_type!r}: expected one of {', '.join(map(repr, OUTPUT_TYPES))}")
        sampling = dict(steps=steps, scale=scale, sampler=sampler, upsampler=upsampler, dtype=dtype)
        more = dict(edit=edit, instances=instances, from_photo=from_photo, **sampling)
        more.update(weights=weights, intervals=intervals)
        results = self.stream(inputs, seed, samples, batch_size, progress, ids, low_res, callback, **more)
        images = [result.images for result in results]
        if output_type == "pil":
            return [[Image.fromarray(image) for image in made] for made in images]
        stacked = np.stack(images)
        return torch.from_numpy(stacked).permute(0, 1, 4, 2, 3).contiguous() if output_type == "pt" else stacked

    def stream(
        self,
        inputs: Any,
        seed: int | Sequence[int] | None = None,
        samples: int = 1,
        batch_size: int = 8,
        progress: bool = False,
        ids: Sequence[str] | None = None,
        low_res: Any = None,
        callback: PreviewCallback | None = None,
        edit: Edit | None = None,
        instances: Any = None,
        from_photo: Any = None,
        **sampling: Any,
    ) -> Iterator[Translation]:
        """Translate input after input: yields id, images and what they were enlarged from when they are ready.

        Arguments and errors are those of :meth:`__call__`, of which ``sampling`` holds ``steps``, ``scale``,
        ``sampler``, ``upsampler``, ``dtype``, ``weights`` and ``intervals``; errors are raised at once, not at the
        first item.
        """
        seeds = make_seeds(seed, samples, self.model.seed)
        sampling = sampling if edit is None else edit.sampling(self.sampler, sampling)
        request = make_request(self.model, self.sampler, seeds, low_res is not None, **sampling)
        reader = self._reader(from_photo)
        items = reader.find(inputs, ids)
        return self._start(reader, items, request, batch_size, progress, low_res, callback, edit, instances)

    def write(
        self,
        inputs: Any,
        folder: str | Path,
        seed: int | Sequence[int] | None = None,
        samples: int = 1,
        batch_size: int = 8,
        progress: bool = True,
        overwrite: bool = False,
        low_res: Any = None,
        keep_low_res: bool = False,
        ids: Sequence[str] | None = None,
        callback: PreviewCallback | None = None,
        edit: Edit | None = None,
        instances: Any = None,
        from_photo: Any = None,
        **sampling: Any,
    ) -> Iterator[Path]:
        """Translate to ``folder/<id>.png``, ``<id>_<k>.png`` of several samples; yields each path.

        Arguments and errors are those of :meth:`stream`. Every file is complete or absent.

        Args:
            overwrite: replace what other weights, seeds or settings may have made.
            keep_low_res: write what a cascade enlarges as well, to ``folder/low_res/`` under the same names.

        Raises:
            ValueError: two inputs would be written to one file, or over an input.
            FileExistsError: a result is there, and ``overwrite`` is False.
            OSError: ``folder`` cannot be made or written to.
        """
        folder, seeds = Path(folder), make_seeds(seed, samples, self.model.seed)
        sampling = sampling if edit is None else edit.sampling(self.sampler, sampling)
        request = make_request(self.model, self.sampler, seeds, low_res is not None, **sampling)
        if keep_low_res and not self._enlarges:
            raise ValueError("keep_low_res: the model enlarges nothing; expected a cascade or an upsampler")
        reader = self._reader(from_photo)
        items = reader.find(inputs, ids)
        check_paths(items, folder, len(seeds), keep_low_res, overwrite)
        results = self._start(reader, items, request, batch_size, progress, low_res, callback, edit, instances)
        make_folder(folder / LOW_RES_FOLDER if keep_low_res else folder)
        return write_results(results, folder, keep_low_res)

    def edit(
        self,
        inputs: Any,
        image: Any,
        strength: float | None = None,
        mask: Any = None,
        keep: Any = None,
        before: Any = None,
        feather: int | None = None,
        variation: float | None = None,
        resample: Resample | None = None,
        **call: Any,
    ) -> Any:
        """Edit images: make them, or a part of each, anew by their conditions.

        ``edit(label, photo, strength=0.5)`` makes an image like another one; with ``mask=`` or ``keep=`` a part of it,
        with ``before=`` what differs from an old condition, with ``variation=`` other details. Outside the part that is
        made anew every byte is that of ``image``, brought to the model's size.

        Args:
            inputs: conditions.
            image, strength, mask, keep, before, feather, variation, resample: see :class:`~pitikit.apis.edit.Edit`.
            call: further arguments of :meth:`__call__`, whose results and errors these are.
        """
        edit = Edit(image, strength, mask, keep, before, feather, variation, resample)
        return self(inputs, edit=edit, **call)

    @property
    def _last(self) -> DenoisingTranslator:
        """The model, or the upsampler of a cascade."""
        return list(self.model.parts.values())[-1]

    @property
    def _enlarges(self) -> bool:
        return self._last.denoiser.decoder.takes_low_res

    @property
    def _low_res_side(self) -> int | None:
        parts = list(self.model.parts.values())
        return parts[0].denoiser.decoder.image_size if len(parts) > 1 else self.reader.low_res_side

    def _reader(self, from_photo: Any) -> ConditionReader:
        return self.reader if from_photo is None else self.reader.of_photographs(Photographs(from_photo))

    def _start(
        self,
        reader: ConditionReader,
        items: list[Item],
        request: SamplingRequest,
        batch_size: int,
        progress: bool,
        low_res: Any,
        callback: PreviewCallback | None,
        edit: Edit | None = None,
        instances: Any = None,
    ) -> Iterator[Translation]:
        """Check all inputs, so that a bad file is an error now and not after an hour."""
        batch_size = as_whole("batch_size", batch_size)
        if batch_size < 1:
            raise ValueError(f"batch_size={batch_size}: expected at least 1")
        if low_res is not None and not self._enlarges:
            raise ValueError("low_res: the model enlarges nothing; expected an upsampler or a cascade")
        if low_res is None and self._enlarges and not isinstance(self.model, Cascade):
            raise ValueError("low_res: got None, expected the images to enlarge (--low-res FOLDER); or use a cascade")
        small = None if low_res is None else read_low_res(low_res, items, self._low_res_side)
        conditions, request = make_rows(self.model, reader, items, request, small, edit, instances, self.classes)
        return self._generate(conditions, request, batch_size, progress, callback)

    def _generate(
        self,
        conditions: InputRows,
        request: SamplingRequest,
        batch_size: int,
        progress: bool,
        callback: PreviewCallback | None,
    ) -> Iterator[Translation]:
        samples = len(request.seeds or ())
        # All samples of as many inputs as make a batch, or those of one input in several.
        inputs = max(1, batch_size // samples)
        calls = -(-len(conditions) // inputs) * -(-inputs * samples // batch_size)
        start = conditions[0].get("start")
        steps = self.model.sampling_steps(replace(request, start=start), conditions.low_res is not None)
        self.timing = timing = Timing(steps)
        bar = tqdm(
            total=steps * calls, desc="translating", unit="step", disable=not progress, delay=PROGRESS_AFTER_SECONDS
        )

        def note(index: int, t: int, x: torch.Tensor, prediction: Prediction) -> None:
            bar.update()
            timing.calls += 1
            if callback is not None:
                # In a cascade the steps of both parts are counted together.
                preview = to_uint8(prediction.x0).permute(0, 2, 3, 1).cpu().numpy()
                callback((timing.calls - 1) % steps + 1, steps, preview)

        loader, names = DataLoader(conditions, inputs), (item.id for item in conditions.items)
        begin = time.perf_counter()
        with bar:
            for done in generate(self.model, loader, replace(request, callback=note), rows=batch_size):
                timing.seconds += time.perf_counter() - begin
                timing.images += len(done.images)
                yield from collect(done, samples, names)
                begin = time.perf_counter()
