"""Inputs of a translation: those that are read, and the messages of those that are refused."""

import argparse
import ast
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from PIL import Image

from pitikit.apis.building import pipeline_and_key
from pitikit.apis.inputs import ConditionReader
from pitikit.apis.translator import Translator
from pitikit.config import add_config_arguments, load_config
from pitikit.data.conditions import ConditionPart
from pitikit.data.errors import DataError
from pitikit.data.loading import add_part, fetch
from pitikit.data.transforms import ResizePair

KINDS = ("mask", "sketch", "geometry")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_an_image_and_an_array_are_the_same(translators, files, kind, scene):
    translator = translators[kind]
    members = translator.members
    by_file = translator({m: files[m] for m in members}, ids=["x"])
    opened = {m: np.load(files[m]) if m == "depth" else Image.open(files[m]) for m in members}
    normals = np.asarray(Image.open(files["normals"]))
    arrays = dict(mask=scene.label, sketch=scene.sketch, normals=normals, depth=scene.depth)
    by_image = translator(opened, ids=["x"])
    by_array = translator({m: arrays[m] for m in members}, ids=["x"])
    assert np.array_equal(by_file, by_image)
    assert np.array_equal(by_file, by_array)
    if len(members) == 1:
        assert np.array_equal(by_file, translator(str(files[members[0]]), ids=["x"]))


def test_a_turned_file_and_the_opened_image_are_the_same(translators, scene, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(scene.label)).save(tmp_path / "a.png", exif=exif)
    reader = translators["mask"].reader
    expected = reader.read(reader.find(scene.label)[0])
    for given in (tmp_path / "a.png", Image.open(tmp_path / "a.png")):
        assert torch.equal(reader.read(reader.find(given)[0]), expected)


def test_partners_are_found_beside_a_file(translators, files):
    geometry = translators["geometry"]
    expected = geometry({m: files[m] for m in ("normals", "depth")})
    for given in (files["depth"], files["normals"], files["depth"].parent, files["root"]):
        assert np.array_equal(geometry(given), expected)
    files["normals"].unlink()
    with pytest.raises(DataError, match="no normals beside it"):
        geometry(files["depth"])
    with pytest.raises(DataError, match="keep them in folders of these names"):
        geometry(files["photo"])


def wrong_inputs(files, scene):
    """Wrong inputs: name, kind of model, input, words of the message."""
    root = files["root"]
    (root / "empty").mkdir()
    (root / "notes.png").write_text("no image")
    cut = root / "cut.png"
    cut.write_bytes(files["mask"].read_bytes()[:200])
    grey = root / "grey.png"
    Image.fromarray(np.where(scene.label < 10, 0, scene.label).astype(np.uint8)).save(grey)
    bits = root / "bits.png"
    Image.fromarray(scene.sketch).convert("1").save(bits)
    high = scene.label.copy()
    high[0, 0] = 40
    return [
        ("mask", root / "absent.png", "no such file"),
        ("mask", root / "empty", "a folder without images"),
        ("mask", root / "notes.png", "no image"),
        ("mask", cut, "cannot be decoded"),
        ("mask", files["photo"], "channels"),
        ("mask", files["sketch"], "this looks like a sketch"),
        ("mask", bits, "this looks like a sketch"),
        ("mask", scene.sketch, "this looks like a sketch"),
        ("mask", scene.image, "channels"),
        ("mask", high, r"40 \(1 pixels\)"),
        ("mask", Image.fromarray(scene.image), "channels"),
        ("mask", scene.label[None, None], "shape"),
        ("mask", 3, "type int"),
        ("mask", [], "no input"),
        ("mask", {"label": scene.label}, "'mask'"),
        ("sketch", files["mask"], "a colour image"),
        ("sketch", grey, "this looks like a label map"),
        ("sketch", scene.label, "label map"),
        ("sketch", files["photo"], "colour image"),
        ("geometry", scene.depth, "give a dict"),
        ("geometry", {"depth": files["depth"]}, "'normals' and 'depth'"),
        ("geometry", {"depth": files["mask"], "normals": files["normals"]}, "8-bit"),
        ("geometry", {"depth": files["depth"], "normals": files["photo"]}, "unit normals"),
        ("geometry", {"depth": files["depth"], "normals": files["mask"]}, "this looks like a photograph"),
    ]


