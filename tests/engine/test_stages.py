"""Stages: trained parts, rates and the beginning of each."""

from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook
from torch import nn

from pitikit.engine.checkpoints.loading import read_weights
from pitikit.engine.ema import DenoiserEMA
from pitikit.engine.stages import Stage, StageHook

BORDERS = (3, 6)
STAGES = [
    dict(name="encoder", until=3, train=["encoder"], lr=1e-3, drop=0.0),
    dict(name="more", until=6, train=["encoder"], lr=5e-4, drop=0.25),
    dict(name="joint", lr=1e-3, lr_end=1e-4, drop=0.5),
]
END = 9


def copied(state):
    return {name: value.detach().clone() for name, value in state.items()}


class Watcher(Hook):
    """Notes what the forward pass sees and what an iteration leaves."""

    priority = "LOWEST"

    def __init__(self):
        self.seen = []

    def before_train(self, runner):
        denoiser = runner.model.denoiser
        self.ema = next(hook for hook in runner.hooks if isinstance(hook, DenoiserEMA))
        runner.model.register_forward_pre_hook(self.note_drop, with_kwargs=True)
        denoiser.register_forward_pre_hook(lambda *_: self.note_forward(runner, denoiser))
        runner.optim_wrapper.optimizer.register_step_pre_hook(lambda *_: self.note_gradients(denoiser))

    def note_drop(self, model, args, kwargs):
        self.drop = kwargs.get("drop", model.drop)

    def note_forward(self, runner, denoiser):
        group = runner.optim_wrapper.optimizer.param_groups[0]
        self.seen.append(
            dict(
                before=copied(denoiser.state_dict()),
                ema_before=copied(self.ema.ema),
                modes=(denoiser.encoder.training, denoiser.decoder.training),
                deep_modes={module.training for module in denoiser.decoder.modules()},
                lr=group["lr"],
                drop=self.drop,
                states=len(runner.optim_wrapper.optimizer.state),
            )
        )

    def note_gradients(self, denoiser):
        self.seen[-1]["gradients"] = {
            part: {name for name, p in getattr(denoiser, part).named_parameters() if p.grad is not None}
            for part in ("encoder", "decoder")
        }

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        denoiser = runner.model.denoiser
        steps = {float(state["step"]) for state in runner.optim_wrapper.optimizer.state.values()}
        logged = runner.message_hub.get_scalar("train/lr").current()
        self.seen[-1].update(
            after=copied(denoiser.state_dict()), ema_after=copied(self.ema.ema), steps=steps, logged=logged
        )


@pytest.fixture(scope="module")
def seen(run, tmp_path_factory):
    """The iterations of a run in three stages."""
    watcher = Watcher()
    ema = dict(type="DenoiserEMA", decay=0.9)
    hooks = [dict(type="StageHook", stages=STAGES), ema]
    options = dict(train_cfg__max_iters=END, custom_hooks=hooks)
    run(tmp_path_factory.mktemp("stages"), hooks=(watcher,), **options)
    assert len(watcher.seen) == END
    return watcher.seen


def changed(before, after, part):
    names = [name for name in before if name.startswith(part)]
    assert names
    return [name for name in names if not torch.equal(before[name], after[name])]


def test_frozen_decoder_does_not_move_and_neither_does_its_average(seen, prior):
    weights = read_weights(prior)
    for iteration in seen[: BORDERS[1]]:
        assert changed(weights, iteration["after"], "decoder.") == []
        assert changed(weights, iteration["ema_after"], "decoder.") == []
        assert changed(iteration["before"], iteration["after"], "encoder.")


def test_frozen_decoder_is_in_eval_mode_without_gradients(seen):
    for iteration in seen[: BORDERS[1]]:
        assert iteration["modes"] == (True, False)
        assert iteration["deep_modes"] == {False}
        assert iteration["gradients"]["decoder"] == set()
        assert iteration["gradients"]["encoder"]


def test_joint_stage_trains_everything(seen):
    for iteration in seen[BORDERS[1] :]:
        assert iteration["modes"] == (True, True)
        assert iteration["deep_modes"] == {True}
        decoder = [name for name in iteration["before"] if name.startswith("decoder.")]
        assert len(iteration["gradients"]["decoder"]) == len(decoder)
        assert len(changed(iteration["before"], iteration["after"], "decoder.")) > 0.9 * len(decoder)


def test_a_stage_begins_with_the_average(seen):
    for border in BORDERS:
        start = seen[border]["before"]
        for name, average in seen[border - 1]["ema_after"].items():
            assert torch.equal(start[name], average), name
        assert changed(seen[border - 1]["after"], start, "encoder.")
        # The average itself goes on from there.
        assert changed(seen[border - 1]["ema_after"], seen[border]["ema_before"], "encoder.") == []
    for n in range(1, END):
        if n not in BORDERS:
            assert changed(seen[n - 1]["after"], seen[n]["before"], "encoder.") == []


