"""The configs of the benchmarks: each set has all of them, each begins with its commands and the paper's number, and
what tools/prepare_data.py writes is what they read.
"""

import ast
import re
import shlex
from fnmatch import fnmatch
from functools import cache

import pytest

from pitikit.apis.conversion import Plan
from pitikit.apis.prepare import prepare_data
from pitikit.config import load_config
from pitikit.registry import DATASETS, EXTRACTORS, PREPARATIONS
from tests.data.preparation import downloads

SEGMENTER = dict(type="segmenter", network=dict(type="SceneSegmenter", weights="weights/scenes_segmenter.safetensors"))

# Data of a config -> its folder, its fragment, and the paper's number.
SETS = {
    "mask/ade20k": ("ade20k_mask", 8.9),
    "mask/coco": ("cocostuff_mask", 5.2),
    "mask/flickr": ("flickr_mask", 6.1),
    "mask/cityscapes": ("cityscapes_mask", None),
    "mask/facades": ("facades_mask", None),
    "mask/camvid-official": ("camvid_official_mask", None),
    "sketch/coco-sketch": ("cocostuff_sketch", 8.8),
    "sketch/flickr-sketch": ("flickr_sketch", 6.0),
    "sketch/nyu-official-sketch": ("nyu_official_sketch", None),
    "geometry/diode": ("diode_geometry", 11.5),
    "geometry/nyu-official-geometry": ("nyu_official_geometry", None),
}
KINDS = {
    "base": "piti_glide64_two-stage_{}",
    "base as released": "piti_glide64_two-stage_{}_released",
    "upsampler": "upsampler_glide256_{}",
    "upsampler as released": "upsampler_glide256_{}_released",
    "cascade": "piti_glide_cascade256_{}",
    "small": "piti_small_{}",
}
CHANNELS = dict(mask=3, sketch=1, geometry=6)
DOWNLOADS = {
    "ade20k": ("ade20k", downloads.ade20k, ()),
    "cocostuff": ("cocostuff", downloads.cocostuff, ("canny",)),
    "flickr": ("photographs", downloads.photographs, ("canny", SEGMENTER)),
    "cityscapes": ("cityscapes", downloads.cityscapes, ()),
    "facades": ("facades", downloads.facades_official, ()),
    "camvid": ("camvid", downloads.camvid_segnet, ()),
    "nyu": ("nyu", downloads.nyu, ("canny",)),
    "diode": ("diode", downloads.diode, ()),
}


def place(repo, name, kind):
    task, data = name.split("/")
    return repo / "configs" / task / f"{KINDS[kind].format(data)}.py"


@pytest.fixture(autouse=True)
def data_as_in_the_commands(monkeypatch):
    monkeypatch.delenv("PITIKIT_DATA", raising=False)


@cache
def read(path):
    """A config as it is, without PITIKIT_DATA."""
    return load_config(path)


def header(path):
    return path.read_text().partition("_base_")[0]


def commands(path):
    text = header(path).replace("\\\n#", " ")
    return [shlex.split(found, comments=False) for found in re.findall(r"^#   (?=python|torchrun)(.*)$", text, re.M)]


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """``prepared(folder)``: a folder with a tiny download of that set, prepared under its name."""
    top, done = tmp_path_factory.mktemp("prepared"), set()

    def make(folder):
        if folder not in done:
            name, download, extract = DOWNLOADS[folder]
            source = download(top / "sources" / folder)
            report = prepare_data(Plan(name, source, top / "data" / folder, extract=extract), bar=False)
            assert not report.problems, report.text()
            done.add(folder)
        return top / "data"

    return make


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_begins_with_its_commands_and_the_papers_number(name, kind, repo):
    path = place(repo, name, kind)
    own, given = str(path.relative_to(repo)), commands(path)
    tools = [next(word for word in words if word.startswith("tools/")) for words in given]
    expected = ["tools/prepare_data.py", "tools/check_data.py", "tools/train.py", "tools/test.py"]
    assert [tool for tool in tools if tool in expected] == [
        each for each in expected if kind != "cascade" or each != expected[2]
    ]
    for tool, words in zip(tools, given, strict=True):
        assert (repo / tool).is_file()
        named = [word for word in words if word.startswith("configs/")]
        assert all((repo / each).is_file() for each in named)
        if tool in ("tools/train.py", "tools/test.py"):
            assert named == [own]
    number = SETS[name][1]
    text = header(path)
    if "upsampler" in kind:
        assert "FID 8.9 against 14.5" in text
    else:
        assert (f"FID {number} on CLIP features" if number else "The paper has no number") in text


