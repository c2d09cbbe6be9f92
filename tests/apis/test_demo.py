"""The demonstration: its inputs are the scenes they say, its panel holds what was made."""

import numpy as np
import pytest
from mmengine import Config
from PIL import Image

from pitikit.apis import demo
from pitikit.apis.building import build_model
from pitikit.apis.translator import Translator
from pitikit.data.scenes import CLASSES, render_scene
from pitikit.engine.weights import save_weights
from pitikit.evaluation.segmenter import SceneSegmenter
from pitikit.registry import DATASETS


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

    class Model:
        def predict_images(self):
            """Only has to be there."""

    reader = Translator(Model(), dataset["pipeline"]).reader
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
    )
    assert told == ["mask: 4 inputs, 2 seeds"]
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["panel.png"]
    panel = np.asarray(Image.open(report.panel))
    # A row a scene, four columns: condition, two seeds, true picture; 22 pixels of titles.
    assert panel.shape == (22 + 4 * 132 + 4, 4 * 132 + 4, 3)
    truth = Image.open(demo.INPUTS / "image" / f"scene_{demo.SCENES[0]}.png").resize((128, 128))
    cell = panel[26 : 26 + 128, -132:-4].astype(int)
    assert np.abs(cell - np.asarray(truth)).mean() < 4
    made, true, seconds = report.scores["mask"]
    assert 0 <= made <= 1 and 0 <= true <= 1 and seconds > 0
    assert "mask" in str(report) and str(report.panel) in str(report)


def test_missing_weights_are_named(tmp_path):
    mask = demo.Modality("mask", "tests/configs/tiny.py", "weights/absent.safetensors")
    with pytest.raises(ValueError, match="absent.safetensors: no such file"):
        demo.run_demo(tmp_path, [mask], segmenter=SceneSegmenter(classes=CLASSES))
    assert not list(tmp_path.iterdir())
