"""The demonstration: its inputs are the scenes they say, its panel holds what was made."""

import numpy as np
import pytest
from mmengine import Config
from PIL import Image

from pitikit.apis import demo
from pitikit.apis.building import build_model
from pitikit.apis.inputs import ConditionReader
from pitikit.evaluation.segmenter import SceneSegmenter
from pitikit.registry import DATASETS
from pitikit.scenes import CLASSES, render_scene
from pitikit.weights import save_weights


def test_what_is_shown_exists(repo):
    for modality in demo.MODALITIES:
        assert all((repo / path).is_file() for path in (modality.config, modality.weights, modality.cascade))


def test_committed_inputs_are_the_scenes(tmp_path):
    written = {path.relative_to(tmp_path) for path in demo.write_inputs(tmp_path)}
    committed = {p.relative_to(demo.INPUTS) for p in demo.INPUTS.rglob("scene_*")}
    assert written == committed and len(written) == 5 * len(demo.SCENES)
    for path in written:
        here, there = (np.asarray(Image.open(f / path)) for f in (tmp_path, demo.INPUTS))
        assert np.array_equal(here, there), f"{path}: run tools/demo.py --write-inputs again"


@pytest.mark.parametrize("kind", ["mask", "sketch", "geometry"])
def test_inputs_give_the_conditions_of_the_validation_set(repo, kind):
    pipeline = Config.fromfile(repo / "configs" / "_base_" / "datasets" / f"scenes_{kind}.py")
    dataset = pipeline.val_dataset.to_dict()
    dataset["start"], dataset["length"] = demo.SCENES[1], 1
    expected = DATASETS.build(dataset)[0]

    reader = ConditionReader(dataset["pipeline"])
    item = reader.find(demo.INPUTS)[1]
    assert item.id == expected["id"]
    difference = (reader.read(item).int() - expected["condition"].int()).abs()
    # Normals in 8 bits are no longer of unit length, which moves some of them by a grey level.
    assert difference.max() <= (1 if kind == "geometry" else 0)
    assert (difference > 0).float().mean() < 1e-3


def test_inputs_are_in_order_and_labels_keep_their_colours():
    scene = render_scene(0, demo.SCENES[0], demo.SIZE)
    mask = Image.open(demo.INPUTS / "mask" / f"scene_{demo.SCENES[0]}.png")
    assert mask.mode == "P" and np.array_equal(np.asarray(mask), scene.label)
    assert len(np.unique(np.asarray(mask.convert("RGB")).reshape(-1, 3), axis=0)) > 4


def test_run_demo(repo, tmp_path):
    tiny = Config.fromfile(repo / "tests" / "configs" / "tiny.py")
    weights = save_weights(tmp_path / "w.safetensors", build_model(tiny, None).denoiser.state_dict())
    mask = demo.Modality("mask", str(repo / "tests" / "configs" / "tiny.py"), str(weights))
    told = []
    report = demo.run_demo(
        tmp_path / "out",
        [mask],
        seeds=(0, 1),
        segmenter=SceneSegmenter(classes=CLASSES),
        say=told.append,
        upsampler=None,
    )
    assert told == ["mask: 4 inputs, 2 seeds"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["panel.png"]
    panel = np.asarray(Image.open(report.panel))
    # A row a scene, four columns: condition, two seeds, true image; 22 pixels of titles.
    assert panel.shape == (22 + 4 * 132 + 4, 4 * 132 + 4, 3)
    truth = Image.open(demo.INPUTS / "image" / f"scene_{demo.SCENES[0]}.png").resize((128, 128))
    cell = panel[26 : 26 + 128, -132:-4].astype(int)
    assert np.abs(cell - np.asarray(truth)).mean() < 4
    made, true, seconds = report.scores["mask"]
    assert 0 <= made <= 1 and 0 <= true <= 1 and seconds > 0
    assert "mask" in str(report) and str(report.panel) in str(report)


def test_images_are_enlarged_where_there_is_an_upsampler(repo, tmp_path):
    tiny = repo / "tests" / "configs" / "tiny.py"
    up = tmp_path / "up.py"
    up.write_text(f"""_base_ = ["{tiny}"]
model = dict(type="Upsampler", denoiser=dict(decoder=dict(image_size=32, attention_sizes=(32,), low_res=True)),
             sampler=dict(_delete_=True, type="DDIMSampler", steps=1))""")
    cascade = tmp_path / "cascade.py"
    cascade.write_text(f"""_base_ = ["{tiny}"]
model = dict(_delete_=True, type="Cascade", base="{tiny}", upsampler="up.py")""")
    parts = {"base": tiny, "upsampler": up}
    files = {
        name: save_weights(
            tmp_path / f"{name}.safetensors", build_model(Config.fromfile(path), None).denoiser.state_dict()
        )
        for name, path in parts.items()
    }
    mask = demo.Modality("mask", str(tiny), str(files["base"]), str(cascade))
    options = dict(seeds=(3, 4), segmenter=SceneSegmenter(classes=CLASSES))
    report = demo.run_demo(tmp_path / "out", [mask], upsampler=files["upsampler"], **options)
    names = [f"scene_{index}.png" for index in demo.SCENES]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["mask", "panel.png", "panel_256.png"]
    assert sorted(p.name for p in (tmp_path / "out" / "mask").iterdir()) == names
    assert report.enlarged == tmp_path / "out" / "panel_256.png" and str(report.enlarged) in str(report)
    assert report.enlarging["mask"] > 0
    # A row a scene: condition, small, bicubic, enlarged, true; 22 pixels of titles.
    panel = np.asarray(Image.open(report.enlarged))
    assert panel.shape == (22 + 4 * 260 + 4, 5 * 260 + 4, 3)
    cells = [panel[26 : 26 + 256, 4 + 260 * k : 260 + 260 * k] for k in range(5)]
    made = Image.open(tmp_path / "out" / "mask" / names[0])
    assert made.size == (32, 32)
    assert np.array_equal(cells[3], np.asarray(made.resize((256, 256), Image.Resampling.NEAREST)))
    assert np.array_equal(cells[4], np.asarray(Image.open(demo.INPUTS / "image" / names[0])))
    # What is enlarged is the first seed's image of the other panel, which has the same panel without an upsampler.
    first = np.asarray(Image.open(report.panel))[26 : 26 + 128, 4 + 132 : 132 + 132]
    assert np.array_equal(cells[1][::2, ::2], first)
    told = []
    without = demo.run_demo(tmp_path / "no", [mask], upsampler=tmp_path / "absent", say=told.append, **options)
    assert without.enlarged is None and sorted(p.name for p in (tmp_path / "no").iterdir()) == ["panel.png"]
    assert "absent: no such file, so nothing is enlarged" in told[0]
    assert without.panel.read_bytes() == report.panel.read_bytes()


def test_wide_conditions_fit_a_square():
    image = np.zeros((8, 16, 3), np.uint8)
    squeezed = demo.fit_square(image)
    assert squeezed.shape == (8, 8, 3) and squeezed[[0, 1, 6, 7]].min() == 255 and squeezed[2:6].max() == 0
    assert demo.fit_square(image[:, :8]).shape == (8, 8, 3)


def test_missing_weights_are_named(tmp_path):
    mask = demo.Modality("mask", "tests/configs/tiny.py", "weights/absent.safetensors")
    with pytest.raises(ValueError, match="absent.safetensors: no such file"):
        demo.run_demo(tmp_path, [mask], segmenter=SceneSegmenter(classes=CLASSES), upsampler=None)
    assert not list(tmp_path.iterdir())
