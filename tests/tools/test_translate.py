"""tools/translate.py: files in, files out, errors in a line."""

import os
import runpy
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pitikit.apis.cli import run
from pitikit.config import load_config
from pitikit.registry import MODELS
from pitikit.scenes import render_scene, scene_layout
from pitikit.weights import save_weights


@pytest.fixture(scope="module")
def main(repo):
    return runpy.run_path(str(repo / "tools" / "translate.py"))["main"]


@pytest.fixture(scope="module")
def tiny(repo):
    return str(repo / "tests" / "configs" / "tiny.py")


@pytest.fixture
def masks(tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    for index in (5, 6):
        Image.fromarray(render_scene(0, index, 64).label).save(folder / f"scene_{index}.png")
    (folder / "README.md").write_text("not an image")
    return folder


def test_a_folder_of_images(main, tiny, masks, tmp_path, capsys):
    out = tmp_path / "out"
    main([tiny, "random", str(masks), "--out", str(out), "--device", "cpu"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [str(out / "scene_5.png"), str(out / "scene_6.png")]
    assert lines[2].startswith("3 steps, 2 images, ") and lines[2].endswith(" s per step")
    assert sorted(p.name for p in out.iterdir()) == ["scene_5.png", "scene_6.png"]
    image = Image.open(out / "scene_5.png")
    assert image.size == (16, 16) and image.mode == "RGB"


def test_samples_are_seeds_and_runs_agree(main, tiny, masks, tmp_path):
    given = [tiny, "random", str(masks / "scene_5.png"), "--device", "cpu"]
    main([*given, "--out", str(tmp_path / "a"), "--samples", "2", "--seed", "7"])
    main([*given, "--out", str(tmp_path / "b"), "--seed", "8"])
    read = {p.name: np.asarray(Image.open(p)) for f in "ab" for p in (tmp_path / f).iterdir()}
    assert set(read) == {"scene_5_0.png", "scene_5_1.png", "scene_5.png"}
    # Batches of two and of one round differently.
    assert np.abs(read["scene_5_1.png"].astype(int) - read["scene_5.png"]).max() <= 1
    assert np.abs(read["scene_5_0.png"].astype(int) - read["scene_5.png"]).max() > 1


def test_options_change_the_config(main, tiny, masks, tmp_path, capsys):
    options = ["--cfg-options", "model.sampler.steps=2"]
    main([tiny, "random", str(masks), "--out", str(tmp_path), "--device", "cpu", *options])
    assert "2 steps, 2 images" in capsys.readouterr().out


def test_steps_scale_and_precision_are_flags(main, tiny, masks, tmp_path, capsys):
    given = [tiny, "random", str(masks), "--device", "cpu"]
    flags = ["--steps", "2", "--scale", "2.5", "--dtype", "bfloat16"]
    main([*given, "--out", str(tmp_path / "flags"), *flags])
    assert "2 steps, 2 images" in capsys.readouterr().out
    options = ["model.sampler.steps=2", "model.sampler.guidance.scale=2.5"]
    main([*given, "--out", str(tmp_path / "options"), "--cfg-options", *options])
    for path in (tmp_path / "flags").glob("*.png"):
        one, other = (np.asarray(Image.open(tmp_path / name / path.name)).astype(int) for name in ("flags", "options"))
        assert np.abs(one - other).mean() < 8
    with pytest.raises(SystemExit):
        run(lambda: main([*given, "--out", str(tmp_path / "o"), "--steps", "5000"]))
    assert "cannot take 5000 steps" in capsys.readouterr().err and not (tmp_path / "o").exists()


def test_options_are_obeyed_or_refused(main, tiny, masks, tmp_path, capsys):
    given = [tiny, "random", str(masks / "scene_5.png"), "--device", "cpu"]

    def made(name, *more):
        main([*given, "--out", str(tmp_path / name), *more])
        return np.asarray(Image.open(tmp_path / name / "scene_5.png"))

    seeds = [made("option", "--cfg-options", "model.seed=5"), made("flag", "--seed", "5"), made("own")]
    assert np.array_equal(seeds[0], seeds[1]) and not np.array_equal(seeds[0], seeds[2])
    none = [made(word, "--cfg-options", f"model.sampler.guidance={word}") for word in ("none", "None")]
    assert np.array_equal(none[0], none[1])
    capsys.readouterr()
    for flags, option, words in (
        (["--seed", "3"], "model.seed=5", "seed=3: got model.seed=5"),
        (["--steps", "2"], "model.sampler=dict(type='DDIMSampler',steps=4)", "steps='2': got model.sampler.steps=4"),
        (["--scale", "2"], "model.sampler.guidance.scale=3", "scale=2.0: got model.sampler.guidance.scale=3"),
        ([], "guidance=none", "did you mean model.sampler.guidance?"),
    ):
        with pytest.raises(SystemExit):
            run(lambda: main([*given, "--out", str(tmp_path / "o"), *flags, "--cfg-options", option]))  # noqa: B023
        said = capsys.readouterr().err
        assert said.startswith("error: ") and words in said and said.count("\n") == 1
    with pytest.warns(UserWarning, match=r"--cfg-options randomness\.seed: ignored, a translation reads model"):
        made("warned", "--cfg-options", "randomness.seed=5")


def test_an_image_of_a_folder_is_made_again_by_its_name(main, tiny, masks, tmp_path):
    given = [tiny, "random", "--device", "cpu", "--batch-size", "1"]
    main([*given, str(masks), "--out", str(tmp_path / "all")])
    main([*given, str(masks / "scene_6.png"), "--out", str(tmp_path / "one"), "--ids", "scene_6"])
    main([*given, str(masks / "scene_6.png"), "--out", str(tmp_path / "alone")])
    read = [np.asarray(Image.open(tmp_path / name / "scene_6.png")) for name in ("all", "one", "alone")]
    assert np.array_equal(read[0], read[1]) and not np.array_equal(read[0], read[2])


def test_an_error_is_one_line_and_leaves_nothing(main, tiny, masks, tmp_path, capsys):
    out = tmp_path / "out"
    (masks / "zzz.png").write_text("no image")
    with pytest.raises(SystemExit) as left:
        run(lambda: main([tiny, "random", str(masks), "--out", str(out), "--device", "cpu"]))
    assert left.value.code == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: item 'zzz' (") and said.err.count("\n") == 1
    assert said.out == "" and not out.exists()


def test_results_are_replaced_on_demand(main, tiny, masks, tmp_path, capsys):
    given = [tiny, "random", str(masks / "scene_5.png"), "--out", str(tmp_path / "out"), "--device", "cpu"]
    main(given)
    with pytest.raises(SystemExit):
        run(lambda: main(given))
    assert "scene_5.png: exists already" in capsys.readouterr().err
    main([*given, "--overwrite"])


def test_a_text_file_for_a_model_of_texts(main, repo, tmp_path, capsys):
    prior = str(repo / "configs" / "scenes" / "pretrain_small_layouts.py")
    layout = tmp_path / "field.txt"
    scene = render_scene(0, 5, 64)
    layout.write_text(scene_layout(scene))
    given = [prior, "random", str(layout), "--out", str(tmp_path / "out"), "--device", "cpu"]
    main([*given, "--cfg-options", "model.sampler.steps=1"])
    assert Image.open(tmp_path / "out" / "field.png").size == (64, 64)
    capsys.readouterr()
    layout.write_text("sky " * 256 + "zebra skyy")
    with pytest.raises(SystemExit):
        run(lambda: main([*given, "--overwrite"]))
    said = capsys.readouterr().err
    assert "'zebra'" in said and "'skyy' (did you mean 'sky'" in said and said.count("\n") == 1


def test_words_for_a_model_of_texts(main, repo, tiny, tmp_path, capsys):
    config = str(repo / "configs" / "text" / "small_base64.py")
    given = [config, "random", "red car road", "night", "--out", str(tmp_path / "out"), "--device", "cpu"]
    main([*given, "--steps", "1"])
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"red-car-road.png", "night.png"}
    capsys.readouterr()
    for wrong, message in {"red carr": "'carr' (did you mean 'car'", "absent.txt": "absent.txt: found no such"}.items():
        with pytest.raises(SystemExit):
            run(lambda wrong=wrong: main([config, "random", wrong, "--out", str(tmp_path / "o"), "--device", "cpu"]))
        assert message in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(lambda: main([tiny, "random", "red car road", "--out", str(tmp_path / "o"), "--device", "cpu"]))
    assert "expected 'mask' to translate. this model takes no texts" in capsys.readouterr().err
    assert not (tmp_path / "o").exists()


def test_a_cascade(main, repo, tiny, masks, tmp_path, capsys):
    (tmp_path / "up.py").write_text(f"""_base_ = ["{tiny}"]
model = dict(type="Upsampler", denoiser=dict(decoder=dict(image_size=32, attention_sizes=(32,), low_res=True)))""")
    config, out = tmp_path / "cascade.py", tmp_path / "out"
    config.write_text(f"""_base_ = ["{tiny}"]
model = dict(_delete_=True, type="Cascade", base="{tiny}", upsampler="up.py")""")
    weights = save_weights(tmp_path / "base.safetensors", MODELS.build(load_config(tiny).model).denoiser.state_dict())
    given = [str(config), f"{weights},random", str(masks), "--device", "cpu"]
    options = ["--cfg-options", "model.upsampler.sampler.steps=2", "model.upsampler.sampler.guidance=None"]
    main([*given, "--out", str(out), "--keep-low-res", *options])
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [str(out / "scene_5.png"), str(out / "scene_6.png")]
    assert lines[2].startswith("5 steps, 2 images, ")
    assert Image.open(out / "scene_5.png").size == (32, 32)
    assert Image.open(out / "low_res" / "scene_6.png").size == (16, 16)
    main([*given, "--out", str(tmp_path / "again"), "--low-res", str(out / "low_res"), *options])
    assert "2 steps, 2 images" in capsys.readouterr().out
    made = [np.asarray(Image.open(folder / "scene_5.png")).astype(int) for folder in (out, tmp_path / "again")]
    assert np.abs(made[0] - made[1]).max() <= 1
    for option, words in (
        ("model.upsampler.seed=3", "model.upsampler.seed: has no effect, the seed of a Cascade counts; set model.seed"),
        ("model.seed=3 model.base.seed=4", "model.base.seed: has no effect"),
    ):
        with pytest.raises(SystemExit):
            run(lambda: main([*given, "--out", str(tmp_path / "o"), "--cfg-options", *option.split()]))  # noqa: B023
        assert words in capsys.readouterr().err
    with pytest.raises(SystemExit):
        run(lambda: main([*given, "--out", str(tmp_path / "o"), "--low-res", str(out / "low_res"), "--steps", "3"]))
    assert "steps: got a value beside low_res, expected none" in capsys.readouterr().err
    given[1] = str(weights)
    with pytest.raises(SystemExit):
        run(lambda: main([*given, "--out", str(tmp_path / "o")]))
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "BASE,UPSAMPLER" in said and said.count("\n") == 1


@pytest.mark.parametrize(
    ("config", "weights", "words"),
    [
        ("absent.py", "random", "does not exist"),
        ("broken.py", "random", "syntax error"),
        ("w.safetensors", "tiny.py", "expected a file that ends in .py"),
        ("tiny.py", "tiny.py", "a text file; expected a file of weights"),
        ("tiny.py", "w.safetensors", "conditions have 1 channels, those of the config have 3"),
    ],
)
def test_what_a_user_may_mix_up(main, tiny, masks, tmp_path, capsys, config, weights, words):
    (tmp_path / "tiny.py").write_text(Path(tiny).read_text())
    (tmp_path / "broken.py").write_text("a = = 1\n")
    sketch = load_config(tiny, {"test_dataloader.dataset.pipeline.1": dict(type="LoadSketch")})
    save_weights(tmp_path / "w.safetensors", MODELS.build(sketch.model).denoiser.state_dict())
    chosen = weights if weights == "random" else str(tmp_path / weights)
    with pytest.raises(SystemExit):
        run(lambda: main([str(tmp_path / config), chosen, str(masks), "--out", str(tmp_path / "o"), "--device", "cpu"]))
    said = capsys.readouterr().err
    assert said.startswith("error: ") and words in said and said.count("\n") == 1
    assert not (tmp_path / "o").exists()


def test_names_and_a_terminal_that_are_no_utf_8(tiny, masks, tmp_path, repo, python):
    os.rename(masks / "scene_5.png", os.fsencode(masks) + b"/caf\xe9.PNG")
    (masks / "._\udcff.png").touch()
    command = [repo / "tools" / "translate.py", tiny, "random", masks, "--out", "out", "--device", "cpu"]
    done = python(*command, cwd=tmp_path, environment={"PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(os.fsencode(tmp_path / "out"))) == [b"caf\xe9.png", b"scene_6.png"]
    assert "2 files passed over: 1 hidden, " in done.stderr


def test_a_photograph_is_translated_by_the_condition_that_is_extracted(main, tiny, masks, tmp_path, capsys):
    photo = tmp_path / "photo.png"
    Image.fromarray(render_scene(0, 5, 64).image).save(photo)
    network = "network=dict(type='SceneSegmenter', weights='weights/scenes_segmenter.safetensors')"
    main(
        [tiny, "random", str(photo), "--from-photo", f"dict(type='segmenter', {network})", "--out", str(tmp_path / "a")]
    )
    assert capsys.readouterr().out.splitlines()[0] == str(tmp_path / "a" / "photo.png")
    with pytest.raises(ValueError, match="from_photo: got canny, which gives 'sketch', expected 'mask'"):
        main([tiny, "random", str(photo), "--from-photo", "canny", "--out", str(tmp_path / "b")])
