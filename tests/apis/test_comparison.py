"""Several configs alike: what each run is told, what is done once, what is said when one fails."""

import json
import os
import signal
from pathlib import Path

import pytest

from pitikit.apis import comparison
from pitikit.apis.comparison import ComparisonError, compare, plan, table
from pitikit.config import load_config

TWO = "configs/scenes/piti_small_mask.py"
ONE = "configs/scenes/piti_small_mask_one-stage.py"

TRAIN = """
import os, pathlib, signal, sys
folder = pathlib.Path(sys.argv[sys.argv.index("--work-dir") + 1])
with (folder / "calls").open("a") as file:
    file.write(" ".join(sys.argv[1:]) + chr(10))
if "FAIL" in str(folder.parents[1]) and "one-stage" in str(folder):
    sys.exit("error: no such prior")
if "INTERRUPT" in str(folder.parents[1]):
    os.kill(os.getppid(), signal.SIGINT)
    sys.exit(130)
(folder / "ema.safetensors").touch()
(folder / "threads").write_text(os.environ["OMP_NUM_THREADS"])
"""
TEST = """
import json, sys, pathlib
out = pathlib.Path(sys.argv[sys.argv.index("--out") + 1])
out.mkdir(exist_ok=True)
share = float(out.parent.name.replace("seed_", ""))
with (out.parent / "tests").open("a") as file:
    file.write(" ".join(sys.argv[1:]) + chr(10))
distance = 0.5 if pathlib.Path(__file__).with_name("alexnet").exists() else None
report = {"metrics": {"mIoU": share / 100, "LPIPS": distance, "IoU/sky": 1.0}, "protocol": {"count": 5}}
(out / "metrics.json").write_text(json.dumps(report))
"""


@pytest.fixture
def tools(tmp_path):
    folder = tmp_path / "tools"
    folder.mkdir()
    (folder / "train.py").write_text(TRAIN)
    (folder / "test.py").write_text(TEST)
    return folder


def test_a_second_value_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"iterations=60: got train_cfg\.max_iters=20 in the options"):
        plan([TWO], [1.0], tmp_path, 60, {"train_cfg.max_iters": 20})


@pytest.mark.slow
def test_every_config_meets_every_share_and_stages_keep_their_proportions(tmp_path):
    runs = plan([TWO, ONE], [0.25, 1], tmp_path, iterations=300, options={"randomness.seed": 3})
    assert [(run.config.stem, run.share) for run in runs] == [
        ("piti_small_mask", 0.25),
        ("piti_small_mask", 1),
        ("piti_small_mask_one-stage", 0.25),
        ("piti_small_mask_one-stage", 1),
    ]
    first = runs[0]
    assert first.folder == tmp_path / "piti_small_mask" / "25"
    assert first.options["train_dataloader.dataset.subset"] == 0.25 and first.options["randomness.seed"] == 3
    assert first.options["train_cfg.max_iters"] == 300
    whole = plan([TWO], [1], tmp_path)[0]
    assert "train_cfg.max_iters" not in whole.options and "stages.0.until" not in whole.options
    # 500 of 2,400 iterations are the first stage's.
    assert first.options["stages.0.until"] == 62
    assert plan([TWO], [1], tmp_path, iterations=310)[0].options["stages.0.until"] == 65, "64.6"
    assert "stages.0.until" not in runs[2].options


def test_another_prior_is_not_forced_on_what_starts_from_scratch(tmp_path):
    scratch = "configs/scenes/piti_small_mask_from-scratch.py"
    runs = plan([TWO, scratch], [1], tmp_path, prior="other.safetensors")
    assert [run.options.get("load_from") for run in runs] == ["other.safetensors", None]


def test_another_prior_takes_the_place_of_the_files_and_leaves_what_may_be_new(tmp_path):
    config = tmp_path / "parts.py"
    config.write_text(
        f"_base_ = [{str(Path(TWO).resolve())!r}]\n"
        "load_from = dict(decoder=dict(path='a.pth', prefix='net.'), allow_new='decoder.new.*')\n"
    )
    run = plan([config], [1], tmp_path, prior="other.safetensors")[0]
    assert load_config(config, run.options).load_from == dict(decoder="other.safetensors", allow_new="decoder.new.*")


