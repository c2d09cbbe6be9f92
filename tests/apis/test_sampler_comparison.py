"""One model by several samplers: the settings, what is done once, the table, the images."""

import json

import cv2
import pytest

from pitikit.apis import sampler_comparison as module
from pitikit.apis.sampler_comparison import compare_samplers, plan, table, title_of, with_scale
from pitikit.config import ConfigError

TINY = "tests/configs/tiny.py"
CASCADE = "configs/scenes/cascade_small_mask.py"
SDE = dict(type="DPMSolverSampler", eta=1.0)


def test_every_combination_is_a_setting():
    found = plan(TINY, ["DDIMSampler", SDE], [2, "ddim4"], [1.0, 3.0], ["CFG", [dict(type="APG"), "DynamicThreshold"]])
    assert len(found) == len({each.title for each in found}) == 16
    first, last = found[0], found[-1]
    assert first.sampler == dict(type="DDIMSampler", steps=2, guidance=dict(type="CFG", scale=1.0))
    assert (first.steps, first.scale, first.title) == (2, 1.0, "DDIMSampler-steps2_CFG-scale1.0")
    assert last.sampler["guidance"] == [dict(type="APG", scale=3.0), dict(type="DynamicThreshold")]
    assert (last.steps, last.scale) == (4, 3.0) and last.sampler["eta"] == 1.0


def test_what_is_not_given_is_the_models_own():
    (own,) = plan(TINY)
    assert own.sampler == dict(type="DDPMSampler", steps=3, guidance=dict(type="CFG", scale=1.5)) and own.scale == 1.5
    (other,) = plan(TINY, ["UniPCSampler"])
    assert other.sampler["guidance"] == dict(type="CFG", scale=1.5) and other.steps == 20
    (none,) = plan(TINY, guidances=["none"])
    assert none.sampler["guidance"] is None and none.scale == 1.0
    (plus,) = plan(TINY, ["DDIMSampler"], guidances=["CFGPlusPlus"])
    assert plus.scale is None


def test_the_part_of_a_cascade():
    assert plan(CASCADE, scales=[2.0])[0].sampler["guidance"] == dict(type="NormalizedCFG", scale=2.0)
    upsampler = plan(CASCADE, ["DDIMSampler"], [7], part="upsampler")[0]
    assert upsampler.sampler == dict(type="DDIMSampler", steps=7, guidance=None) and upsampler.scale == 1.0
    with pytest.raises(ValueError, match="part='base': got a single model"):
        plan(TINY, part="base")


def test_a_scale_goes_to_the_guidance_within():
    inner = dict(type="Interval", low=0.1, guidance=dict(type="ScaleSchedule", guidance=dict(type="CFG")))
    assert with_scale(inner, 4.0)["guidance"]["guidance"] == dict(type="CFG", scale=4.0)
    assert with_scale(None, 2.0) == dict(type="CFG", scale=2.0)
    for guidance in (dict(type="CFGPlusPlus"), [dict(type="CFG"), dict(type="APG")], dict(type="DynamicThreshold")):
        with pytest.raises(ValueError, match="scale=2.0: got the guidance .*, expected one guidance with a scale"):
            with_scale(guidance, 2.0)


