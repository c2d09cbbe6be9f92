"""A report of many tests: what shares a table, what is a row, and the paper beside it."""

import csv
import json

import pytest

from pitikit.apis.metrics_table import ResultsError, find_runs
from pitikit.apis.report import PAPER, make_rows, write_report
from pitikit.config import load_config
from tests.apis.test_metrics_table import DATASET, write

MASK = "configs/mask/piti_glide64_two-stage_ade20k.py"


def test_seeds_are_one_row_with_mean_and_spread(tmp_path):
    for seed, value in enumerate([0.25, 0.5, 0.75]):
        write(tmp_path / "plain" / f"seed_{seed}" / "test", {"mIoU": value})
    write(tmp_path / "spatial" / "seed_0" / "test", {"mIoU": 0.5, "IoU/sky": 1.0})
    rows = make_rows(find_runs([tmp_path]))
    assert [(row.name, len(row.runs)) for row in rows] == [("plain/test", 3), ("spatial/test", 1)]
    text = write_report([tmp_path], tmp_path / "report", ["md", "csv"])
    assert "| plain/test | 3 | 0.5000 ± 0.2500 |" in text and "| spatial/test | 1 | 0.5000 |" in text
    assert (tmp_path / "report/report.md").read_text() == text and "IoU/sky" not in text
    table = list(csv.DictReader((tmp_path / "report/report.csv").open()))
    assert table[0]["mIoU"] == "0.5" and table[0]["mIoU (half range)"] == "0.25" and table[1]["IoU/sky"] == "1.0"


def test_the_csv_has_the_columns_and_no_spread_without_a_mean(tmp_path):
    for seed, value in enumerate([1.0, 3.0, None]):
        write(tmp_path / "plain" / f"seed_{seed}" / "test", {"FID": value, "mIoU": 0.5})
    write_report([tmp_path], tmp_path / "report", ["csv"])
    (row,) = csv.DictReader((tmp_path / "report/report.csv").open())
    assert (row["FID"], row["FID (half range)"], row["mIoU"]) == ("", "", "0.5")
    write_report([tmp_path], tmp_path / "report", ["csv"], columns=["mIoU"])
    assert "FID" not in (tmp_path / "report/report.csv").read_text()


def test_a_damaged_file_of_a_comparison_is_named(tmp_path):
    write(tmp_path / "plain" / "test", {"mIoU": 0.5})
    for text in ("{", json.dumps({"options": ["train_dataloader.dataset.subset=1/4"]})):
        (tmp_path / "plain" / "asked.json").write_text(text)
        with pytest.raises(ResultsError, match=r"plain/asked\.json: got a damaged file"):
            write_report([tmp_path], tmp_path / "report", ["md"])


def test_diversity_of_seeds_is_a_value_of_their_row(tmp_path):
    def seeds(folder, value, count=2, **facts):
        for seed in range(count):
            write(folder / f"seed_{seed}", {"FID": 1.0 + seed, "Diversity": None}, seed=seed)
        saved = dict(
            seeds=list(range(count)), diversity=value, measured_with=dict(samples=count, **facts) if value else None
        )
        (folder / "seeds.json").write_text(json.dumps(saved))

    seeds(tmp_path / "one", 0.25)
    text = write_report([tmp_path], tmp_path / "report", ["md", "csv"])
    assert "| run | seeds | FID | Diversity |" in text and "| one | 2 | 1.5000 ± 0.5000 | 0.2500 |" in text
    (row,) = csv.DictReader((tmp_path / "report/report.csv").open())
    assert row["Diversity"] == "0.25" and row["Diversity (half range)"] == ""
    # Of each training one.
    seeds(tmp_path / "two" / "seed_0" / "test", 0.5)
    seeds(tmp_path / "two" / "seed_1" / "test", 0.25)
    text = write_report([tmp_path / "two"], tmp_path / "report", ["md"])
    assert "| test | 4 | 1.5000 ± 0.5000 | 0.3750 ± 0.1250 |" in text
    # Of other seeds, or of another number of them, it is another number.
    seeds(tmp_path / "three", 0.5, count=3)
    text = write_report([tmp_path / "one", tmp_path / "three"], tmp_path / "report", ["md"])
    assert text.count("## Table") == 2
    seeds(tmp_path / "four", None)
    assert "Diversity" not in write_report([tmp_path / "four"], tmp_path / "report", ["md"])
    (tmp_path / "four" / "seeds.json").write_text("{")
    with pytest.raises(ResultsError, match=r"four/seeds\.json: got a damaged file"):
        write_report([tmp_path / "four"], tmp_path / "report")


