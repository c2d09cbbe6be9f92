"""Results of tests side by side: what is a row, a column, a difference."""

import csv
import io
import json

import pytest

from pitikit.apis.metrics_table import (
    ResultsError,
    comparable,
    differing,
    find_runs,
    lay_out,
    mean_and_spread,
    results_table,
)

DATASET = {"type": "SceneWorld", "length": 7, "members": ["image", "mask"], "pipeline": [{"type": "LoadMask"}]}

FITTED = {"type": "ResizePair", "fit": "crop"}


def write(folder, metrics, measured=None, **changes):
    """The results of a test in a folder; ``changes`` are those of its protocol."""
    protocol = {
        "checkpoint": {"path": f"{folder.name}.safetensors", "sha256": "00"},
        "sampler": {"type": "DDIMSampler", "eta": 0.0},
        "steps": 50,
        "config": f"{folder.name}.py",
        "seed": 0,
        "count": 7,
        "resolution": 16,
        "dataset": DATASET,
        **changes,
    }
    folder.mkdir(parents=True)
    report = {"metrics": metrics, "protocol": protocol, "measured_with": measured or {}}
    (folder / "metrics.json").write_text(json.dumps(report))
    return folder


def cells(text):
    return [line.split() for line in text.splitlines()]


def test_rows_are_runs_and_columns_their_metrics(tmp_path):
    one = write(tmp_path / "one", {"PSNR": 12.3456789, "mIoU": None, "IoU/sky": 0.5})
    two = write(tmp_path / "two", {"PSNR": 11.0, "LPIPS": 0.25}, steps=10, sampler={"type": "DDIMSampler", "eta": 1.0})
    assert cells(results_table(find_runs([one, two / "metrics.json"]))) == [
        ["run", "PSNR", "mIoU", "LPIPS", "differs", "in"],
        ["one", "12.3457", "-", "-"],
        ["two", "11.0000", "-", "0.2500", "sampler,", "steps"],
    ]
    # All that are below a folder, in their order.
    assert results_table(find_runs([tmp_path])) == results_table(find_runs([one, two]))
    # One alone differs from none.
    assert cells(results_table(find_runs([one]), ["PSNR"])) == [["run", "PSNR"], ["one", "12.3457"]]


def test_columns_may_be_facts_and_numbers_of_the_log(tmp_path):
    work = tmp_path / "work"
    one = write(work / "test", {"PSNR": 12.0, "IoU/sky": 0.5})
    (work / "log.jsonl").write_text(
        '{"mode": "train", "iter": 1, "loss": 3}\n{"mode": "train", "iter": 2, "loss": 2}\n'
    )
    names = ["loss", "steps", "sampler.eta", "IoU/sky", "checkpoint.path"]
    assert cells(results_table(find_runs([work]), names))[1] == [
        "test",
        "2.0000",
        "50",
        "0.0000",
        "0.5000",
        "test.safetensors",
    ]
    with pytest.raises(ResultsError, match=r"no run has the column 'PSRN'; did you mean 'PSNR'"):
        results_table(find_runs([one]), ["PSRN"])


def test_formats(tmp_path):
    runs = find_runs([write(tmp_path / name, {"PSNR": value}) for name, value in (("a|b", 1 / 3), ("c", None))])
    assert results_table(runs, kind="md").splitlines() == [
        "| run | PSNR | differs in |",
        "|---|---|---|",
        "| a\\|b | 0.3333 |  |",
        "| c | - |  |",
    ]
    rows = list(csv.reader(io.StringIO(results_table(runs, kind="csv"))))
    assert rows == [["run", "PSNR", "differs in"], ["a|b", repr(1 / 3), ""], ["c", "", ""]]
    with pytest.raises(ValueError, match="kind='html'"):
        results_table(runs, kind="html")
    assert lay_out(["a", "bb"], [[1, None]]) == "a  bb\n1  -"


