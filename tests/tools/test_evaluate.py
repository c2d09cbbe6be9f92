"""tools/evaluate.py as a user calls it."""

import json

import torch

from pitikit.data.images import write_png


def write(folder, seed, side=16):
    generator = torch.Generator().manual_seed(seed)
    for index in range(4):
        write_png(
            folder / f"{index}.png", torch.randint(0, 256, (3, side, side), generator=generator, dtype=torch.uint8)
        )


def test_from_the_command_line(run_tool, tmp_path):
    write(tmp_path / "real", 1)
    write(tmp_path / "fake", 2)
    found = run_tool("evaluate", "real", "fake", "--metrics", "psnr, ssim", "--json", cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    report = json.loads(found.stdout)
    assert report["metrics"].keys() == report["intervals"].keys() == {"PSNR", "SSIM"}
    table = run_tool("evaluate", "real", "fake", "--metrics", "psnr", "--quiet", cwd=tmp_path).stdout.splitlines()
    assert table[0].startswith(f"PSNR  {report['metrics']['PSNR']:9.4f}  [") and len(table) == 2


def test_an_error_is_a_line(run_tool, tmp_path):
    write(tmp_path / "real", 1)
    write(tmp_path / "fake", 2, 8)
    found = run_tool("evaluate", "real", "fake", "--metrics", "psnr", cwd=tmp_path)
    assert found.returncode == 2 and found.stderr.startswith("error: fake: got images of 8x8, expected 16x16")
    assert found.stdout == ""
