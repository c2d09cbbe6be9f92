"""Training in stages: which part learns, how fast, and with how many conditions dropped."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from mmengine.hooks import Hook
from torch import nn

from pitikit.arguments import check_arguments, nearest
from pitikit.diffusion.conditions import check_drop_names, checked_drop
from pitikit.engine.ema import DenoiserEMA
from pitikit.registry import HOOKS

PARTS = ("encoder", "decoder")


@dataclass(frozen=True)
class Stage:
    """One stage of a training.

    Attributes:
        name: for the logs.
        until: iteration at which the next stage begins; None for the end of the training.
        train: what learns: 'encoder', 'decoder', or modules of these such as 'encoder.text' or 'decoder.middle_block'.
            Everything else is frozen: without gradients, and in eval mode where nothing of the encoder or the decoder
            learns.
        lr: learning rate, None to leave the optimizer's.
        encoder_lr: learning rate of the encoder as a multiple of ``lr``; other than 1 it needs the optimizer that
            :class:`~pitikit.engine.optim.PartwiseConstructor` builds.
        warmup: iterations over which the learning rate rises to ``lr``.
        lr_end: where the learning rate goes, linearly, by the end of the stage; None for a constant one.
        drop: probability of dropping a condition, or a dict of those of its parts; None to leave the model's.
    """

    name: str
    until: int | None = None
    train: Sequence[str] = PARTS
    lr: float | None = None
    encoder_lr: float = 1.0
    warmup: int = 0
    lr_end: float | None = None
    drop: float | dict[str, float] | None = None

    def lr_at(self, iteration: int, length: int) -> float:
        """Learning rate of the ``iteration``-th of ``length`` iterations of the stage; needs ``lr``."""
        assert self.lr is not None
        rise = min(1.0, (iteration + 1) / self.warmup) if self.warmup else 1.0
        end = self.lr if self.lr_end is None else self.lr_end
        return rise * (self.lr + (end - self.lr) * iteration / max(1, length))

    def __post_init__(self) -> None:
        unknown = [name for name in self.train if part_of(name) not in PARTS]
        if isinstance(self.train, str) or unknown or not self.train:
            raise ValueError(
                f"stage {self.name!r}: train={self.train!r}: expected a choice of {PARTS} and of modules of these "
                "such as 'decoder.middle_block', as a list"
            )
        if self.lr is None and (self.lr_end is not None or self.warmup):
            raise ValueError(f"stage {self.name!r}: lr_end and warmup need lr")
        if self.drop is not None:
            checked_drop(f"stage {self.name!r}: ", self.drop)


def part_of(name: str) -> str:
    """The part, 'encoder' or 'decoder', that a module of the denoiser belongs to."""
    return name.partition(".")[0]


def check_modules(stage: Stage, denoiser: nn.Module) -> None:
    """Raise ValueError if a stage trains a module that the denoiser does not have, or one without parameters."""
    modules = {name: each for name, each in denoiser.named_modules() if any(True for _ in each.parameters())}
    for name in stage.train:
        if name not in modules:
            found = "has no parameters" if name in dict(denoiser.named_modules()) else "does not exist"
            known = [each for each in modules if part_of(each) == part_of(name)]
            raise ValueError(
                f"stage {stage.name!r}: train: {name!r} {found}, expected a module of the {part_of(name)} that learns; "
                f"{nearest(name, known)}"
            )


@HOOKS.register_module()
class StageHook(Hook):
    """Set what trains, stage by stage (PITI: the encoder alone, then encoder and decoder).

    Every stage after the first begins from the EMA of the one before, with a fresh optimizer, as the released
    code does by starting anew from the exported file.

    Args:
        stages: the arguments of :class:`Stage` each, in order.
    """

    # Before everything that looks at learning rates (RuntimeInfoHook logs them) or parameters.
    priority = "HIGHEST"

    def __init__(self, stages: Sequence[Annotated[dict, Stage]]) -> None:
        for index, stage in enumerate(stages):
            check_arguments(Stage, stage, f"stages[{index}]")
        self.stages = [Stage(**stage) for stage in stages]
        borders = [stage.until for stage in self.stages[:-1]]
        ascending = all(a is not None and b is not None and a < b for a, b in zip(borders, borders[1:], strict=False))
        if not self.stages or None in borders or not ascending:
            raise ValueError(f"stages: every stage but the last needs `until`, ascending; found {borders}")
        self.current: Stage | None = None

    def before_train(self, runner: Any) -> None:
        """Warn of stages that the training is too short to reach, and freeze what does not learn at the beginning.

        Not only in the first iteration: the EMA of what is frozen takes no memory.

        Raises:
            ValueError: a stage trains a module that the model does not have, or one without parameters; it drops a
                condition that the model does not have; or it would end between two steps of gradient accumulation, and
                lose what was accumulated.
        """
        for stage in self.stages:
            if stage.drop is not None:
                check_drop_names(f"stage {stage.name!r}: ", stage.drop, runner.model.denoiser.parts)
        wrapper = runner.optim_wrapper
        counts = [each._accumulative_counts for each in getattr(wrapper, "optim_wrappers", {"": wrapper}).values()]
        for stage in self.stages[:-1]:
            for count in counts:
                if (stage.until or 0) % count:
                    raise ValueError(
                        f"stage {stage.name!r}: until={stage.until}: expected a multiple of accumulative_counts={count}"
                    )
        for stage in self.stages:
            check_modules(stage, runner.model.denoiser)
        self._freeze(runner.model, self.stage_at(runner.iter)[0])
        for stage, later in zip(self.stages, self.stages[1:], strict=False):
            if stage.until is not None and stage.until >= runner.max_iters > runner.iter:
                runner.logger.warning(
                    f"stage {later.name!r} begins at iteration {stage.until}, but the training ends at "
                    f"{runner.max_iters}: it is never reached"
                )

    def stage_at(self, iteration: int) -> tuple[Stage, int]:
        """The stage of an iteration and the iteration at which it began."""
        start = 0
        for stage in self.stages[:-1]:
            assert stage.until is not None
            if iteration < stage.until:
                return stage, start
            start = stage.until
        return self.stages[-1], start

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Enter a stage at its border, and keep frozen parts in eval mode."""
        stage, start = self.stage_at(runner.iter)
        model = runner.model
        if stage is not self.current:
            self._enter(runner, model, stage, fresh=runner.iter == start and start > 0)
        if stage.lr is not None:
            lr = stage.lr_at(runner.iter - start, (stage.until or runner.max_iters) - start)
            self.set_lr(runner.optim_wrapper.optimizer, stage, lr)
        if stage.drop is not None and data_batch is not None:
            data_batch["drop"] = checked_drop(f"stage {stage.name!r}: ", stage.drop)
        learning = {part_of(name) for name in stage.train}
        for part in PARTS:
            if part not in learning:
                # Called for every iteration because the loop sets the whole model to training mode.
                getattr(model.denoiser, part).eval()

    @staticmethod
    def _freeze(model: Any, stage: Stage) -> None:
        for part in PARTS:
            getattr(model.denoiser, part).requires_grad_(False)
        for name in stage.train:
            model.denoiser.get_submodule(name).requires_grad_(True)

    @staticmethod
    def set_lr(optimizer: Any, stage: Stage, lr: float) -> None:
        """Give every group of parameters its learning rate, of which that of the encoder is a multiple.

        Raises:
            ValueError: the encoder has a rate of its own and no group of its own.
        """
        groups = optimizer.param_groups
        if stage.encoder_lr != 1 and not any(group.get("part") == "encoder" for group in groups):
            raise ValueError(
                f"stage {stage.name!r}: encoder_lr={stage.encoder_lr} needs "
                "optim_wrapper.constructor='PartwiseConstructor'"
            )
        for group in groups:
            group["lr"] = group["initial_lr"] = lr * (stage.encoder_lr if group.get("part") == "encoder" else 1.0)

    def _enter(self, runner: Any, model: Any, stage: Stage, fresh: bool) -> None:
        ema = next((hook for hook in runner.hooks if isinstance(hook, DenoiserEMA)), None)
        if fresh:
            if ema:
                ema.copy_to_model()
            runner.optim_wrapper.optimizer.state.clear()
            # Gradients accumulated for the stage before. Not when a run is resumed in a stage.
            runner.optim_wrapper.zero_grad(set_to_none=True)
        self._freeze(model, stage)
        self.current = stage
        drop = model.drop if stage.drop is None else stage.drop
        runner.logger.info(
            f"stage {stage.name!r} from iteration {runner.iter}: trains {', '.join(stage.train)}, "
            f"lr {stage.lr or runner.optim_wrapper.optimizer.param_groups[0]['lr']:g}, drop {drop}"
            + (", starts from the EMA" if fresh and ema else "")
        )