def test_a_stage_begins_with_a_fresh_optimizer(seen):
    assert [iteration["states"] == 0 for iteration in seen] == [n in (0, *BORDERS) for n in range(END)]
    assert [iteration["steps"] for iteration in seen] == [{1.0}, {2.0}, {3.0}] * 3


def test_learning_rate_and_drop_by_stage(seen):
    falling = [1e-3 - 9e-4 * n / 3 for n in range(3)]
    assert [iteration["lr"] for iteration in seen] == pytest.approx([1e-3] * 3 + [5e-4] * 3 + falling)
    assert [iteration["drop"] for iteration in seen] == [0.0] * 3 + [0.25] * 3 + [0.5] * 3


def test_the_logged_rate_is_that_of_the_iteration(seen):
    assert [iteration["logged"] for iteration in seen] == [iteration["lr"] for iteration in seen]


def test_warmup_and_end_of_the_rate():
    stage = Stage("one", lr=1.0, warmup=4, lr_end=0.0)
    rates = [stage.lr_at(n, 10) for n in range(10)]
    # A ramp of 1/4, 2/4, 3/4, 1 on a line that reaches 0 after the last iteration.
    assert rates[:5] == pytest.approx([0.25, 0.5 * 0.9, 0.75 * 0.8, 0.7, 0.6])
    assert rates[-1] == pytest.approx(0.1)
    assert [Stage("flat", lr=0.5).lr_at(n, 3) for n in range(3)] == [0.5] * 3


def test_stage_of_an_iteration():
    hook = StageHook(STAGES)
    found = [(hook.stage_at(n)[0].name, hook.stage_at(n)[1]) for n in (0, 2, 3, 5, 6, 100)]
    assert found == [("encoder", 0), ("encoder", 0), ("more", 3), ("more", 3), ("joint", 6), ("joint", 6)]


def test_one_stage_of_one_part_and_what_is_not_named_stays():
    model = nn.Module()
    model.denoiser = nn.ModuleDict(dict(encoder=nn.Linear(2, 2), decoder=nn.Linear(2, 2)))
    model.drop = 0.3
    optimizer = torch.optim.SGD(model.parameters(), lr=0.7)
    wrapper = SimpleNamespace(optimizer=optimizer, zero_grad=optimizer.zero_grad)
    logger = SimpleNamespace(info=lambda text: None)
    runner = SimpleNamespace(model=model, optim_wrapper=wrapper, hooks=[], logger=logger, iter=0, max_iters=5)
    batch = {}
    StageHook([dict(name="only", train=["decoder"])]).before_train_iter(runner, 0, batch)
    assert not model.denoiser["encoder"].weight.requires_grad
    assert model.denoiser["decoder"].weight.requires_grad
    assert (model.drop, optimizer.param_groups[0]["lr"]) == (0.3, 0.7) and batch == {}


@pytest.mark.parametrize(("iteration", "fresh"), [(3, True), (4, False)])
def test_only_at_its_border_a_stage_forgets_gradients_and_the_optimizer(iteration, fresh):
    """A run that is resumed within a stage enters it too."""
    model = nn.Module()
    model.denoiser = nn.ModuleDict(dict(encoder=nn.Linear(1, 1), decoder=nn.Linear(1, 1)))
    model.drop = 0.0
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    model.denoiser["encoder"](torch.ones(1, 1)).sum().backward()
    optimizer.step()
    wrapper = SimpleNamespace(optimizer=optimizer, zero_grad=optimizer.zero_grad)
    runner = SimpleNamespace(model=model, optim_wrapper=wrapper, hooks=[], iter=iteration, max_iters=5)
    runner.logger = SimpleNamespace(info=lambda text: None)
    StageHook([dict(name="a", until=3, train=["encoder"]), dict(name="b")]).before_train_iter(runner, 0)
    assert (model.denoiser["encoder"].weight.grad is None) == (not optimizer.state) == fresh