def test_errors_say_what_is_wrong(translators, files, scene):
    for kind, given, words in wrong_inputs(files, scene):
        with pytest.raises(DataError, match=words) as caught:
            translators[kind](given)
        # The file that an image in memory goes through is nobody's business.
        if not isinstance(given, (str, Path)):
            assert "/tmp" not in str(caught.value).replace(str(files["root"]), "")


ROOM = np.tile(np.linspace(0.8, 7, 64, dtype=np.float32), (64, 1))


def geometry_in_millimetres(root):
    """Two items of geometry, whose depth is 16-bit PNG in millimetres."""
    for folder in ("depth", "normals"):
        (root / folder).mkdir(parents=True)
    for name, depth in (("a", ROOM), ("b", 3 * ROOM.T)):
        Image.fromarray((1000 * depth).astype(np.uint16)).save(root / f"depth/{name}.png")
        vectors = np.dstack([depth - 2, 3 - depth, depth + 1])
        vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
        Image.fromarray(np.rint((vectors + 1) * 127.5).astype(np.uint8)).save(root / f"normals/{name}.png")
    return root


def options_in(message):
    """The change of a config that a message advises, as for the command line and as for Python."""
    (key, value), in_python = re.search(r"--cfg-options ([\w.]+)=(\w+)", message).groups(), re.search(r"{.*}", message)
    assert ast.literal_eval(in_python[0]) == {key: value}
    return {key: value}