def test_what_was_measured_otherwise_has_a_table_of_its_own(tmp_path):
    write(tmp_path / "one", {"FID": 10.0}, {"FID": {"weights_sha256": "abcdef012345"}})
    write(tmp_path / "two", {"FID": 9.0}, count=8)
    write(tmp_path / "three", {"FID": 8.0}, {"FID": {"weights_sha256": "0000"}})
    text = write_report([tmp_path / name for name in ("one", "two", "three")], tmp_path / "report", ["md"])
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## Table 1", "## Table 2", "## Table 3"]
    assert "7 images of SceneWorld at 16 pixels; FID by weights (abcdef01…)." in text


def test_seeds_of_different_tests_are_refused(tmp_path):
    write(tmp_path / "seed_0", {"FID": 10.0})
    write(tmp_path / "seed_1", {"FID": 9.0}, count=8)
    with pytest.raises(ResultsError, match="seed_1: measured in another way"):
        write_report([tmp_path], tmp_path / "report")


def test_seeds_of_different_settings_are_refused(tmp_path):
    write(tmp_path / "seed_0", {"FID": 10.0}, checkpoint={"path": "a", "sha256": "0"})
    write(tmp_path / "seed_1", {"FID": 9.0}, checkpoint={"path": "b", "sha256": "1"}, seed=1)
    assert "| 2 | 9.5000 ± 0.5000 |" in write_report([tmp_path], tmp_path / "report", ["md"])
    write(tmp_path / "seed_2", {"FID": 9.0}, steps=10, seed=2)
    with pytest.raises(ResultsError, match=r"seed_2: differs in steps from .*seed_0; expected seeds of one test"):
        write_report([tmp_path], tmp_path / "report")


def test_a_test_that_is_found_twice_is_refused(tmp_path):
    write(tmp_path / "one", {"FID": 10.0})
    with pytest.raises(ValueError, match="given twice"):
        write_report([tmp_path, tmp_path / "one"], tmp_path / "report")


def test_two_folders_that_were_compared_are_a_row_as_well(tmp_path):
    for name, digest in (("one", "a"), ("two", "b")):
        protocol = dict(real=dict(folder="photos", images=9, sha256=digest), fake=dict(folder=name, images=7))
        report = dict(metrics={"PSNR": 10.0}, protocol={**protocol, "resize": None, "count": 7, "resolution": 16})
        (tmp_path / name).mkdir()
        (tmp_path / name / "metrics.json").write_text(json.dumps(report))
    text = write_report([tmp_path], tmp_path / "report", ["md"])
    # The real images differ.
    assert text.count("7 images against those of photos at 16 pixels.") == 2 and "Table 2" in text


def test_the_paper_stands_beside_its_benchmark_with_a_mark(tmp_path):
    write(tmp_path / "ade", {"FID": 30.0, "FID_CLIP": 10.0}, config=MASK)
    write(tmp_path / "other", {"FID": 20.0}, config="configs/mask/piti_small_camvid.py", count=9)
    text = write_report([tmp_path / "ade", tmp_path / "other"], tmp_path / "report", ["md"])
    first, second = text.split("## Table 2")
    lines = [line for line in first.splitlines() if line.startswith("| PITI, paper (ADE20K)")]
    assert lines == ["| PITI, paper (ADE20K) † |  | - | 8.9 † | - |"]
    # What nothing here has measured comes last.
    assert "| PITI, later papers (ADE20K) †† |  | 27.9 †† | - | 0.294 †† |" in first
    assert "† the paper's own measurement: FID of CLIP features" in first and "†" not in second
    assert "†" not in write_report([tmp_path / "ade"], tmp_path / "report", ["md"], paper=None)


