"""Two processes train as one does: copies of the model, shares of it, resumed, and when one of them cannot save."""

import itertools
import json
import shutil
from pathlib import Path

import cv2
import pytest
import torch

from pitikit.config import load_config
from pitikit.weights import read_checkpoint

# Trainings that wait for each other's processes: two minutes where others compute too.
pytestmark = pytest.mark.timeout(900)

PROGRAM = Path(__file__).parents[1] / "train_together.py"
STAGES = [
    dict(name="encoder", until=6, train=["encoder"], lr=1e-3, drop=0.3),
    dict(name="joint", lr=1e-3, drop=0.3),
]
OPTIONS = {
    "train_cfg.max_iters": 8,
    "default_hooks.checkpoint.interval": 4,
    "default_hooks.checkpoint.max_keep_ckpts": -1,
    # The third hooks into the attention blocks, and leaves its part of the graph beside the model's output; the fourth
    # looks through a network of its own at the rows that it is open to, of which a process may have none.
    "model.losses": [
        dict(type="EpsMSE"),
        dict(type="VariationalBound"),
        dict(type="TokenAlignment", grid=2),
        dict(type="ConsistencyLoss", network=dict(type="SoftEdges"), target="edges", max_t=1),
    ],
    # Masks of dropout are drawn in each process for itself.
    "model.denoiser.decoder.dropout": 0.0,
    # Biases before a norm have gradients of rounding errors alone, which Adam would blow up to whole steps.
    "optim_wrapper.optimizer.eps": 1e-3,
    "optim_wrapper.clip_grad": dict(max_norm=0.5),
}
ACCUMULATING = {
    **OPTIONS,
    "train_cfg.max_iters": 4,
    "default_hooks.checkpoint.interval": 2,
    "optim_wrapper.accumulative_counts": 3,
}
#: The tiny model in several buckets of gradients.
COPIES, SHARES = dict(type="Replicated", bucket_mb=0.05), dict(type="FullySharded")
#: Beyond rounding: a step of the optimizer moves a parameter by up to 1e-3.
TOLERANCE = 1e-4


def with_hooks(options, config):
    """Stages, an average, and a look at samples."""
    rows = {**config.train_dataloader.dataset, "length": 1}
    grid = dict(type="SampleGridHook", dataset=rows, interval=8, rows=1, seeds=(0,))
    hooks = [dict(type="StageHook", stages=STAGES), dict(type="DenoiserEMA", decay=0.9), grid]
    return {**options, "custom_hooks": hooks}


@pytest.fixture(scope="module")
def hooked(tiny_config):
    """OPTIONS and ACCUMULATING with the hooks."""
    config = load_config(tiny_config)
    return with_hooks(OPTIONS, config), with_hooks(ACCUMULATING, config)


@pytest.fixture(scope="module")
def train(tiny_config, prior, python, tmp_path_factory):
    """``train(jobs)``: the folder of trainings in two processes, batch 2 each."""
    out = tmp_path_factory.mktemp("together")

    def run(jobs):
        result = python(PROGRAM, tiny_config, prior, out, json.dumps(jobs), ranks=2)
        assert result.returncode == [0, 0], result.stdout[-3000:] + result.stderr[-5000:]
        return out

    return run


@pytest.fixture(scope="module")
def together(train, hooked):
    """Folder of the trainings that most tests look at."""
    plain, _ = hooked
    jobs = [
        dict(name="copies", options=plain, parallel=COPIES),
        # In between: what follows shows that both have survived it.
        dict(name="full", options=plain, parallel=COPIES, full=4),
        dict(name="shares", options=plain, parallel=SHARES),
        dict(name="shares_resumed", options=plain, parallel=SHARES, start="shares/iter_4.pth"),
    ]
    return train(jobs)


@pytest.fixture(scope="module")
def more(train, hooked, together):
    """The same folder with the trainings of the slow tests."""
    plain, accumulating = hooked
    jobs = [
        dict(name="copies_resumed", options=plain, parallel=COPIES, start="copies/iter_4.pth"),
        dict(name="shares_of_copies", options=plain, parallel=SHARES, start="copies/iter_4.pth"),
        dict(name="copies_accumulating", options=accumulating, parallel=COPIES),
        dict(name="shares_accumulating", options=accumulating, parallel=SHARES),
        dict(
            name="shares_accumulating_resumed",
            options=accumulating,
            parallel=SHARES,
            start="shares_accumulating/iter_2.pth",
        ),
    ]
    return train(jobs)


@pytest.fixture(scope="module")
def alone(hooked, run, recorder, tmp_path_factory):
    """Folder of the same training in one process with batch 4, and its batches."""
    folder, batches = tmp_path_factory.mktemp("alone"), recorder()
    options = {key.replace(".", "__"): value for key, value in hooked[0].items()}
    run(folder, hooks=(batches,), train_dataloader__batch_size=4, **options)
    return folder, batches.batches


