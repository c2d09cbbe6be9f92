"""Seeds, throughput and sample grids."""

from types import SimpleNamespace

import cv2
import pytest
import torch

from pitikit.engine import hooks
from pitikit.engine.ema import DenoiserEMA
from pitikit.engine.hooks import IterationSeedHook, RankMeanHook, ThroughputHook


def test_seed_depends_on_run_and_iteration_alone():
    def drawn(seed=0, iteration=0, rank=0):
        torch.manual_seed(torch.seed() % 2**32)
        runner = SimpleNamespace(seed=seed, iter=iteration, rank=rank, world_size=4, model=torch.nn.Linear(1, 1))
        batch = {}
        IterationSeedHook().before_train_iter(runner, 0, batch)
        draws = batch["draws"]
        assert (draws.rank, draws.world_size) == (rank, 4)
        return tuple(torch.rand(4, generator=draws.generator).tolist()), tuple(torch.rand(4).tolist())

    # Ranks draw for the whole batch alike; what they draw beside that, such as dropout, differs.
    first, other = drawn(1, 2, 0), drawn(1, 2, 3)
    assert first[0] == other[0] and first[1] != other[1] and drawn(1, 2, 3) == other
    places = [(seed, n) for seed in range(5) for n in range(80)]
    assert len({numbers for place in places for numbers in drawn(*place)}) == 2 * len(places)


def test_logged_terms_are_means_over_the_processes(monkeypatch):
    # As if the other process had found 1 more everywhere.
    monkeypatch.setattr(hooks, "all_reduce", lambda values, op: values.add_(0.5) if op == "mean" else None)
    outputs = {"loss": torch.tensor(1.0, requires_grad=True), "loss_mse": torch.tensor([2.0]), "text": "a"}
    for size, expected in ((1, [1.0, 2.0]), (2, [1.5, 2.5])):
        RankMeanHook().after_train_iter(SimpleNamespace(world_size=size), 0, None, outputs)
        assert [outputs[name].item() for name in ("loss", "loss_mse")] == expected
    assert outputs["text"] == "a" and not outputs["loss"].requires_grad


def test_throughput_counts_the_images_of_all_ranks(monkeypatch):
    clock = iter([10.0, 10.5, 12.5])
    monkeypatch.setattr(hooks.time, "perf_counter", lambda: next(clock))
    logged = {}
    hub = SimpleNamespace(update_scalar=lambda name, value: logged.setdefault(name, []).append(value))
    runner, hook = SimpleNamespace(message_hub=hub, world_size=2), ThroughputHook()
    for _ in range(3):
        hook.after_train_iter(runner, 0, {"id": ["a", "b", "c"]})
    assert logged == {"train/images_per_s": [12.0, 3.0]}


@pytest.fixture
def rows(make_runner, tmp_path):
    cfg = make_runner(tmp_path).cfg.train_dataloader.dataset
    return {**cfg, "length": 2}


def test_sample_grid(run, rows, compare, tmp_path, monkeypatch):
    averaged, applied = [], DenoiserEMA.applied
    monkeypatch.setattr(DenoiserEMA, "applied", lambda self: averaged.append(self) or applied(self))
    grid = dict(type="SampleGridHook", dataset=rows, interval=2, rows=2, seeds=(0, 1))
    extra = [dict(type="DenoiserEMA", decay=0.9), dict(type="ThroughputHook")]
    options = dict(train_cfg__max_iters=4, model__drop=0.3)
    runner = run(tmp_path / "a", custom_hooks=[*extra, grid], **options)
    found = sorted((tmp_path / "a" / "samples").iterdir())
    assert [path.name for path in found] == ["0000002.png", "0000004.png"]
    image = cv2.imread(str(found[-1]))
    # Condition, two results and the true image, in two rows.
    height, width = image.shape[:2]
    assert 1.8 < width / height < 2.2
    assert "train/images_per_s" in runner.message_hub.log_scalars
    # Made with the average, and the model is as before.
    assert len(averaged) == 2 and runner.model.seed == 0 and runner.model.training
    # The images cost the training nothing: it ends as it does without them.
    run(tmp_path / "b", custom_hooks=extra[:1], **options)
    with_grid, without = (torch.load(tmp_path / name / "iter_4.pth", weights_only=True) for name in "ab")
    for part in ("state_dict", "ema", "optimizer"):
        assert not compare(with_grid[part], without[part])


def test_sample_grid_needs_rows(run, tmp_path):
    with pytest.raises(ValueError, match="give `dataset`, or a `val_dataloader`"):
        run(tmp_path, custom_hooks=[dict(type="SampleGridHook")])


def test_sample_grid_shows_the_data_of_the_validation(run, rows, tmp_path):
    # A config of one's own replaces the dataset of its base in `val_dataloader`, and nowhere else.
    grid = dict(type="SampleGridHook", interval=1, seeds=(0,))
    run(tmp_path, train_cfg__max_iters=1, custom_hooks=[grid], val_dataloader=dict(dataset=rows))
    assert (tmp_path / "samples" / "0000001.png").is_file()