@pytest.mark.filterwarnings("error")
def test_a_binary_mask_is_warned_of_until_the_advice_is_followed(repo, tmp_path):
    config = repo / "configs/scenes/piti_small_mask.py"
    ids = np.zeros((64, 64), np.uint8)
    ids[20:50, 10:40] = 255
    Image.fromarray(ids).save(tmp_path / "a.png")
    reader = ConditionReader(*pipeline_and_key(load_config(config)))
    for given in (tmp_path / "a.png", Image.fromarray(ids), ids, ids.astype(np.int64)):
        with pytest.warns(UserWarning, match="only the ids 0 and 255, where 255 is 'no label'.*binary") as caught:
            reader.read(reader.find(given)[0])
    message = str(caught[0].message)
    key, _, value = shlex.split(re.search("(--cfg-options .*), in Python", message)[1])[1].partition("=")
    parser = argparse.ArgumentParser()
    add_config_arguments(parser)
    typed = parser.parse_args(["--cfg-options", f"{key}={value}"]).cfg_options
    assert typed == ast.literal_eval(re.search("options=({.*})", message)[1])
    changed = ConditionReader(*pipeline_and_key(load_config(config, typed)))
    assert torch.equal(changed.read(changed.find(ids)[0]), reader.read(reader.find(ids // 255)[0]))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "config", ["configs/scenes/piti_small_geometry.py", "configs/scenes/cascade_small_geometry.py"]
)
def test_depth_in_millimetres_for_a_model_of_metres(repo, tmp_path, config):
    root = geometry_in_millimetres(tmp_path)
    reader = ConditionReader(*pipeline_and_key(load_config(repo / config)))
    for item in reader.find(root):
        with pytest.raises(DataError, match="the values look like millimetres") as caught:
            reader.read(item)
        assert str(item.sources["depth"]) in str(caught.value)
    changed = ConditionReader(*pipeline_and_key(load_config(repo / config, options_in(str(caught.value)))))
    one, other = (changed.read(item) for item in changed.find(root))
    assert not torch.equal(one[3:], other[3:])
    assert torch.equal(
        one[3:],
        reader.read(reader.find({"normals": root / "normals/a.png", "depth": np.floor(1000 * ROOM) / 1000})[0])[3:],
    )


def test_the_shared_case_of_depth_in_millimetres(repo, shared):
    folder = shared / "cases" / "04_depth_in_millimetres"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not there")
    reader = ConditionReader(*pipeline_and_key(load_config(repo / "configs/scenes/piti_small_geometry.py")))
    for item in reader.find(folder):
        with pytest.raises(DataError, match="unit='mm'"):
            reader.read(item)


def test_a_folder_in_another_unit_is_refused_before_anything_is_translated(translators, tmp_path):
    root = geometry_in_millimetres(tmp_path / "in")
    with pytest.raises(DataError, match=r"item 'a'.*test_dataloader.dataset.pipeline.2.unit=mm"):
        translators["geometry"].write(root, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    # A pipeline without its config has no key.
    reader = ConditionReader([dict(type="LoadDepth", unit="m"), dict(type="PackInputs")])
    with pytest.raises(DataError, match=r"set unit='mm' of LoadDepth, or the metres of one step, such as unit=0\.01$"):
        reader.read(reader.find(1000 * ROOM)[0])


def test_inputs_that_carry_nothing_are_warned_of_with_their_file(translators, tmp_path):
    Image.fromarray(np.full((64, 64), 255, np.uint8)).save(tmp_path / "a.png")
    with pytest.warns(UserWarning, match=r"item 'a' \(.*a.png\): found mask with no label in it") as caught:
        assert translators["mask"](tmp_path / "a.png").shape == (1, 1, 16, 16, 3)
    assert len(caught) == 1


def test_pipeline_without_a_condition(translators):
    pipeline = [dict(type="LoadImage"), dict(type="PackInputs")]
    with pytest.raises(ValueError, match="loads no condition"):
        Translator(translators["mask"].model, pipeline)
    with pytest.raises(ValueError, match="no pipeline"):
        Translator(translators["mask"].model, {"test_dataloader": {}})


def text_reader():
    words = dict(type="WordTokenizer", words="pitikit.scenes:VOCABULARY")
    return ConditionReader([dict(type="LoadCaption", tokenizer=words), dict(type="PackInputs")])


def test_captions_are_texts_and_paths_are_files(tmp_path):
    reader = text_reader()
    path = tmp_path / "one.txt"
    path.write_text("day clear grass")
    text, file = reader.find(["day clear grass", path])
    assert (text.id, file.id) == ("day-clear-grass", "one")
    tokens = reader.read(text)
    assert tokens.dtype == torch.int64 and torch.equal(tokens, reader.read(file))
    assert not torch.equal(tokens, reader.read(reader.find("night clear grass")[0]))


def test_a_folder_gives_what_the_model_takes(translators, files):
    folder = files["mask"].parent
    (folder / "five.txt").write_text("day clear grass")
    assert [item.sources for item in translators["mask"].reader.find(folder)] == [{"mask": files["mask"]}]
    assert [item.sources for item in text_reader().find(folder)] == [{"caption": folder / "five.txt"}]
    (folder / "five.txt").unlink()
    with pytest.raises(DataError, match=r"without text files \(.txt\)"):
        text_reader().find(folder)


def test_a_pattern_stands_for_the_files_it_fits(translators, files):
    reader = translators["mask"].reader
    pattern = str(files["mask"].parent / "f*.png")
    assert [item.id for item in reader.find(pattern)] == ["five"]
    odd = files["mask"].rename(files["mask"].parent / "f[1].png")
    assert [item.id for item in reader.find(str(odd))] == ["f[1]"]
    with pytest.raises(DataError, match="no file that fits this pattern"):
        reader.find(pattern.replace("/f", "/g"))


def test_arrays_of_other_shapes_and_types_that_mean_the_same(translators, scene):
    mask, sketch, geometry = (translators[kind] for kind in ("mask", "sketch", "geometry"))
    expected = mask(scene.label)
    for same in (scene.label[..., None], scene.label[None], scene.label[None, ..., None], scene.label.astype(np.int64)):
        assert np.array_equal(mask(same), expected)
    assert np.array_equal(mask(scene.label > 5), mask((scene.label > 5).astype(np.uint8)))
    expected = sketch(scene.sketch)
    rgba = np.dstack([scene.sketch] * 3 + [np.full_like(scene.sketch, 255)])
    for same in (scene.sketch > 0, scene.sketch[..., None], scene.sketch / 255, scene.sketch.astype(np.float32), rgba):
        assert np.array_equal(sketch(same), expected)
    given = {"normals": scene.normals, "depth": scene.depth}
    assert np.array_equal(geometry({**given, "depth": scene.depth[..., None]}), geometry(given))


@pytest.mark.filterwarnings("error")
def test_odd_arrays_and_objects_are_refused(translators, scene, files):
    normals, depth = scene.normals, scene.depth
    raw = files["mask"].read_bytes()
    frames = [Image.fromarray(scene.label), Image.fromarray(scene.label.T)]
    frames[0].save(files["root"] / "moves.gif", save_all=True, append_images=frames[1:])
    odd = [
        ("mask", np.zeros((0, 4), np.uint8), r"an empty array of shape \(0, 4\)"),
        ("mask", np.zeros((4, 0), np.uint8), "an empty array"),
        ("mask", np.zeros((0, 4, 4, 1), np.uint8), "no input"),
        ("mask", scene.label.astype(np.float32), "cast whole numbers"),
        ("mask", scene.label.astype(object), "an array of object"),
        ("mask", scene.label.astype(complex), "an array of complex128"),
        ("mask", scene.label[0], "shape"),
        ("mask", np.zeros((64, 64, 2), np.uint8), r"shape \(64, 64, 2\)"),
        ("mask", raw, "type bytes.*PIL.Image.open"),
        ("mask", torch.zeros(4, 4), r"type Tensor.*numpy\(\)"),
        ("mask", files["root"] / "moves.gif", "2 images; expected one"),
        ("mask", "", "an empty path"),
        ("sketch", np.zeros((0, 4), np.uint8), "an empty array"),
        ("sketch", np.full((8, 8), np.nan), "NaN"),
        ("sketch", np.full((8, 8), -1.0), "negative"),
        ("sketch", scene.sketch.astype(complex), "an array of complex128"),
        ("sketch", np.dstack([scene.sketch] * 4), "alpha channel"),
        ("geometry", {"normals": normals.transpose(2, 0, 1), "depth": depth}, r"normals \(H, W, 3\)"),
        ("geometry", {"normals": normals * np.nan, "depth": depth}, "no valid normal"),
        ("geometry", {"normals": normals * 0, "depth": depth}, "no valid normal"),
        ("sketch", np.full((8, 8), 300.0), "values up to 300"),
        ("geometry", {"normals": normals, "depth": np.zeros((0, 4))}, "an empty array"),
    ]
    for kind, given, words in odd:
        with pytest.raises(DataError, match=words):
            translators[kind](given)
    with pytest.warns(UserWarning, match="no line in it"):
        assert translators["sketch"](np.zeros((1, 1), np.uint8)).shape == (1, 1, 16, 16, 3)


class LoadBands(BaseTransform):
    """A plugin's loader: reads .npy, (H, W, any number of bands) of any type."""

    source = "bands"

    def transform(self, results):
        bands, path = fetch(results, self.source, np.load)
        results["seen"].append(bands)
        return add_part(results, ConditionPart("bands", bands, "area", lambda array: array.astype(np.uint8)), path)


@pytest.mark.parametrize("channels", [1, 3, 4, 5, 8])
@pytest.mark.parametrize("dtype", [np.uint8, np.float16])
def test_arrays_go_to_a_plugin_s_loader_as_they_are(channels, dtype, tmp_path):
    seen = []
    step = LoadBands()
    step.transform = lambda results: LoadBands.transform(step, {**results, "seen": seen})
    reader = ConditionReader([step, ResizePair(8), dict(type="PackInputs")])
    array = np.arange(12 * 16 * channels).reshape(12, 16, channels).astype(dtype) % 200
    np.save(tmp_path / "a.npy", array)
    for given in (array, [array], array[None], {"bands": array}, tmp_path / "a.npy"):
        (item,) = reader.find(given)
        made = reader.read(item)
        assert seen[-1].dtype == dtype and np.array_equal(seen[-1], array) and made.shape == (channels, 8, 8)
    assert len(reader.find(np.zeros((3, 16, 16), dtype))) == 3
    with pytest.raises(DataError, match="an empty array"):
        reader.read(reader.find(array[:0])[0])
