"""The model that mmengine's Runner trains and tests."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Annotated, Any, NamedTuple

import torch
from mmengine.model import BaseModel
from torch import Tensor

from pitikit.diffusion.conditions import (
    Condition,
    Drop,
    any_part,
    check_drop_names,
    checked_drop,
    draw_dropped,
    dropped_members,
    parts_by_member,
    sample_of,
)
from pitikit.diffusion.guidance import GuidanceInputs, check_parts
from pitikit.diffusion.noise import BatchDraws, NoiseSource, sample_seed
from pitikit.diffusion.resampling import order_of_steps
from pitikit.diffusion.samplers import Sampler, SamplingRequest, build_sampler, steps_of
from pitikit.diffusion.schedule import NoiseSchedule
from pitikit.diffusion.timesteps import TimestepSampler
from pitikit.diffusion.types import (
    PREDICTED,
    BoundDenoiser,
    Conditioning,
    Decode,
    Prediction,
    Target,
    known_part,
)
from pitikit.losses.denoising import Loss
from pitikit.models.denoiser import Denoiser
from pitikit.models.members import members_for
from pitikit.models.precision import half_precision
from pitikit.registry import LOSSES, MODELS, SAMPLERS, SCHEDULES, TIMESTEP_SAMPLERS
from pitikit.weights import WeightsError, read_weights

JOINT_STRENGTH = 0.25
"""Share of the sampling steps that brings objects which were sampled apart together."""


class NonFiniteImageError(RuntimeError):
    """Sampling produced non-finite pixels."""


class Samples(NamedTuple):
    """A batch of images.

    Attributes:
        images: (B, 3, H, W) in [-1, 1].
        low_res: (B, 3, h, w) in [-1, 1], what an upsampler enlarged; None of a base model.
        calls: evaluations of a network for all of them, one for each row of its batch: with and without the condition
            are two, and so are a strong and a weak model.
    """

    images: Tensor
    low_res: Tensor | None = None
    calls: int = 0


class CountedDecoder:
    """A decoder that counts the rows of its batches.

    Args:
        decode: see :data:`~pitikit.diffusion.types.Decode`.
    """

    def __init__(self, decode: Decode) -> None:
        self.decode = decode
        self.rows = 0

    def __call__(self, x_t: Tensor, t: Tensor, cond: Conditioning) -> Tensor:
        """Count, then decode."""
        self.rows += len(x_t)
        return self.decode(x_t, t, cond)


@MODELS.register_module()
class DenoisingTranslator(BaseModel):
    """A conditional diffusion model: denoiser, schedule, losses and sampler.

    Args:
        denoiser: config of :class:`~pitikit.models.denoiser.Denoiser`.
        schedule: config; by default that which the decoder was trained on where it states it, and otherwise
            squaredcos_cap_v2 with 1000 steps.
        losses: configs; their weighted sum is minimised.
        timestep_sampler: config or name; loss-second-moment by default, as in the released code.
        sampler: config of what :meth:`sample` uses; 250 steps of DDPM with CFG 1.3 by default.
        drop: probability with which a sample's condition is replaced by the null condition in training; of a condition
            of several parts that of each on its own, or by name, ``dict(condition=0.1, text=0.2)``.
        seed: of sampling; an image depends on it and on the sample's id alone.
        data_preprocessor: config; uint8 images to [-1, 1] by default.
        predicts: what the decoder predicts, 'eps' (GLIDE), 'v' or 'x0'; by default what it states itself, or 'eps'.

    Raises:
        ValueError: an argument contradicts another one, or what the decoder states of its own training.
    """

    #: Names of the parts that have weights of their own; none, since the model is one.
    PARTS: tuple[str, ...] = ()
    #: Share of the sampling steps that is made from a ``start`` where a request names none.
    strength = 1.0

    def __init__(
        self,
        denoiser: Annotated[Any, MODELS, Denoiser],
        schedule: Annotated[Any, SCHEDULES] = None,
        losses: Sequence[Annotated[Any, LOSSES]] = (dict(type="EpsMSE"), dict(type="VariationalBound")),
        timestep_sampler: Annotated[str | Any, TIMESTEP_SAMPLERS] = "loss-second-moment",
        sampler: Annotated[Any, SAMPLERS] = None,
        drop: float | dict[str, float] = 0.0,
        seed: int = 0,
        data_preprocessor: Annotated[Any, MODELS] = None,
        predicts: str | None = None,
    ) -> None:
        # Built here: mmengine would look for it in its own registry when no runner has set the default scope.
        super().__init__(MODELS.build(data_preprocessor or dict(type="ImagePreprocessor")))
        if predicts is not None and predicts not in PREDICTED:
            raise ValueError(f"predicts={predicts!r}: expected one of {', '.join(map(repr, PREDICTED))}")
        config = denoiser if not isinstance(denoiser, dict) else {"type": "Denoiser", **denoiser}
        self.denoiser: Denoiser = MODELS.build(config) if isinstance(config, dict) else config
        decoder = self.denoiser.decoder
        self.schedule: NoiseSchedule = _schedule_for(schedule, decoder.alpha_bar)
        if None not in (predicts, decoder.predicts) and predicts != decoder.predicts:
            raise ValueError(
                f"predicts: got {predicts!r}, expected {decoder.predicts!r}, which the decoder was trained to predict; "
                "leave out predicts"
            )
        self.predicts = predicts or decoder.predicts or "eps"
        self.losses = torch.nn.ModuleList(LOSSES.build(loss) for loss in losses)
        for term in self.losses:
            if not isinstance(term, Loss):
                name = type(term).__name__
                raise TypeError(f"losses: {name} is no Loss; derive it from pitikit.losses.denoising.Loss")
            term.watch(self.denoiser)
        names = [term.name for term in self.losses]
        if len(set(names)) < len(names):
            raise ValueError(f"losses: got the names {', '.join(map(str, names))}, expected each once; set name='...'")
        if isinstance(timestep_sampler, str):
            timestep_sampler = dict(type=timestep_sampler)
        if isinstance(timestep_sampler, dict):
            timestep_sampler = {"steps": len(self.schedule), **timestep_sampler}
        self.timestep_sampler: TimestepSampler = TIMESTEP_SAMPLERS.build(timestep_sampler)
        if self.timestep_sampler.steps != len(self.schedule):
            found = self.timestep_sampler.steps
            raise ValueError(f"timestep_sampler: got steps={found}, expected the {len(self.schedule)} of the schedule")
        default = dict(type="DDPMSampler", steps=250, guidance=dict(type="CFG", scale=1.3))
        self.sampler: Sampler = build_sampler(sampler or default)
        # Wrong steps would show at the first sample grid only.
        self.sampler.timesteps(self.schedule)
        check_parts(self.sampler.guidance, self.denoiser.parts)
        self.drop = checked_drop("", drop)
        check_drop_names("", self.drop, self.denoiser.parts)
        self.seed = seed
        # No submodule: neither saved nor trained with the model.
        self._weak: dict[str, Denoiser] = {}

    @property
    def parts(self) -> dict[str, DenoisingTranslator]:
        """The models that sample one after the other: this one, without a name. For a cascade they have names."""
        return {"": self}

    def init_weights(self) -> None:
        """Let the losses read the files that they need; called by the Runner alone, before a training."""
        super().init_weights()
        for term in self.losses:
            assert isinstance(term, Loss)
            term.prepare()

    def forward(self, mode: str = "tensor", **batch: Any) -> Any:
        """Entry of mmengine's Runner.

        Args:
            mode: 'loss' for a dict of scalars; 'predict' for a list of result dicts; 'sample' for :meth:`sample`;
                'tensor' for the decoder's output (needs ``x_t``, ``t`` and ``condition``).
            batch: what the dataset's pipeline packed, already on the device.
        """
        if mode == "loss":
            return self.loss(**batch)
        if mode == "predict":
            return self.predict(**batch)
        if mode == "sample":
            return self.sample(**batch)
        if mode == "tensor":
            t = self.schedule.network_time(batch["t"])
            return self.denoiser(batch["x_t"], t, batch["condition"], batch.get("low_res"))
        raise ValueError(f"mode={mode!r}: expected 'loss', 'predict', 'sample' or 'tensor'")

    def loss(self, **batch: Any) -> dict[str, Tensor]:
        """Loss terms of a batch: ``loss`` is minimised, the rest is logged; arguments as those of :meth:`denoise`."""
        prediction, target, weight = self.denoise(**batch)
        total, logs = self.weigh(prediction, target, weight)
        self.timestep_sampler.update(target.t, total)
        return {"loss": (weight * total).mean(), **logs}

    def denoise(
        self,
        image: Tensor,
        condition: Condition,
        low_res: Tensor | None = None,
        draws: BatchDraws | None = None,
        drop: Drop | None = None,
        members: Mapping[str, Tensor] | None = None,
        **batch: Any,
    ) -> tuple[Prediction, Target, Tensor]:
        """Noise a batch and run the network on it.

        Args:
            image: (B, 3, H, W) in [-1, 1].
            condition: what the encoder takes.
            low_res: (B, 3, h, w) in [-1, 1], for an upsampler.
            draws: random numbers of the iteration; from torch's global generator by default.
            drop: probability of dropping a condition; the model's own by default.
            members: what the losses need beside; found in the batch by default.
            batch: what else was packed.

        Returns:
            The prediction, the truth, and the weight (B,) of the samples.

        Raises:
            ValueError: the batch lacks what a loss needs.
        """
        members = members_for(self.losses, {"condition": condition, **batch}) if members is None else members
        draws = draws or BatchDraws()
        drop = self.drop if drop is None else drop
        t, weight = map(draws.own, self.timestep_sampler.sample(draws.whole(len(image)), draws.generator))
        noise = draws.randn_like(image)
        dropped = draw_dropped(condition, drop, lambda: draws.rand(len(image), device=image.device))
        x_t = self.schedule.add_noise(image, t, noise)
        output = self.denoiser(x_t, self.schedule.network_time(t), condition, low_res, dropped)
        prediction = Prediction.from_output(output, x_t, self.schedule.at(t), self.predicts)
        target = self.schedule.target(image, t, noise)
        return prediction, target._replace(members=members, dropped=dropped_members(condition, dropped)), weight

    def weigh(self, prediction: Prediction, target: Target, weight: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum (B,) of the losses, and the mean of each for the logs.

        Raises:
            ValueError: a loss gives something else than one value a sample.
        """
        total = target.x0.new_zeros(len(target.x0))
        logs: dict[str, Tensor] = {}
        for loss in self.losses:
            assert isinstance(loss, Loss)
            value = loss(prediction, target)
            if getattr(value, "shape", None) != total.shape:
                found = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"a {type(value).__name__}"
                raise ValueError(f"losses: {loss.name} gave {found}; expected one value a sample, ({len(total)},)")
            value = loss.weight * value
            total = total + value
            logs[f"loss_{loss.name}"] = (weight * value).detach().mean()
        return total, logs

    def sampling_steps(self, request: SamplingRequest | None = None, low_res: bool = False) -> int:
        """Sampling steps of an image: how often a callback is called.

        Args:
            request: of the call; the model's own sampler by default.
            low_res: True for a batch with ``low_res``, for which a cascade makes no steps of its base.
        """
        request = request or SamplingRequest()
        steps = len((request.sampler or self.sampler).timesteps(self.schedule))
        made = steps_of(self.strength_of(request), steps)
        inverted = 0 if request.variation is None else made
        # Objects that are made apart, and the rest, which is one more.
        apart = (request.objects + 1) * steps if request.objects else 0
        return apart + inverted + len(order_of_steps(made, request.resample))

    def needs(self, request: SamplingRequest | None = None) -> tuple[str, ...]:
        """Members of a batch that a sampling takes beside what the model itself does, such as 'label'."""
        return ((request and request.sampler) or self.sampler).needs

    def strength_of(self, request: SamplingRequest) -> float:
        """Share of the sampling steps that a request makes: all of them where there is no ``start``."""
        if request.objects:
            return JOINT_STRENGTH if request.strength is None else request.strength
        if request.start is None:
            return 1.0
        return self.strength if request.strength is None else request.strength

    def parse_losses(self, losses: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss to minimise and the values to log; mmengine's would add the terms to their sum once more."""
        return losses["loss"], losses

    def predict(
        self, condition: Condition, id: Sequence[str], low_res: Tensor | None = None, **batch: Any
    ) -> list[dict[str, Any]]:
        """Translate a batch: per sample ``dict(id, pred (3, H, W) uint8 on the CPU, and what else was packed)``."""
        request = SamplingRequest([sample_seed(self.seed, name) for name in id])
        images = to_uint8(self.sample(condition, request, low_res).images).cpu()
        packed = {"condition": condition, **batch}
        return [{"id": name, "pred": images[row], **sample_of(packed, row)} for row, name in enumerate(id)]

    @torch.no_grad()
    def sample(self, condition: Condition, request: SamplingRequest, low_res: Tensor | None = None) -> Samples:
        """Sample images (B, 3, H, W) for a batch of conditions.

        Args:
            condition: B rows of what the encoder takes, images in [-1, 1].
            request: with one seed a row; ``start`` and ``mask`` are on the model's device. An inpainting model also
                sees ``start`` where ``mask`` keeps it; without them nothing is known, and it makes the whole image.
            low_res: (B, 3, h, w) in [-1, 1], for an upsampler.

        Raises:
            ValueError: not one seed a row.
            NonFiniteImageError: a value is infinite or not a number at the end.
        """
        seeds, rows, device = request.seeds, len(any_part(condition)), any_part(condition).device
        if seeds is None or len(seeds) != rows:
            found = "none" if seeds is None else len(seeds)
            raise ValueError(f"sample: got {found} seeds, expected one for each of {rows} conditions")
        sampler = request.sampler or self.sampler
        if request.regions is not None and request.objects:
            request = self.sample_apart(condition, request, low_res)
        with half_precision(device.type, request.precision):
            known = self._known(request)
            decoders: list[CountedDecoder] = []

            def bound_to(denoiser: Denoiser) -> BoundDenoiser:
                decoders.append(CountedDecoder(denoiser.decode))
                cond = denoiser.encode(condition, low_res)._replace(known=known)
                parts = denoiser.parts_of(condition, low_res, known)
                return BoundDenoiser(decoders[-1], self.schedule, cond, self.predicts, parts)

            bound = bound_to(self.denoiser)
            null = self.denoiser.null(rows, low_res)._replace(known=known) if sampler.needs_null else None
            images = sampler(
                bound,
                NoiseSource(seeds, device),
                (3, *[self.denoiser.decoder.image_size] * 2),
                None if null is None else replace(bound, cond=null),
                request.start,
                self.strength_of(request),
                request.mask,
                request.callback,
                request.progress,
                GuidanceInputs(
                    request.label,
                    lambda weights: bound_to(self.weak_denoiser(weights)),
                    {**parts_by_member(condition), **request.members},
                ),
                resample=request.resample,
                variation=request.variation,
            )
        if not images.isfinite().all():
            # As bytes they would be black, and a metric would measure them.
            raise NonFiniteImageError(
                "sampling: got non-finite pixels, expected numbers; look for them in the weights, in a sampler or "
                "guidance of a plugin, or try it without half precision"
            )
        return Samples(images, low_res, sum(each.rows for each in decoders))

    def weak_denoiser(self, weights: str) -> Denoiser:
        """The denoiser with other weights, for autoguidance; the last one is kept, apart from the model's own state.

        Raises:
            pitikit.weights.WeightsError: the file is missing, damaged or another network's.
        """
        place = next(self.denoiser.parameters())
        if weights not in self._weak:
            state = read_weights(weights)
            network = copy.deepcopy(self.denoiser).eval().requires_grad_(False)
            try:
                network.load_state_dict(state)
            except RuntimeError as error:
                # The first line has only the network's name, those after it the tensors, maybe hundreds.
                said = " ".join(line.strip()[:200] for line in str(error).splitlines()[:3])
                raise WeightsError(f"{weights} does not fit the model: {said}") from error
            self._weak = {weights: network}
        return self._weak[weights].to(place.device)

    def sample_apart(
        self, condition: Condition, request: SamplingRequest, low_res: Tensor | None = None
    ) -> SamplingRequest:
        """The request that makes one image of objects that were sampled apart; for arguments see :meth:`sample`.

        Within a sampling the network brings objects of a class together in style, whatever their noise: noise has no
        memory of its neighbours to begin with, so that another seed for a region alone would change nothing. So the
        image is sampled once with its own seed and once with that of each object; every object is cut out of its own
        sampling, and the last steps (:data:`JOINT_STRENGTH`) are made from what they give together.
        """
        assert request.seeds is not None and request.regions is not None
        alone = replace(request, regions=None, objects=0, strength=None)
        start = self.sample(condition, alone, low_res).images
        for number in range(1, request.objects + 1):
            seeds = [sample_seed(seed, f"object {number}") for seed in request.seeds]
            made = self.sample(condition, replace(alone, seeds=seeds), low_res).images
            start = torch.where(request.regions == number, made, start)
        return replace(request, start=start, regions=None)

    def _known(self, request: SamplingRequest) -> Tensor | None:
        if not self.denoiser.decoder.takes_known or request.start is None or request.mask is None:
            return None
        return known_part(request.start, request.mask)


def _schedule_for(schedule: Any, trained: Tensor | None) -> NoiseSchedule:
    """Build the schedule of a config, which has to be that of the decoder's training, ``trained``, where it is known.

    Raises:
        ValueError: it is another one.
    """
    if schedule is None and trained is not None:
        return NoiseSchedule(alpha_bar=trained)
    built: NoiseSchedule = SCHEDULES.build(schedule or dict(type="NoiseSchedule"))
    if trained is None:
        return built
    wrong = ""
    if len(built) != len(trained):
        wrong = f"got {len(built)} steps, expected {len(trained)}"
    else:
        # Other programs compute in float32. Schedules differ by far more.
        off = (built.alpha_bar / trained).log().abs() > 1e-2
        if off.any():
            t = int(off.nonzero()[0])
            wrong = f"got alpha_bar={float(built.alpha_bar[t]):.4g} at t={t}, expected {float(trained[t]):.4g}"
    if wrong:
        raise ValueError(f"schedule: {wrong}, on which the decoder was trained; leave out schedule (schedule=None)")
    return built


def to_uint8(image: Tensor, truncate: bool = False) -> Tensor:
    """[-1, 1] to 0..255, rounded; the released code truncates, which darkens by half a grey level."""
    levels = (image.float().clamp(-1, 1) + 1) * 127.5
    return (levels if truncate else levels.round()).to(torch.uint8)