def test_a_module_of_the_decoder_learns_alone(run, prior, tmp_path):
    """With it the whole decoder is in training mode; its neighbours and their EMA stay as they were loaded."""
    watcher = Watcher()
    stages = [dict(name="a", until=1, train=["encoder"]), dict(name="b", train=["encoder", "decoder.middle_block"])]
    hooks = [dict(type="StageHook", stages=stages), dict(type="DenoiserEMA", decay=0.9)]
    run(tmp_path, hooks=(watcher,), train_cfg__max_iters=3, custom_hooks=hooks)
    middle = {name for name in watcher.seen[0]["before"] if name.startswith("decoder.middle_block.")}
    assert watcher.seen[0]["modes"] == (True, False)
    assert watcher.seen[1]["modes"] == (True, True) and watcher.seen[1]["deep_modes"] == {True}
    assert {f"decoder.{name}" for name in watcher.seen[1]["gradients"]["decoder"]} == middle
    weights, last = read_weights(prior), watcher.seen[-1]
    for state in (last["after"], last["ema_after"]):
        moved = set(changed(weights, state, "decoder."))
        assert moved <= middle and len(moved) > 0.9 * len(middle)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("decoder.midle_block", r"stage .b.: train: .decoder.midle_block. does not exist.*mean .decoder.middle"),
        ("decoder.out.1", "'decoder.out.1' has no parameters, expected a module of the decoder that learns"),
        ("encoder.nothing.like.it", "a module of the encoder"),
    ],
)
def test_a_module_that_cannot_learn_is_named_before_the_first_iteration(run, tmp_path, name, message):
    stages = [dict(name="a", until=5, train=["encoder"]), dict(name="b", train=["encoder", name])]
    with pytest.raises(ValueError, match=message):
        run(tmp_path, custom_hooks=[dict(type="StageHook", stages=stages)])


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ([], "every stage but the last needs `until`"),
        ([dict(name="a"), dict(name="b")], "every stage but the last needs `until`"),
        ([dict(name="a", until=5), dict(name="b", until=4), dict(name="c")], "ascending"),
        ([dict(name="a", train=["encodr"])], "expected a choice of"),
        ([dict(name="a", train=[])], "expected a choice of"),
        ([dict(name="a", train="encoder")], "train='encoder': expected .*, as a list"),
        ([dict(name="a", train=["discriminator.head"])], "expected a choice of"),
        ([dict(name="a", lr_end=0.1)], "need lr"),
        ([dict(name="a", drop=2)], "expected a probability"),
    ],
)
def test_impossible_stages(stages, message):
    with pytest.raises(ValueError, match=message):
        StageHook(stages)


@pytest.mark.parametrize(("length", "warnings"), [(10, 1), (11, 0)])
def test_a_stage_that_is_never_reached_is_said(length, warnings):
    said = []
    model = nn.Module()
    model.denoiser = nn.ModuleDict(dict(encoder=nn.Linear(1, 1), decoder=nn.Linear(1, 1)))
    runner = SimpleNamespace(
        optim_wrapper=SimpleNamespace(_accumulative_counts=1),
        max_iters=length,
        logger=SimpleNamespace(warning=said.append),
        iter=0,
        model=model,
    )
    StageHook([dict(name="a", until=10, train=["encoder"]), dict(name="b")]).before_train(runner)
    assert len(said) == warnings and all("'b' begins at iteration 10" in text for text in said)
    # What is frozen at the beginning is so before anything is copied for it.
    assert [p.requires_grad for p in model.denoiser.parameters()] == [True, True, False, False]


def test_a_rate_of_the_encoder_needs_groups_by_part():
    groups = [dict(lr=1.0), dict(lr=1.0, part="encoder")]
    optimizer = SimpleNamespace(param_groups=groups)
    stage = Stage("a", lr=0.1, encoder_lr=0.5)
    StageHook.set_lr(optimizer, stage, 0.1)
    # Schedulers count from the initial ones.
    assert [group["lr"] for group in groups] == [group["initial_lr"] for group in groups] == [0.1, 0.05]
    del groups[1]
    with pytest.raises(ValueError, match="PartwiseConstructor"):
        StageHook.set_lr(optimizer, stage, 0.1)


def test_unknown_argument_of_a_stage():
    with pytest.raises(TypeError, match=r"stages\[0\].*did you mean 'warmup'"):
        StageHook([dict(name="a", warm_up=3)])


def test_a_border_counts_the_steps_of_every_optimizer():
    wrappers = {name: SimpleNamespace(_accumulative_counts=count) for name, count in (("a", 2), ("b", 3))}
    runner = SimpleNamespace(optim_wrapper=SimpleNamespace(optim_wrappers=wrappers))
    for border, count in ((4, 3), (3, 2)):
        stages = [dict(name="first", until=border), dict(name="second")]
        with pytest.raises(ValueError, match=f"until={border}: expected a multiple of accumulative_counts={count}"):
            StageHook(stages).before_train(runner)


def test_a_border_between_two_steps_of_accumulation_is_refused(run, tmp_path):
    with pytest.raises(ValueError, match="stage 'encoder': until=4: expected a multiple of accumulative_counts=3"):
        run(tmp_path, optim_wrapper__accumulative_counts=3)


def test_a_later_stage_that_drops_an_unknown_condition_is_refused_at_the_start():
    model = nn.Module()
    model.denoiser = nn.ModuleDict(dict(encoder=nn.Linear(1, 1), decoder=nn.Linear(1, 1)))
    model.denoiser.parts = ("mask", "sketch")
    wrapper = SimpleNamespace(_accumulative_counts=1)
    runner = SimpleNamespace(optim_wrapper=wrapper, max_iters=20, iter=0, model=model)
    stages = [dict(name="a", until=10, drop=dict(mask=0.1)), dict(name="b", drop=dict(mask=0.1, skech=0.1))]
    with pytest.raises(ValueError, match="stage 'b': drop: got skech, expected the parts .*: mask, sketch"):
        StageHook(stages).before_train(runner)