def test_a_long_title_is_cut_and_stays_its_own():
    long = dict(type="DDIMSampler", guidance=[dict(type="CFG", scale=index) for index in range(40)])
    other = {**long, "guidance": [*long["guidance"][:-1], dict(type="CFG", scale=99)]}
    assert len(title_of(long)) == len(title_of(other)) == 160 and title_of(long) != title_of(other)
    path = dict(type="DDIMSampler", guidance=dict(type="Autoguidance", weights="../a b/weak.pth"))
    assert title_of(path) == "DDIMSampler_Autoguidance-weights..abweak.pth"


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(steps=[0]), "steps=0: expected 1 or more"),
        (dict(steps=[1001]), "cannot take 1001 steps"),
        (dict(samplers=["DDIMSampelr"]), "did you mean 'DDIMSampler'"),
        (dict(samplers=[dict(type="DDIMSampler", et=1)]), "did you mean 'eta'"),
        (dict(samplers=[3]), "got 3, expected the name of a class"),
        (dict(scales=[float("nan")]), "scale=nan: expected a finite number"),
        (dict(guidances=["CFGPlusPlus"]), "DDPMSampler: got the guidance CFGPlusPlus"),
        (dict(steps=[3, 3]), "steps3.* twice, expected different ones"),
        (dict(options={"model.sampler.step": 3}), "did you mean 'steps'"),
    ],
)
def test_a_wrong_setting_is_found_before_the_first_is_tested(arguments, message):
    with pytest.raises((ValueError, TypeError, KeyError, ConfigError), match=message):
        plan(TINY, **arguments)


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Folder and table of a comparison."""
    out = tmp_path_factory.mktemp("compared")
    settings = plan(TINY, ["DDPMSampler", "HeunSampler"], [2, 3], [1.0, 2.0])
    return out, compare_samplers(TINY, "random", settings, out, count=2, progress=False), settings


def test_a_comparison_has_a_row_and_a_folder_for_each_setting(compared):
    out, text, settings = compared
    assert (out / "table.md").read_text() == text + "\n" and len(text.splitlines()) == 2 + len(settings)
    rows = json.loads((out / "results.json").read_text())["rows"]
    assert list(rows) == [each.title for each in settings]
    calls = [rows[each.title]["network_calls"] for each in settings]
    # The null half counts; Heun's method calls twice a step but for the last.
    assert calls == [2, 4, 3, 6, 3, 6, 5, 10]
    for each in settings:
        assert len(list((out / each.title / "images").glob("*.png"))) == 2
        assert rows[each.title]["seconds"] > 0 and "saturation" in rows[each.title]["metrics"]
    head, _, first = text.splitlines()[:3]
    assert head.startswith("| # | sampler | steps | guidance | scale | network calls | LPIPS | saturation |")
    assert first.startswith("| 1 | DDPMSampler | 2 | CFG | 1 | 2 | ")


def test_the_grid_has_a_column_for_each_setting(compared):
    out, _, settings = compared
    height, width = cv2.imread(str(out / "grid.png")).shape[:2]
    assert width == 4 + 132 * len(settings) and height == 22 + 132 * 2 + 4
    images = [cv2.imread(str(next((out / each.title / "images").glob("*.png")))) for each in settings]
    # Untrained weights predict 0, with a condition or without: the scale changes nothing.
    assert len({image.tobytes() for image in images}) == len(settings) // 2


def test_finished_settings_are_not_tested_again_and_others_are_added(compared, monkeypatch):
    out, text, settings = compared
    monkeypatch.setattr(module, "evaluate", None)
    rows = json.loads((out / "results.json").read_text())["rows"]
    complete = all(value is not None for row in rows.values() for value in row["metrics"].values())
    if not complete:
        for row in rows.values():
            row["metrics"] = {"FID": 3.0 * row["steps"], "mIoU": 0.5}
        asked = json.loads((out / "results.json").read_text())["asked"]
        module.write_json(out / "results.json", dict(asked=asked, rows=rows))
    again = compare_samplers(TINY, "random", settings[:1], out, count=2, progress=False)
    assert len(again.splitlines()) == len(text.splitlines())
    for name in ("calls.png", "scales.png"):
        assert cv2.imread(str(out / name)).shape[0] > 200
    more = plan(TINY, ["DDIMSampler"], [2])
    with pytest.raises(TypeError, match="not callable"):
        compare_samplers(TINY, "random", more, out, count=2, progress=False)
    with pytest.raises(ValueError, match="holds a comparison with another count, seed; give another folder"):
        compare_samplers(TINY, "random", settings, out, count=1, seed=3, progress=False)


def test_an_interrupted_setting_goes_on_with_its_images(tmp_path, monkeypatch):
    (setting,) = plan(TINY, ["DDIMSampler"], [2])
    compare_samplers(TINY, "random", [setting], tmp_path, count=2, progress=False)
    before = json.loads((tmp_path / "results.json").read_text())["rows"][setting.title]
    (tmp_path / "results.json").unlink()
    images = sorted((tmp_path / setting.title / "images").glob("*.png"))
    times = [path.stat().st_mtime_ns for path in images]
    compare_samplers(TINY, "random", [setting], tmp_path, count=2, progress=False)
    after = json.loads((tmp_path / "results.json").read_text())["rows"][setting.title]
    assert [path.stat().st_mtime_ns for path in images] == times
    # What sampling cost is that of the call that made the images.
    assert (after["network_calls"], after["seconds"]) == (before["network_calls"], before["seconds"])


def test_the_table_has_the_metrics_that_were_measured():
    row = dict(sampler=dict(SDE), guidance=dict(type="Interval", low=0.1, guidance=dict(type="CFG", scale=2.0)))
    row |= dict(steps=9, scale=2.0, network_calls=13.0, seconds=0.1234, metrics=dict(FID=None, mIoU=0.5))
    lines = table({"a": row}).splitlines()
    assert lines[0] == "| # | sampler | steps | guidance | scale | network calls | FID | mIoU | seconds an image |"
    assert lines[2] == "| 1 | DPMSolverSampler(eta=1.0) | 9 | Interval(low=0.1, CFG) | 2 | 13 | – | 0.500 | 0.123 |"