@pytest.mark.parametrize("name", SETS)
def test_the_paper_is_set_beside_the_configs_of_its_sets_alone(name, repo):
    rows = read(repo / "configs/_base_/paper.py").paper
    for kind in KINDS:
        config = str(place(repo, name, kind).relative_to(repo / "configs").with_suffix(""))
        found = [row for row in rows if fnmatch(config, row.configs)]
        ours = [row.metrics.FID_CLIP for row in found if row.method == "PITI, paper"]
        assert ours == ([SETS[name][1]] if SETS[name][1] else [])
        assert len({row.dataset for row in found}) == len(ours)


@pytest.mark.parametrize("name", SETS)
def test_the_commands_prepare_what_the_fragment_reads(name, repo):
    words = commands(place(repo, name, "base"))[0]
    found, _, target = words[words.index("tools/prepare_data.py") + 1 :][:3]
    assert found in PREPARATIONS
    for word in words[words.index("--extract") + 1 :] if "--extract" in words else []:
        # A name, or dict(type='...', ...).
        named = ast.parse(word, mode="eval").body
        kind = named.id if isinstance(named, ast.Name) else ast.literal_eval(named.keywords[0].value)
        assert kind in EXTRACTORS
    for kind in KINDS:
        assert commands(place(repo, name, kind))[0] == words
        loader = read(place(repo, name, kind)).test_dataloader
        assert loader.dataset.root == target


@pytest.mark.parametrize("name", SETS)
def test_the_paper_and_the_released_code_differ_in_what_is_known(name, repo):
    base, upsampler = (read(place(repo, name, kind)) for kind in ("base", "upsampler"))
    released = read(place(repo, name, "base as released"))
    released_upsampler = read(place(repo, name, "upsampler as released"))
    assert [(s.lr, s.drop, s.get("until")) for s in base.stages] == [
        (3.5e-5, 0.0, 200_000),
        (2e-5, 0.2, 260_000),
        (3e-5, 0.2, None),
    ]
    assert [s.lr for s in released.stages] == [3.5e-5, 2e-5, 3.5e-5]
    assert (base.model.sampler.guidance.type, released.model.sampler.guidance.type) == ("NormalizedCFG", "CFG")
    assert released.model.sampler.guidance.scale == base.model.sampler.guidance.scale == 1.3
    assert upsampler.model.adversarial.type == "LogAdversarialLoss"
    assert released_upsampler.model.adversarial.type == "WGANGPLoss"
    for one, other in ((base, released), (upsampler, released_upsampler)):
        for key in ("train_dataloader", "test_dataloader", "load_from", "load_parts", "test_evaluator"):
            assert one[key] == other[key], key
    assert upsampler.train_dataloader.batch_size == 4 and upsampler.stages[0].drop == 0


@pytest.mark.parametrize("name", SETS)
def test_the_small_one_and_the_cascade_are_of_the_same_benchmark(name, repo):
    base, small, cascade = (read(place(repo, name, kind)) for kind in ("base", "small", "cascade"))
    for key in ("train_dataloader", "test_dataloader", "test_evaluator"):
        assert small[key] == base[key], key
    assert cascade.test_evaluator == base.test_evaluator and cascade.model.base == base.model
    assert cascade.model.upsampler == read(place(repo, name, "upsampler")).model
    ours, theirs = base.test_dataloader.dataset, cascade.test_dataloader.dataset
    assert {**ours, "pipeline": 0} == {**theirs, "pipeline": 0}
    changed = [(a, b) for a, b in zip(ours.pipeline, theirs.pipeline, strict=True) if a != b]
    assert [(a.image_size, b.image_size) for a, b in changed] == [(64, 256)]
    columns = [metric.type for metric in base.test_evaluator]
    assert columns[:3] == ["LPIPS", "FID", "CLIPFID"] and list(base.test_evaluator[1].distances) == [
        "fid",
        "kid",
        "prc",
    ]
    fourth = dict(mask="MeanIoU", sketch="EdgeError", geometry="GeometryError")[name.split("/")[0]]
    # Masks of Flickr-Landscapes come from a segmenter already.
    assert columns[3:] == ([] if name == "mask/flickr" else [fourth])


