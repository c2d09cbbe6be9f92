"""tools/results.py and tools/sweep.py as a user calls them."""


def test_a_sweep_and_its_results(repo, run_tool, tmp_path):
    config = tmp_path / "tiny.py"
    config.write_text(f'_base_ = ["{repo}/tests/configs/tiny.py"]\ntest_evaluator = [dict(type="PSNR")]\n')
    given = [config, "random", "--over", "model.sampler.steps=1,2", "--count", "1", "--plot", "PSNR"]
    swept = run_tool("sweep", *given, cwd=tmp_path)
    assert swept.returncode == 0, swept.stderr
    out = tmp_path / "work_dirs" / "tiny" / "sweep"
    assert (out / "sweep.png").is_file()
    assert [line.split()[0] for line in swept.stdout.splitlines()[-3:]] == ["steps", "1", "2"]

    shown = run_tool("results", out, "--columns", "steps", "PSNR", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    rows = [line.split() for line in shown.stdout.splitlines()]
    assert rows[0] == ["run", "steps", "PSNR", "differs", "in"]
    assert [row[:2] for row in rows[1:]] == [["steps=1", "1"], ["steps=2", "2"]] and rows[2][-1] == "steps"

    for call, words in (
        (["results", tmp_path / "absent"], "error: absent: no such folder"),
        (["sweep", config, "random", "--over", "model.sampler.steps"], "error: expected KEY=VALUE, got"),
        (["sweep", config, "random", "--over", "model.sampler.steps=1", "--plot", "mIoU", "--count", "1"], "no metric"),
    ):
        refused = run_tool(*call, cwd=tmp_path)
        assert refused.returncode == 2 and words.replace("absent", str(tmp_path / "absent")) in refused.stderr
