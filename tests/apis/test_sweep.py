"""A test for each value of a setting."""

import json

import cv2
import pytest

from pitikit.apis import sweep as module
from pitikit.apis.metrics_table import ResultsError, find_runs
from pitikit.apis.sweep import plan_sweep, read_over, sweep
from pitikit.config import ConfigError
from pitikit.weights import WeightsError

STEPS, SCALE = "model.sampler.steps", "model.sampler.guidance.scale"


@pytest.fixture(scope="module")
def config(tmp_path_factory, repo):
    """A tiny model, with its test set and metrics."""
    path = tmp_path_factory.mktemp("sweep") / "tiny.py"
    path.write_text(f"""_base_ = ["{repo}/tests/configs/tiny.py"]
test_evaluator = [dict(type="PSNR"), dict(type="Sharpness")]
""")
    return path


def test_values_as_they_are_typed():
    assert read_over(["a.b=4,8,16"]) == {"a.b": [4, 8, 16]}
    assert read_over(["a=4", "b=fast27,ddim50", "c=[[10,3],[27]]", "d=None,dict(type='CFG')"]) == {
        "a": [4],
        "b": ["fast27", "ddim50"],
        "c": [[10, 3], [27]],
        "d": [None, {"type": "CFG"}],
    }
    for wrong, words in (("a", "expected KEY=VALUE"), ("a=1,1", "values? .*differ"), ("a=[]", "expected one value")):
        with pytest.raises(ValueError, match=words):
            read_over([wrong])
    with pytest.raises(ValueError, match="--over a: comes twice"):
        read_over(["a=1", "a=2"])


def test_all_combinations_are_planned_before_the_first(config, tmp_path):
    points = plan_sweep(config, "random", {STEPS: [2, 3], SCALE: [1.0, 2.0]}, tmp_path)
    assert [point.name for point in points] == [
        "steps=2,scale=1.0",
        "steps=2,scale=2.0",
        "steps=3,scale=1.0",
        "steps=3,scale=2.0",
    ]
    assert points[3].values == {STEPS: 3, SCALE: 2.0} and points[3].folder.parent == tmp_path
    assert len({json.dumps(point.request) for point in points}) == 4
    other = plan_sweep(config, "random", {STEPS: [2, 3]}, tmp_path, {SCALE: 1.0}, count=1)
    assert other[0].request["count"] == 1 and other[0].request["config"] == points[0].request["config"]
    # Names that a folder cannot have, or that would be equal.
    odd = plan_sweep(config, "random", {"work_dir": ["a/b", "a b", "x" * 60]}, tmp_path)
    assert [point.name for point in odd] == ["work_dir=a_b", "work_dir=a_b,2", "work_dir=" + "x" * 40]


@pytest.mark.parametrize(
    ("over", "error", "words"),
    [
        ({STEPS: [2, "x"]}, ValueError, "x"),
        ({STEPS: [2, 5000]}, ValueError, "5000"),
        ({"model.sampler.step": [2]}, ConfigError, "did you mean 'steps'"),
        ({}, ValueError, "over: got nothing"),
        ({SCALE: [2.0]}, ValueError, "is set by the options"),
    ],
)
def test_a_wrong_value_is_found_before_the_first_test(config, tmp_path, over, error, words):
    with pytest.raises(error, match=words):
        sweep(config, "random", over, tmp_path / "o", options={SCALE: 1.0}, note=lambda text: None)
    assert not (tmp_path / "o").exists()


def test_missing_weights_are_found_too(config, tmp_path):
    with pytest.raises(WeightsError, match="absent"):
        plan_sweep(config, tmp_path / "absent.safetensors", {STEPS: [2]}, tmp_path)


def test_tests_table_and_figure(config, tmp_path, monkeypatch):
    said, made = [], []

    def counted(*args, evaluate=module.evaluate, **options):
        made.append(args[2].name)
        return evaluate(*args, **options)

    monkeypatch.setattr(module, "evaluate", counted)

    def call(over, **options):
        return sweep(
            config,
            "random",
            over,
            tmp_path,
            ["PSNR", "sharpness"],
            count=2,
            progress=False,
            note=said.append,
            **options,
        )

    over = {STEPS: [2, 3], SCALE: [1.0, 2.0]}
    text = call(over)
    assert said == [f"{name} ({k} of 4)" for k, name in enumerate(made, start=1)] and len(made) == 4
    rows = [line.split() for line in text.splitlines()]
    assert rows[0] == ["steps", "scale", "PSNR", "sharpness"] and [row[:2] for row in rows[1:3]] == [
        ["2", "1.0"],
        ["2", "2.0"],
    ]
    runs = find_runs([tmp_path])
    assert len(runs) == 4 and {run.protocol["steps"] for run in runs} == {2, 3}
    assert rows[1][2] == f"{runs[0].metrics['PSNR']:.4f}"
    assert (
        (tmp_path / "table.md")
        .read_text()
        .startswith("| steps | scale | PSNR | sharpness |\n|---|---|---|---|\n| 2 | 1.0 |")
    )
    assert cv2.imread(str(tmp_path / "sweep.png")).shape[1] > 1000
    # What is there is not done again; a further value is added.
    assert call(over) == text and len(made) == 4
    call({STEPS: [2, 3, 1], SCALE: [1.0, 2.0]})
    assert made[4:] == ["steps=1,scale=1.0", "steps=1,scale=2.0"]
    # Another seed is another protocol.
    with pytest.raises(ValueError, match="another protocol"):
        call(over, seed=3)
    call(over, seed=3, overwrite=True)
    assert len(made) == 6 + 1 + 4


def test_a_metric_that_is_not_there_stops_after_the_first_test(config, tmp_path):
    said = []
    with pytest.raises(ResultsError, match=r"plot: no metric 'PSRN'; did you mean 'PSNR'"):
        sweep(config, "random", {STEPS: [2, 3]}, tmp_path, ["PSRN"], count=1, progress=False, note=said.append)
    assert said == ["steps=2 (1 of 2)"]


def test_values_that_are_no_numbers_are_drawn_in_their_order(config, tmp_path):
    over = {"model.sampler.guidance": [None, {"type": "CFG", "scale": 2.0}]}
    text = sweep(config, "random", over, tmp_path, ["PSNR"], count=1, progress=False, note=lambda text: None)
    assert (tmp_path / "sweep.png").is_file() and "None" in text