def test_a_comparison_gives_a_table_and_does_nothing_twice(tmp_path, tools):
    out = tmp_path / "out"
    runs = plan([TWO, ONE], [0.25, 1], out, iterations=10)
    text = compare(runs, out, tools, jobs=2)
    assert (out / "table.md").read_text() == text + "\n"
    assert "| piti_small_mask | 25% | 0.250 | – |" in text and "IoU/sky" not in text
    assert json.loads((out / "results.json").read_text())["runs"][3]["metrics"]["mIoU"] == 1.0
    # What lacked weights is tested again, and then no more.
    (tools / "alexnet").touch()
    assert "| piti_small_mask | 25% | 0.250 | 0.500 |" in compare(runs, out, tools)
    compare(runs, out, tools)
    call = (runs[0].folder / "calls").read_text().splitlines()
    assert len(call) == 1 and "--resume" in call[0] and "train_dataloader.dataset.subset=0.25" in call[0]
    tests = runs[0].folder / "tests"
    assert len(tests.read_text().splitlines()) == 2
    # Asked for something else, it is tested again.
    compare(runs, out, tools, count=3)
    assert "--count 3" in tests.read_text().splitlines()[2]
    with pytest.raises(ComparisonError, match="other options"):
        compare(plan([TWO], [0.25], out, iterations=11), out, tools)


def test_a_test_is_that_of_its_options_and_of_the_weights_that_are_there(tmp_path, tools):
    (tools / "alexnet").touch()
    (run,) = plan([ONE], [1], tmp_path / "out")
    options = {"model.sampler.steps": 5}
    for _ in range(2):
        compare([run], tmp_path / "out", tools, options=options)
    (said,) = (run.folder / "tests").read_text().splitlines()
    assert said.endswith("--cfg-options model.sampler.steps=5 --overwrite")
    os.utime(run.folder / "ema.safetensors", (1, 1))
    compare([run], tmp_path / "out", tools, options=options)
    assert len((run.folder / "tests").read_text().splitlines()) == 2


@pytest.mark.parametrize(("jobs", "threads"), [(1, "6"), (2, "3"), (9, "1")])
def test_the_cores_are_shared_out(jobs, threads, tmp_path, tools, monkeypatch):
    pools, pool = [], comparison.ThreadPoolExecutor
    monkeypatch.setattr(comparison, "ThreadPoolExecutor", lambda count: pools.append(count) or pool(count))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    (run,) = plan([ONE], [1], tmp_path / "out")
    compare([run], tmp_path / "out", tools, jobs=jobs)
    assert (run.folder / "threads").read_text() == threads and pools == [jobs]


def test_a_failed_run_is_named_with_its_last_line_and_the_others_are_finished(tmp_path, tools):
    out = tmp_path / "FAIL"
    runs = plan([ONE, TWO], [1], out)
    with pytest.raises(
        ComparisonError, match=r"one-stage, 100%: train.py ended with exit code 1: error: no such prior"
    ):
        compare(runs, out, tools)
    assert (runs[1].folder / "test" / "metrics.json").is_file()


def test_a_training_that_was_cut_short_is_not_resumed_as_another(tmp_path, tools):
    out, config = tmp_path / "FAIL", tmp_path / "one-stage.py"
    config.write_text(f"_base_ = [{str(Path(ONE).resolve())!r}]\nload_from = {str(tmp_path / 'prior')!r}\n")
    (tmp_path / "prior").write_bytes(b"one")

    def start(**changes):
        compare(plan([config], [1], out, **{"iterations": 300, **changes}), out, tools)

    with pytest.raises(ComparisonError, match="no such prior"):
        start()
    # The same again goes on.
    with pytest.raises(ComparisonError, match="no such prior"):
        start()
    for changes in (dict(iterations=600), dict(options={"stages.0.lr": 5e-4})):
        with pytest.raises(ComparisonError, match="another config or with other options; choose another --out"):
            start(**changes)
    (tmp_path / "prior").write_bytes(b"other")
    with pytest.raises(ComparisonError, match="another config"):
        start()
    (tmp_path / "prior").write_bytes(b"one")
    config.write_text(config.read_text() + "stages = [dict(name='joint', lr=1e-5)]\n")
    with pytest.raises(ComparisonError, match="another config"):
        start()
    assert len((out / "one-stage" / "100" / "calls").read_text().splitlines()) == 2


def test_a_folder_that_somebody_trained_in_is_left_alone(tmp_path, tools):
    (run,) = plan([ONE], [1], tmp_path)
    run.folder.mkdir(parents=True)
    (run.folder / "iter_10.pth").touch()
    with pytest.raises(ComparisonError, match="holds a training of another config"):
        compare([run], tmp_path, tools)