def test_every_row_of_the_paper_is_complete():
    rows = load_config(PAPER)["paper"]
    assert len(rows) == 53 and all(set(row) == {"configs", "dataset", "method", "metrics", "protocol"} for row in rows)


def test_the_rows_are_those_of_the_paper():
    def of(dataset, column):
        rows = [row for row in load_config(PAPER)["paper"] if row["dataset"] == dataset]
        return {row["method"]: row["metrics"][column] for row in rows if column in row["metrics"]}

    ade = of("ADE20K", "FID_CLIP")
    assert [ade[f"upsampler {name}, paper"] for name in ("plain", "+ degradation", "+ perceptual")] == [14.5, 12.1, 9.8]
    shares = {"PITI": [16.2, 12.7], "from scratch": [24.0, 18.8], "OASIS": [26.5, 20.4], "SPADE": [27.1, 24.6]}
    shares["Pix2PixHD"] = [44.1, 38.4]
    for method, values in shares.items():
        assert [ade[f"{method} on {share} % of the pairs, paper"] for share in (25, 50)] == values
    assert of("ADE20K", "mIoU") == {
        "PITI, later papers": 0.294,
        "FreestyleNet": 0.419,
        "OASIS, later papers": 0.488,
        "PLACE": 0.507,
        "DP-SIMS": 0.543,
        "ControlNet": 0.326,
        "ControlNet++": 0.436,
    }
    assert of("COCO-Stuff, masks", "FID")["OASIS, later papers"] == 17.0


def test_plots_are_drawn_over_what_varies(tmp_path):
    for steps in (10, 50):
        write(tmp_path / f"steps{steps}", {"FID": 100.0 / steps}, steps=steps, guidance={"type": "CFG", "scale": 2.0})
    text = write_report([tmp_path], tmp_path / "report")
    assert (tmp_path / "report/table_1_steps.png").stat().st_size > 5000
    assert "![sampling steps](table_1_steps.png)" in text and "table_1_scale" not in text


def test_a_table_without_values_has_no_plots(tmp_path):
    for steps in (10, 50):
        write(tmp_path / f"steps{steps}", {"FID": None}, steps=steps)
    assert "| steps10 | 1 |" in write_report([tmp_path], tmp_path / "report")
    assert sorted(path.suffix for path in (tmp_path / "report").iterdir()) == [".csv", ".md"]


def test_the_share_of_a_comparison_is_a_factor(tmp_path):
    for share in (25, 100):
        folder = write(tmp_path / "piti" / str(share) / "test", {"FID": 1.0}).parent
        given = ["--cfg-options", "train_dataloader.dataset.subset=0.25"] if share == 25 else []
        (folder / "asked.json").write_text(json.dumps({"options": given}))
    assert [row.factors["share"] for row in make_rows(find_runs([tmp_path]))] == [1.0, 0.25]


def test_wrong_questions_are_answered(tmp_path):
    write(tmp_path / "one", {"FID": 1.0}, dataset=DATASET)
    with pytest.raises(ResultsError, match="no run has the column 'KID'; expected some of FID"):
        write_report([tmp_path], tmp_path / "report", columns=["KID"])
    with pytest.raises(ValueError, match="formats: got pdf, expected some of md, csv, png"):
        write_report([tmp_path], tmp_path / "report", ["pdf"])
    assert not (tmp_path / "report").exists()
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file: results cannot be written there"):
        write_report([tmp_path], tmp_path / "file")