@pytest.mark.parametrize("name", SETS)
def test_what_is_prepared_is_read(name, repo, prepared, monkeypatch):
    task, fragment = name.split("/")[0], SETS[name][0]
    folder = read(place(repo, name, "base")).test_dataloader.dataset.root.removeprefix("data/")
    data = prepared(folder)
    monkeypatch.setenv("PITIKIT_DATA", str(data))
    small, cascade = (load_config(place(repo, name, kind)) for kind in ("small", "cascade"))
    written = load_config(data / folder / f"dataset_{task}.py")
    for split in ("train", "val", "test"):
        dataset = small[f"{split}_dataloader"].dataset
        items = DATASETS.build(dataset)
        theirs = written[f"{split}_dataloader"].dataset
        assert len(items) == len(DATASETS.build(theirs)) > 0
        if name != "mask/flickr":  # The tiny download has a segmenter of other classes.
            assert [dict(step) for step in dataset.pipeline] == [dict(step) for step in theirs.pipeline]
        item = items[0]
        assert item["image"].shape == (3, 64, 64) and item["condition"].shape == (CHANNELS[task], 256, 256)
        assert ("label" in item, "depth" in item) == (
            split != "train" and task == "mask",
            split != "train" and task == "geometry",
        )
    whole = DATASETS.build(cascade.test_dataloader.dataset)[0]
    assert whole["image"].shape == (3, 256, 256) and whole["condition"].shape == (CHANNELS[task], 256, 256)
    upsampling = load_config(repo / f"configs/_base_/datasets/{fragment}_upsampling.py")
    for split in ("train", "test"):
        item = DATASETS.build(upsampling[f"{split}_dataloader"].dataset)[0]
        assert item["image"].shape == (3, 256, 256) and item["low_res"].shape == (3, 64, 64)
        assert item["condition"].shape == (CHANNELS[task], 256, 256)


def test_a_quarter_of_the_pairs(repo, prepared, monkeypatch):
    monkeypatch.setenv("PITIKIT_DATA", str(prepared("facades")))
    path = place(repo, "mask/facades", "small")
    (option,) = re.findall(r"^# Few-shot.*--cfg-options (\S+)=0.25$", header(path), re.M)
    whole, part = (load_config(path, {option: share}).train_dataloader.dataset for share in (1.0, 0.25))
    assert len(DATASETS.build(part)) == round(0.25 * len(DATASETS.build(whole)))


def test_real_files_of_coco(repo, shared, tmp_path, monkeypatch):
    samples = shared / "data/cocostuff_samples256"
    if not samples.is_dir():
        pytest.skip(f"{samples} is not there")
    for split in ("train", "val"):
        for kind in ("images", "labels"):
            (tmp_path / "coco" / kind).mkdir(parents=True, exist_ok=True)
            (tmp_path / f"coco/{kind}/{split}2017").symlink_to(samples / split / kind)
    report = prepare_data(Plan("cocostuff", tmp_path / "coco", tmp_path / "data/cocostuff"), bar=False)
    assert report.status == 0 and report.counts == dict(train=13, val=8)
    monkeypatch.setenv("PITIKIT_DATA", str(tmp_path / "data"))
    config = load_config(place(repo, "mask/coco", "small"))
    for split, count in (("train", 13), ("test", 8)):
        items = DATASETS.build(config[f"{split}_dataloader"].dataset)
        assert len(items) == count and items[0]["condition"].float().std() > 1