@pytest.fixture
def heeds_interrupts():
    """A shell starts its background jobs deaf to Ctrl-C, these tests perhaps among them."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_ctrl_c_begins_no_other_run(tmp_path, tools, heeds_interrupts):
    out = tmp_path / "INTERRUPT"
    runs = plan([TWO, ONE], [0.5, 1], out)
    with pytest.raises(KeyboardInterrupt):
        compare(runs, out, tools)
    assert [run.folder.exists() for run in runs] == [True, False, False, False]


def test_sigterm_reaches_the_run_at_work(tmp_path, tools):
    (tools / "train.py").write_text(
        "import os, pathlib, signal, sys, time\n"
        "folder = pathlib.Path(sys.argv[sys.argv.index('--work-dir') + 1])\n"
        "def save(*_):\n"
        "    (folder / 'saved').touch()\n"
        "    sys.exit(143)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "os.kill(os.getppid(), signal.SIGTERM)\n"
        "time.sleep(60)\n"
    )
    runs = plan([TWO, ONE], [1], tmp_path / "o")
    with pytest.raises(SystemExit) as left:
        compare(runs, tmp_path / "o", tools)
    assert left.value.code == 128 + signal.SIGTERM and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    assert (runs[0].folder / "saved").exists() and not runs[1].folder.exists()


def test_stages_end_with_a_step_of_accumulation(tmp_path):
    options = {"optim_wrapper.accumulative_counts": 4}
    (run,) = plan([TWO], [1], tmp_path, iterations=310, options=options)
    borders = [value for key, value in run.options.items() if key.endswith(".until")]
    assert borders and all(border % 4 == 0 for border in borders)


def test_shares_have_folders_of_their_own(tmp_path):
    runs = plan([TWO], [0.125, 0.12, 0.004], tmp_path)
    assert [run.folder.name for run in runs] == ["12.5", "12", "0.4"]
    assert runs[0].name == "piti_small_mask, 12.5%"


def test_borders_of_stages_in_a_hook_move_too(tmp_path):
    (run,) = plan(["tests/configs/tiny_training.py"], [1], tmp_path, iterations=120)
    borders = {"custom_hooks.0.stages.0.until": 40, "custom_hooks.0.stages.1.until": 80}
    assert run.options == {"train_cfg.max_iters": 120, **borders}


def test_every_seed_is_a_training_and_the_table_has_mean_and_spread(tmp_path, tools):
    runs = plan([ONE], [1], tmp_path, seeds=[20, 50])
    assert [(run.seed, run.options["randomness.seed"], run.folder.name) for run in runs] == [
        (20, 20, "seed_20"),
        (50, 50, "seed_50"),
    ]
    lines = compare(runs, tmp_path, tools).splitlines()
    assert lines[2] == "| piti_small_mask_one-stage | 100% | 0.350 ± 0.150 | – |"
    assert lines[-1].startswith("Mean of 2 trainings")
    assert [row["seed"] for row in json.loads((tmp_path / "results.json").read_text())["runs"]] == [20, 50]


@pytest.mark.parametrize(
    "seeds, options, message",
    [
        ([1, 1], {}, "seeds: one comes twice among 1, 1"),
        ([-1], {}, "seeds: got -1"),
        ([1], {"randomness.seed": 2}, "seeds"),
    ],
)
def test_wrong_seeds_are_refused(seeds, options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        plan([ONE], [1], tmp_path, options=options, seeds=seeds)


def test_wrong_plans_are_refused_before_anything_runs(tmp_path):
    with pytest.raises(ValueError, match="share 0: expected more than 0"):
        plan([TWO], [0], tmp_path)
    with pytest.raises(ValueError, match="shares: one comes twice among 0.5, 1, 0.5"):
        plan([TWO], [0.5, 1, 0.5], tmp_path)
    with pytest.raises(ValueError, match="two of the same name"):
        plan([TWO, TWO], [1], tmp_path)
    with pytest.raises(ValueError, match="iterations=0: expected 1 or more"):
        plan([TWO], [1], tmp_path, iterations=0)
    with pytest.raises(ValueError, match="cascade_small_mask.py: has no train_cfg"):
        plan([TWO, "configs/scenes/cascade_small_mask.py"], [1], tmp_path)
    with pytest.raises(ValueError, match="jobs=0"):
        compare([], tmp_path, tmp_path, jobs=0)


def test_the_table_shows_every_metric_once():
    rows = [
        {"config": "a/x.py", "share": 0.5, "metrics": {"PSNR": 10.0}},
        {"config": "y.py", "share": 1, "metrics": {"FID": 3.25}},
    ]
    assert table(rows).splitlines()[2:] == ["| x | 50% | 10.000 | – |", "| y | 100% | – | 3.250 |"]
