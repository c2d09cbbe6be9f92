"""tools/test.py as a user calls it."""

import json

import pytest
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


def test_from_the_command_line(run_tool, tmp_path):
    config = tmp_path / "tiny.py"
    config.write_text(CONFIG)
    with DefaultScope.overwrite_default_scope("pitikit"):
        model = MODELS.build(Config.fromfile(config).model)
    weights = save_weights(tmp_path / "tiny.safetensors", model.denoiser.state_dict())
    options = ["--count", "3", "--batch-size", "2", "--seed", "4"]
    done = run_tool("test", config, weights, *options, cwd=tmp_path)
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


@pytest.mark.parametrize("launcher", ["forks", pytest.param("torchrun", marks=pytest.mark.slow)])
def test_two_ranks_make_the_table_of_one(launcher, repo, run_tool, python, tmp_path):
    config = tmp_path / "tiny.py"
    config.write_text(CONFIG)
    given = [config, "random", "--batch-size", "2"]

    def ranks(*words):
        tool = repo / "tools" / "test.py"
        if launcher == "forks":
            done = python(tool, *given, *words, cwd=tmp_path, ranks=2)
            return max(map(abs, done.returncode)), done.stdout, done.stderr
        start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", tool]
        done = python(*start, *given, *words, cwd=tmp_path)
        return done.returncode, done.stdout, done.stderr

    one = run_tool("test", *given, "--out", tmp_path / "one", cwd=tmp_path)
    found = {}
    for name, (status, out, err) in {
        "one": (one.returncode, one.stdout, one.stderr),
        "two": ranks("--out", tmp_path / "two"),
    }.items():
        assert status == 0, err
        # Printed once.
        assert out.count("5 images made") == 1
        report = json.loads((tmp_path / name / "metrics.json").read_text())
        images = {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*.png")}
        found[name] = images, [report[key] for key in ("metrics", "made", "notes", "intervals", "measured_with")]
    # With the grid.
    assert len(found["one"][0]) == 6 and found["one"] == found["two"]
    # The second rank has no image.
    status, out, err = ranks("--out", tmp_path / "few", "--count", "1")
    assert status == 0 and out.count("1 images made") == 1, err
    status, _, err = ranks("--out", tmp_path / "none", "--launcher", "none")
    assert status != 0 and "error: got 2 processes of torchrun, expected one" in err
    assert not (tmp_path / "none").exists()
