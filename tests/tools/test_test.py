"""tools/test.py as a user calls it."""

import json
import os
import subprocess
import sys

from mmengine import Config
from mmengine.registry import DefaultScope

from pitikit.registry import MODELS
from pitikit.weights import save_weights

CONFIG = """
model = dict(
    type="DenoisingTranslator",
    denoiser=dict(
        encoder=dict(type="SemanticEncoder", in_channels=3, input_size=32, channels=[8] * 5, width=32,
                     layers=1, heads=2),
        decoder=dict(type="GlideUNet", image_size=16, channels=32, multipliers=[1], res_blocks=1,
                     attention_sizes=[16], head_width=32, token_width=32),
    ),
    sampler=dict(type="DDIMSampler", steps=2),
)
test_dataloader = dict(
    batch_size=2, num_workers=0, collate_fn=dict(type="default_collate"),
    dataset=dict(type="SceneWorld", length=5, size=32, members=["image", "mask"], pipeline=[
        dict(type="LoadImage"), dict(type="LoadMask", num_classes=22),
        dict(type="ResizePair", size=32, image_size=16), dict(type="PackInputs", keep=["label"])]),
)
test_evaluator = [dict(type="PSNR"), dict(
    type="MeanIoU", segmenter=dict(type="SceneSegmenter", weights="weights/scenes_segmenter.safetensors"))]
"""


def test_from_the_command_line(repo, run_tool, tmp_path):
    config = tmp_path / "tiny.py"
    config.write_text(CONFIG)
    with DefaultScope.overwrite_default_scope("pitikit"):
        model = MODELS.build(Config.fromfile(config).model)
    weights = save_weights(tmp_path / "tiny.safetensors", model.denoiser.state_dict())
    command = [sys.executable, str(repo / "tools" / "test.py"), str(config), str(weights)]
    options = ["--count", "3", "--batch-size", "2", "--seed", "4"]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    out = tmp_path / "work_dirs" / "tiny" / "test"
    assert len(list((out / "images").glob("*.png"))) == 3 and (out / "grid.png").is_file()
    found = json.loads((out / "metrics.json").read_text())
    assert found["protocol"]["seed"] == 4
    assert len(found["measured_with"]["MeanIoU"]["weights_sha256"]) == 64
    for line in ("PSNR", "mIoU", "mIoU_ground_truth", "IoU/sky"):
        assert any(row.split()[0] == line for row in done.stdout.splitlines() if row), done.stdout
    # Two batches of two steps.
    assert "4/4" in done.stderr and "3/3 images" in done.stderr

    measured = run_tool("test", config, "--images", out / "images", "--count", "3", cwd=tmp_path)
    assert measured.returncode == 0, measured.stderr
    own = [line for line in done.stdout.splitlines() if "images" not in line]
    assert [line for line in measured.stdout.splitlines() if "images" not in line] == own
    assert (tmp_path / "work_dirs" / "tiny" / "test_images" / "metrics.json").is_file()
    for more in ([], [weights, "--images", out / "images"]):
        refused = run_tool("test", config, *more, cwd=tmp_path)
        assert refused.returncode == 2 and "checkpoint, images: got " in refused.stderr

    refused = run_tool("test", config, weights, "--cfg-options", "model.sampler.steps=3", cwd=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ") and "steps: 2 there, 3 now" in refused.stderr

    other = save_weights(tmp_path / "other.safetensors", {k: v + 1 for k, v in model.denoiser.state_dict().items()})
    refused = run_tool("test", config, other, "--count", "3", cwd=tmp_path)
    assert refused.returncode == 2 and refused.stderr.startswith("error: ")
    assert "tiny.safetensors (SHA-256" in refused.stderr and "other.safetensors (SHA-256" in refused.stderr
    assert "--overwrite" in refused.stderr


def test_two_ranks_make_the_table_of_one(repo, tmp_path):
    config = tmp_path / "tiny.py"
    config.write_text(CONFIG)
    command = [str(repo / "tools" / "test.py"), str(config), "random", "--batch-size", "2"]
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": str(repo), "OMP_NUM_THREADS": "1"}
    found = {}
    for name, start in (("one", []), ("two", launcher)):
        call = [sys.executable, *start, *command, "--out", str(tmp_path / name)]
        done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, env=environment)
        assert done.returncode == 0, done.stderr
        # Printed once.
        assert done.stdout.count("5 images made") == 1
        report = json.loads((tmp_path / name / "metrics.json").read_text())
        images = {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.png")}
        found[name] = images, [report[key] for key in ("metrics", "made", "notes", "intervals", "measured_with")]
    # With the grid.
    assert len(found["one"][0]) == 6 and found["one"] == found["two"]
    # The second rank has no image.
    call = [sys.executable, *launcher, *command, "--out", str(tmp_path / "few"), "--count", "1"]
    done = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert done.returncode == 0 and done.stdout.count("1 images made") == 1, done.stderr
    call = [sys.executable, *launcher, *command, "--out", str(tmp_path / "none"), "--launcher", "none"]
    refused = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, env=environment)
    assert refused.returncode != 0 and "error: got 2 processes of torchrun, expected one" in refused.stderr
    assert not (tmp_path / "none").exists()