@pytest.mark.parametrize(
    ("changes", "parts", "same"),
    [
        ({}, [], True),
        (dict(config="other.py", options={"x": 1}), [], True),
        (dict(checkpoint={"path": "x", "sha256": "11"}, seed=3), ["checkpoint", "seed"], True),
        (dict(dataset={**DATASET, "pipeline": [{"type": "LoadSketch"}], "members": ["image"]}), ["dataset"], True),
        (dict(dataset={**DATASET, "length": 8}), ["dataset"], False),
        (dict(dataset={**DATASET, "pipeline": [{"type": "LoadMask"}, {"type": "PackInputs"}]}), ["dataset"], True),
        # The true images are made by these.
        (dict(dataset={**DATASET, "pipeline": [{"type": "LoadMask"}, FITTED]}), ["dataset"], False),
        (dict(dataset={**DATASET, "pipeline": [{"type": "LoadImage", "a": 1}]}), ["dataset"], False),
        (dict(count=5), ["count"], False),
        (dict(real={"folder": "r", "sha256": "a"}), ["real"], False),
        (dict(resize=64), ["resize"], False),
        (dict(resolution=32), ["resolution"], False),
        (dict(measured={"FID": {"weights_sha256": "b"}}), ["metrics"], False),
    ],
)
def test_differences_and_what_makes_numbers_no_longer_comparable(tmp_path, changes, parts, same):
    own = {"measured": {"FID": {"weights_sha256": "a"}, "PSNR": {}}}
    one, other = find_runs(
        [write(tmp_path / "a", {"PSNR": 1.0}, **own), write(tmp_path / "b", {"PSNR": 1.0}, **{**own, **changes})]
    )
    assert differing(one, other) == parts and comparable(one, other) == same
    text = results_table([one, other])
    assert ("b *" in text) == ("cannot be compared" in text) == (not same)


def test_a_reference_counts_by_its_content(tmp_path):
    runs = []
    for name, path, digest in (("a", "photos", "0"), ("b", "moved", "0"), ("c", "photos", "1")):
        measured = {"FID": {"reference": path, "reference_sha256": digest}}
        runs += find_runs([write(tmp_path / name, {"FID": 1.0}, measured)])
    assert comparable(runs[0], runs[1]) and not comparable(runs[0], runs[2])


def test_images_made_elsewhere_differ_in_that_alone(tmp_path):
    made, foreign = find_runs([write(tmp_path / "a", {"PSNR": 1.0}), write(tmp_path / "b", {"PSNR": 1.0})])
    for key in ("checkpoint", "sampler", "steps", "seed"):
        del foreign.protocol[key]
    foreign.protocol["images"] = {"folder": "f", "sha256": "0"}
    assert differing(made, foreign) == ["images"] and comparable(made, foreign)


def test_what_is_no_result_is_named(tmp_path):
    with pytest.raises(ResultsError, match=r"absent: no such folder; expected the folder of a test"):
        find_runs([tmp_path / "absent"])
    with pytest.raises(ResultsError, match=r"no metrics\.json in it or below it"):
        find_runs([tmp_path])
    for text in (
        "[]",
        "{",
        '{"metrics": {}}',
        '{"metrics": [], "protocol": {}}',
        '{"metrics": {"PSNR": "high"}, "protocol": {}}',
        '{"metrics": {"PSNR": true}, "protocol": {}}',
        '{"metrics": {}, "protocol": {}, "measured_with": [1]}',
        '{"metrics": {}, "protocol": {"dataset": "a"}}',
        '{"iteration": 19}\n{"iteration": 39}',
    ):
        (tmp_path / "metrics.json").write_text(text)
        with pytest.raises(ResultsError, match=r"metrics\.json: got a damaged file, or one of another kind \("):
            find_runs([tmp_path])
    one = write(tmp_path / "one", {})
    with pytest.raises(ValueError, match="given twice"):
        results_table(find_runs([one, one]))


def test_the_spread_is_half_the_range():
    assert mean_and_spread([1, 2, 4]) == "2.3333 ± 1.5000"
    assert mean_and_spread([1]) == "1.0000" and mean_and_spread([1, None]) == "-"
