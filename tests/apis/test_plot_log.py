"""Curves of logs: what is read, how runs are called, what is refused."""

import json

import cv2
import pytest

from pitikit.apis.plot_log import LogError, plot_logs, read_curves, run_names, smoothed


def write(folder, name="log.jsonl", count=6, factor=1.0, **extra):
    lines = [dict(mode="train", iter=n, loss=factor * n, lr=1e-3 * n, **extra) for n in range(1, count + 1)]
    lines.append(dict(mode="val", iter=count, PSNR=10.0))
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_curves(tmp_path):
    run = write(tmp_path / "a", note="text", grad_norm=None)
    curves = read_curves(run)
    assert curves == read_curves(run / "log.jsonl")
    assert curves["loss"] == ([1, 2, 3, 4, 5, 6], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0])
    assert curves["val/PSNR"] == ([6], [10.0])
    assert set(curves) == {"loss", "lr", "val/PSNR"}


def test_runs_of_mmengine_are_joined(tmp_path):
    def start(name, steps, value):
        lines = [dict(loss=value, iter=n, step=n) for n in steps] + [dict(PSNR=value, step=steps[-1])]
        path = tmp_path / name / "vis_data" / "scalars.json"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))

    start("20260101_000000", [10, 20], 1.0)
    # Gone on after iteration 10.
    start("20260102_000000", [20, 30, 40], 2.0)
    curves = read_curves(tmp_path)
    assert curves["loss"] == ([10, 20, 30, 40], [1.0, 2.0, 2.0, 2.0])
    assert curves["val/PSNR"] == ([40], [2.0])


def test_names_tell_runs_apart(tmp_path):
    a, b = write(tmp_path / "x" / "mask"), write(tmp_path / "y" / "mask")
    assert run_names([a, tmp_path / "sketch"]) == ["mask", "sketch"]
    assert run_names([a, b / "log.jsonl"]) == ["x/mask", "y/mask"]
    with pytest.raises(ValueError, match="twice"):
        run_names([a, a / "log.jsonl"])


def test_smoothing_is_of_the_past():
    assert smoothed([1.0, 2.0, 3.0, 4.0], 2) == [1.0, 1.5, 2.5, 3.5]
    assert smoothed([1.0, 2.0], 1) == [1.0, 2.0]


def test_the_image_and_the_table(tmp_path):
    runs = [write(tmp_path / "first"), write(tmp_path / "second", factor=2.0)]
    out = tmp_path / "deep" / "curves.png"
    report = plot_logs(runs, ["loss", "lr", "val/PSNR"], smooth=3, out=out, log_scale=True)
    assert report.rows[:2] == [("first", "loss", 6, 5.0, 1.0, 1), ("second", "loss", 6, 10.0, 2.0, 1)]
    assert ("first", "lr", 6, 0.006, 0.001, 1) in report.rows
    assert "first" in report.table() and str(out) in report.table()
    falling = plot_logs([write(tmp_path / "third", factor=-1.0)], smooth=3, out=tmp_path / "third.png")
    assert falling.rows == [("third", "loss", 6, -5.0, -5.0, 6)], "of the means that are drawn"
    image = cv2.imread(str(out))
    linear = plot_logs(runs, ["loss", "lr", "val/PSNR"], smooth=3, out=tmp_path / "linear.png").path
    assert (image != cv2.imread(str(linear))).any()
    # Two columns, and a line in each run's colour (blue and orange; OpenCV has blue first).
    assert image.shape[1] > 1.3 * image.shape[0]
    for colour in ((180, 119, 31), (14, 127, 255)):
        assert (abs(image.astype(int) - colour).sum(axis=2) < 10).sum() > 50
    assert plot_logs(runs[:1], out=tmp_path / "c.svg").path.read_text().lstrip().startswith("<?xml")


def test_what_is_refused(tmp_path):
    run = write(tmp_path / "a")
    with pytest.raises(LogError, match="no run has the number 'los'; did you mean 'loss'"):
        plot_logs([run], ["los"], out=tmp_path / "c.png")
    with pytest.raises(LogError, match="no such file or folder"):
        plot_logs([tmp_path / "b"], out=tmp_path / "c.png")
    (tmp_path / "empty").mkdir()
    with pytest.raises(LogError, match=r"no log\.jsonl"):
        plot_logs([tmp_path / "empty"])
    (tmp_path / "empty" / "log.jsonl").touch()
    with pytest.raises(LogError, match="got no line of a log"):
        plot_logs([tmp_path / "empty"])
    (tmp_path / "empty" / "log.jsonl").write_bytes(b"\xff\xfe no text")
    with pytest.raises(LogError, match="got no line of a log"):
        plot_logs([tmp_path / "empty"])
    with pytest.raises(ValueError, match="smooth=0"):
        plot_logs([run], smooth=0)
    with pytest.raises(ValueError, match=r"\.png, \.pdf or \.svg"):
        plot_logs([run], out="curves")
    assert not (tmp_path / "c.png").exists()


def test_the_package_does_not_wait_for_matplotlib(repo):
    import subprocess
    import sys

    # mmengine itself imports it with its visualizer; what counts is that this module does not.
    code = "import sys; sys.modules['matplotlib'] = None; import pitikit.registry, pitikit.apis.cli"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=repo)
    source = (repo / "pitikit/apis/plot_log.py").read_text()
    assert "\nimport matplotlib" not in source and "\nfrom matplotlib" not in source