def largest_difference(a, b):
    """The largest difference of two dicts of tensors with the same names, and its place."""
    assert a.keys() == b.keys()
    return max(((a[name].double() - b[name].double()).abs().max().item(), name) for name in a if a[name].numel())


def assert_close(a, b):
    for part in ("state_dict", "ema"):
        assert largest_difference(a[part], b[part]) < (TOLERANCE, ""), part
    assert torch.equal(a["state_dict"]["timestep_sampler.counts"], b["state_dict"]["timestep_sampler.counts"])
    states = [checkpoint["optimizer"]["state"] for checkpoint in (a, b)]
    assert states[0].keys() == states[1].keys()
    for index in states[0]:
        assert largest_difference(states[0][index], states[1][index]) < (TOLERANCE, ""), index
    for name in ("loss", "loss_mse", "loss_align", "loss_consistency", "grad_norm"):
        (x, _), (y, _) = (checkpoint["logs"][f"train/{name}"] for checkpoint in (a, b))
        torch.testing.assert_close(x, y, rtol=1e-4, atol=1e-4)


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    ("name", "trained"), [("copies", "together"), ("shares", "together"), slow("shares_of_copies", "more")]
)
def test_two_processes_with_batch_2_equal_one_with_batch_4(name, trained, request, alone):
    together = request.getfixturevalue(trained)
    a, b = read_checkpoint(alone[0] / "iter_8.pth"), read_checkpoint(together / name / "iter_8.pth")
    assert_close(a, b)
    # The timestep sampler has left its uniform beginning, and drawn from what it learned.
    assert (a["state_dict"]["timestep_sampler.counts"] == 2).all()
    before = read_checkpoint(alone[0] / "iter_4.pth")
    with pytest.raises(AssertionError):
        assert_close(before, b)


def test_the_data_are_those_of_one_process(together, alone):
    seen = [json.loads((together / "copies" / f"seen_{rank}.json").read_text())[0] for rank in (0, 1)]
    for iteration, rows in enumerate(zip(*seen, strict=True)):
        joined = tuple(itertools.chain.from_iterable(zip(*rows, strict=True)))
        assert joined == alone[1][iteration][0]


def test_what_follows_the_draws_differs_between_processes(together):
    first, second = (json.loads((together / "copies" / f"seen_{rank}.json").read_text())[1] for rank in (0, 1))
    assert all(a != b for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("straight", "resumed", "end", "trained"),
    [
        slow("copies", "copies_resumed", 8, "more"),
        ("shares", "shares_resumed", 8, "together"),
        slow("shares_accumulating", "shares_accumulating_resumed", 4, "more"),
    ],
)
def test_resumed_to_the_bit(straight, resumed, end, trained, request, compare):
    together = request.getfixturevalue(trained)
    a, b = (read_checkpoint(together / name / f"iter_{end}.pth") for name in (straight, resumed))
    assert not compare(a, b)


def test_shares_and_copies_leave_the_same_kind_of_checkpoint(together, run, hooked, prior):
    a, b = (read_checkpoint(together / name / "iter_4.pth") for name in ("copies", "shares"))
    assert a.keys() == b.keys()
    assert [type(value) for value in a["state_dict"].values()] == [type(value) for value in b["state_dict"].values()]
    # One process goes on from it.
    folder = together / "alone_of_shares"
    folder.mkdir()
    shutil.copy(together / "shares" / "iter_4.pth", folder)
    options = {key.replace(".", "__"): value for key, value in hooked[0].items()}
    run(folder, resume=True, train_dataloader__batch_size=4, **options)
    assert_close(read_checkpoint(folder / "iter_8.pth"), read_checkpoint(together / "shares" / "iter_8.pth"))


@pytest.mark.slow
def test_gradients_between_two_steps_are_in_the_checkpoint(more):
    a, b = (read_checkpoint(more / f"{name}_accumulating" / "iter_2.pth") for name in ("copies", "shares"))
    assert a["gradients"]
    assert largest_difference(a["gradients"], b["gradients"]) < (1e-5, "")


def test_samples_are_those_of_one_process(together, alone):
    expected = cv2.imread(str(alone[0] / "samples" / "0000008.png")).astype(int)
    for name in ("copies", "shares"):
        found = cv2.imread(str(together / name / "samples" / "0000008.png")).astype(int)
        assert found.shape == expected.shape and abs(found - expected).max() <= 2


def test_all_hear_that_the_disk_is_full(together):
    first, second = ((together / "full" / f"error_{rank}.txt").read_text() for rank in (0, 1))
    assert "No space left on device" in first and "on rank 0" not in first
    assert "No space left on device" in second and "on rank 0" in second
