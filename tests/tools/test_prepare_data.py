"""tools/prepare_data.py as a user calls it."""

from tests.data.preparation import downloads


def test_from_the_download_to_a_checked_dataset(run_tool, tmp_path):
    source = downloads.nyu(tmp_path / "download", count=4)
    done = run_tool("prepare_data", "nyu", source, "nyu", "--size", "64", "--options", "smooth=2", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "nyu: items: train 2, test 2 (4 made now)" in done.stdout
    command = next(line for line in done.stdout.splitlines() if "check_data" in line).split()
    checked = run_tool("check_data", command[-1], "--out", "checked", cwd=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert "train: 2 of 2 items read, none bad" in checked.stdout


def test_what_is_wrong_is_one_line_or_the_status(run_tool, tmp_path):
    source = downloads.ade20k(tmp_path / "download")
    next(source.rglob("*.png")).unlink()
    done = run_tool("prepare_data", "ade20k", source, "out", cwd=tmp_path)
    assert done.returncode == 1 and "1 left out, unpaired:" in done.stdout
    for arguments, words in (
        (["ade20", source, "out"], "error: type='ade20' is not registered in 'preparation'; did you mean 'ade20k'"),
        (["nyu", source, "other"], "no nyu_depth_v2_labeled.mat"),
        (["nyu"], "expected NAME SRC DST, or --list"),
    ):
        refused = run_tool("prepare_data", *arguments, cwd=tmp_path)
        assert refused.returncode == 2 and words in refused.stderr
