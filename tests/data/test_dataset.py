"""The paired dataset: finding items, naming bad ones, randomness that workers do not change."""

import json
import os
import shutil
from functools import partial
from itertools import islice

import numpy as np
import pytest
import torch
from mmcv.transforms import BaseTransform
from mmengine.dataset import default_collate
from PIL import Image
from torch.utils.data import DataLoader

from pitikit.data import transforms
from pitikit.data.dataset import PairedImageDataset, nested_subset
from pitikit.data.errors import DataError, LoaderError
from pitikit.data.sampler import Draw, DrawSampler
from pitikit.data.templates import expand_template
from pitikit.scenes.dataset import SceneWorld

RNG = np.random.default_rng(0)


@pytest.fixture
def root(tmp_path):
    for folder in ("images", "labels"):
        (tmp_path / folder).mkdir()
    for k in range(12):
        image = RNG.integers(0, 256, (24, 24, 3), dtype=np.uint8)
        Image.fromarray(image).save(tmp_path / f"images/p{k:02d}.jpg")
        label = np.full((24, 24), k % 3, np.uint8)
        label[:, 12:] = 3
        Image.fromarray(label).save(tmp_path / f"labels/p{k:02d}.png")
    return tmp_path


def pipeline(prob=0.5):
    return [
        transforms.LoadImage(),
        transforms.LoadMask(4),
        transforms.ResizePair(16, 8),
        transforms.RandomFlip(prob),
        transforms.PackInputs(keep=["label", "flipped"]),
    ]


def test_finds_pairs_in_order_and_reads_them(root):
    dataset = PairedImageDataset(root, pipeline=pipeline(0))
    assert [item["id"] for item in dataset.items] == [f"p{k:02d}" for k in range(12)]
    sample = dataset[4]
    assert sample["id"] == "p04" and sample["label"][0, 0] == 1
    with pytest.raises(IndexError):
        dataset[12]


def test_templates_with_folders_and_alternatives(root):
    (root / "images/city").mkdir()
    Image.fromarray(np.zeros((24, 24, 3), np.uint8)).save(root / "images/city/x.png")
    dataset = PairedImageDataset(root, image="images/{id}.{jpg,png}", conditions={})
    assert [item["id"] for item in dataset.items][:2] == ["city/x", "p00"] and len(dataset) == 13
    assert expand_template("{id}.{a,b}") == ["{id}.a", "{id}.b"]
    for wrong in ("images/x.jpg", "{name}.jpg", "{id}/{id}.jpg"):
        with pytest.raises(ValueError, match="template"):
            expand_template(wrong)


def test_images_alone_and_conditions_alone(root):
    alone = [transforms.LoadImage(), transforms.PackInputs()]
    assert set(PairedImageDataset(root, conditions={}, pipeline=alone)[0]) == {"id", "image"}
    masks = [transforms.LoadMask(4), transforms.PackInputs()]
    assert set(PairedImageDataset(root, image=None, pipeline=masks)[0]) == {"id", "condition"}


def test_a_missing_partner_is_named(root):
    (root / "labels/p07.png").unlink()
    hint = r"; tools/check_data\.py lists them, on_error='skip' passes over them$"
    with pytest.raises(DataError, match=r"'p07'.*labels/p07\.png.*no mask.*\. 1 of 12 items misses a partner" + hint):
        PairedImageDataset(root)
    (root / "labels/p09.png").unlink()
    with pytest.raises(DataError, match="'p07'.*2 of 12 items miss a partner" + hint):
        PairedImageDataset(root)
    with pytest.raises(DataError, match="2 of 12 items miss a partner$"):
        PairedImageDataset(root, test_mode=True)


@pytest.mark.parametrize("on_error", ["raise", "skip"])
def test_where_all_partners_are_missing_one_is_named(root, on_error):
    with pytest.raises(DataError, match=r"'p00' .*labes/p00\.png.*no mask.*12 of 12 items miss a partner$") as error:
        PairedImageDataset(root, conditions=dict(mask="labes/{id}.png"), on_error=on_error, max_bad=1)
    assert len(error.value.others) == 11


def test_bad_roots_members_and_lists(root, monkeypatch):
    with pytest.raises(DataError, match="nowhere"):
        PairedImageDataset(root / "nowhere")
    monkeypatch.chdir(root)
    with pytest.raises(DataError, match=rf"^nowhere: found no such folder in the working directory, {root};.*fileDirn"):
        PairedImageDataset("nowhere")
    with pytest.raises(DataError, match=r"\.webp"):
        PairedImageDataset(root, image="images/{id}.webp")
    with pytest.raises(DataError, match="'p01'.*twice"):
        PairedImageDataset(root, ids=["p01", "p02", "p01"])
    with pytest.raises(ValueError, match="list_file and ids"):
        PairedImageDataset(root, ids=["p01"], list_file="x")
    with pytest.raises(DataError, match=r"none\.txt"):
        PairedImageDataset(root, list_file="none.txt")


def test_list_files(root):
    # With the mark that editors on Windows put before UTF-8.
    (root / "some.txt").write_text("p03\n\np01\n", encoding="utf-8-sig")
    dataset = PairedImageDataset(root, list_file="some.txt")
    assert [item["id"] for item in dataset.items] == ["p03", "p01"]
    lines = [dict(id="a", image="images/p05.jpg", mask="labels/p02.png"), dict(id="p06")]
    (root / "some.jsonl").write_text("\n".join(json.dumps(line) for line in lines))
    dataset = PairedImageDataset(root, list_file="some.jsonl", pipeline=pipeline(0))
    assert dataset[0]["label"][0, 0] == 2 and dataset[1]["id"] == "p06"
    for text, word in [('{"id": 3', "JSON"), ('{"image": "x"}', "'id'"), ("", "empty")]:
        (root / "bad.txt").write_text(text)
        with pytest.raises(DataError, match=rf"bad\.txt.*{word}"):
            PairedImageDataset(root, list_file="bad.txt")
    (root / "bad.txt").write_text('{"id": "p01", "maks": "x"}')
    with pytest.raises(DataError, match="'p01'.*no maks"):
        PairedImageDataset(root, list_file="bad.txt")


def test_a_plugin_may_name_its_own_member(root):
    dataset = PairedImageDataset(root, conditions=dict(heat="labels/{id}.png"))
    assert dataset[0]["sources"]["heat"] == root / "labels" / "p00.png"


def test_captions(root):
    (root / "captions.json").write_text(json.dumps({f"p{k:02d}": f"item {k}" for k in range(12)}))
    dataset = PairedImageDataset(root, conditions={}, caption_file="captions.json")
    assert dataset[3]["sources"]["caption"] == "item 3"
    (root / "captions.tsv").write_text("p03\tthree\n")
    dataset = PairedImageDataset(root, ids=["p03"], caption_file="captions.tsv")
    assert dataset[0]["sources"]["caption"] == "three"
    with pytest.raises(DataError, match="'p00'.*no caption"):
        PairedImageDataset(root, caption_file="captions.tsv")
    # A name may be no UTF-8, but not what a model reads.
    (root / "captions.tsv").write_bytes(b"p03\tcaf\xe9\n")
    with pytest.raises(DataError, match=r"captions\.tsv, line 1: found the text .*no UTF-8"):
        PairedImageDataset(root, ids=["p03"], caption_file="captions.tsv")
    (root / "some.jsonl").write_bytes(b'{"id": "p03", "caption": "caf\xe9"}\n')
    with pytest.raises(DataError, match=r"some\.jsonl, line 1: found the text .*no UTF-8"):
        PairedImageDataset(root, list_file="some.jsonl")


def test_subsets_are_seeded_and_nested():
    half, quarter = nested_subset(1000, 0.5, 3), nested_subset(1000, 0.25, 3)
    assert len(half) == 500 and len(quarter) == 250 and set(quarter) < set(half)
    assert half == sorted(half) and half == nested_subset(1000, 0.5, 3)
    assert half != nested_subset(1000, 0.5, 4)
    assert len(nested_subset(10, 0.29)) == 3
    assert nested_subset(3, 0.01) and nested_subset(3, 1) == [0, 1, 2]
    for wrong in (0, 1.1):
        with pytest.raises(ValueError, match="subset"):
            nested_subset(3, wrong)


def test_subset_of_files(root):
    names = [{item["id"] for item in PairedImageDataset(root, subset=s, subset_seed=1).items} for s in (0.25, 0.5)]
    assert [len(n) for n in names] == [3, 6] and names[0] < names[1]
    assert names[1] == {f"p{k:02d}" for k in nested_subset(12, 0.5, 1)} != {f"p{k:02d}" for k in nested_subset(12, 0.5)}


# ---- bad items, when they are read


def spoil_truncated(root):
    path = root / "images/p05.jpg"
    path.write_bytes(path.read_bytes()[:200])


def spoil_size(root):
    Image.fromarray(np.zeros((24, 30), np.uint8)).save(root / "labels/p05.png")


def spoil_id(root):
    Image.fromarray(np.full((24, 24), 77, np.uint8)).save(root / "labels/p05.png")


def spoil_channels(root):
    Image.fromarray(np.full((24, 24, 3), (1, 2, 3), np.uint8)).save(root / "labels/p05.png")


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_truncated, r"p05\.jpg.*decoded"),
        (spoil_size, r"p05\.png.*30×24"),
        (spoil_id, r"p05\.png.*77"),
        (spoil_channels, r"p05\.png.*3 channels"),
    ],
)
def test_a_bad_item_is_named(root, spoil, words):
    spoil(root)
    dataset = PairedImageDataset(root, pipeline=pipeline(), ids=["p04", "p05"])
    dataset[0]
    with pytest.raises(DataError, match=f"'p05'.*{words}"):
        dataset[1]


def test_a_bad_item_is_named_from_a_worker(root):
    spoil_id(root)
    dataset = PairedImageDataset(root, pipeline=pipeline(), ids=["p04", "p05"])
    with pytest.raises(DataError, match="(?s)'p05'.*77"):
        list(DataLoader(dataset, batch_size=2, num_workers=1, collate_fn=default_collate))


def test_any_other_failure_names_the_item_too(root):
    def fail(results):
        raise KeyError("colour")

    with pytest.raises(RuntimeError, match="'p02'.*KeyError.*colour"):
        PairedImageDataset(root, pipeline=[fail])[2]


# ---- randomness


def flips(root, workers, batch, seed=0, count=60):
    dataset = PairedImageDataset(root, pipeline=pipeline(), seed=seed)
    # A sampler that ends lets the workers end as well.
    draws = list(islice(DrawSampler(dataset, seed=5), count))
    loader = DataLoader(dataset, batch_size=batch, sampler=draws, num_workers=workers, collate_fn=default_collate)
    drawn: list[tuple[str, bool]] = []
    for data in loader:
        drawn += zip(data["id"], data["flipped"].tolist(), strict=True)
        assert torch.equal(data["label"][:, 0, 0] == 3, data["flipped"])
    return drawn


def test_flips_depend_on_neither_workers_nor_batch_size(root):
    alone = flips(root, workers=0, batch=4)
    assert alone == flips(root, workers=2, batch=4) == flips(root, workers=0, batch=3)
    assert alone != flips(root, workers=0, batch=4, seed=1)
    # A pass holds every item once, and another pass flips otherwise.
    passes = [dict(alone[k : k + 12]) for k in range(0, 60, 12)]
    assert all(len(p) == 12 for p in passes)
    assert len({tuple(sorted(p.items())) for p in passes}) > 1
    assert 15 < sum(flipped for _, flipped in alone) < 45


def test_set_epoch_and_test_mode(root):
    def all_flips(dataset):
        return [dataset[i]["flipped"] for i in range(12)]

    dataset = PairedImageDataset(root, pipeline=pipeline())
    first = all_flips(dataset)
    assert [dataset[i - 12]["flipped"] for i in range(12)] == first
    dataset.set_epoch(1)
    assert all_flips(dataset) != first
    assert [dataset[Draw(i, 0)]["flipped"] for i in range(12)] == first
    still = PairedImageDataset(root, pipeline=pipeline(), test_mode=True)
    still.set_epoch(1)
    assert all_flips(still) == first


# ---- bad items that are passed over


def test_the_next_readable_item_takes_the_place_of_a_bad_one(root):
    spoil_truncated(root)
    (root / "labels/p06.png").write_text("nothing")
    dataset = PairedImageDataset(root, pipeline=pipeline(), on_error="skip", max_bad=0.25)
    sample = dataset[5]
    assert sample["id"] == "p07" and sample["label"][0, 0] in (1, 3)
    assert [name for name, _ in sample["id"].passed] == ["p05", "p06"]
    assert "p05.jpg" in sample["id"].passed[0][1] and "p06.png" in sample["id"].passed[1][1]
    assert type(dataset[7]["id"]) is str
    # The augmentation is that of the draw: what item 5 has where nothing is wrong.
    whole = PairedImageDataset(root, pipeline=pipeline(), ids=[f"p{k:02d}" for k in (0, 1, 2, 3, 4, 7, 8, 9, 10, 11)])
    whole.items += whole.items[:2]
    drawn = [dataset[Draw(5, epoch)]["flipped"] for epoch in range(20)]
    assert drawn == [whole[Draw(5, epoch)]["flipped"] for epoch in range(20)]
    assert len(set(drawn)) == 2


def test_it_goes_round_at_the_end(root):
    (root / "images/p11.jpg").write_text("nothing")
    dataset = PairedImageDataset(root, pipeline=pipeline(), on_error="skip", max_bad=0.25)
    assert dataset[11]["id"] == "p00"
    with pytest.raises(IndexError):
        dataset[12]


@pytest.mark.parametrize("workers", [0, 1, 3])
def test_what_stands_in_does_not_depend_on_workers(root, workers):
    spoil_id(root)
    dataset = PairedImageDataset(root, pipeline=pipeline(), on_error="skip", max_bad=0.1)
    draws = list(islice(DrawSampler(dataset, seed=5), 36))
    loader = DataLoader(dataset, batch_size=4, sampler=draws, num_workers=workers, collate_fn=default_collate)
    ids = [name for batch in loader for name in batch["id"]]
    assert ids == ["p06" if int(draw) == 5 else f"p{int(draw):02d}" for draw in draws]
    assert [getattr(name, "passed", ()) != () for name in ids] == [int(draw) == 5 for draw in draws]


def test_too_many_in_a_row(root):
    for k in range(3, 6):
        (root / f"images/p{k:02d}.jpg").write_text("nothing")
    dataset = PairedImageDataset(root, pipeline=pipeline(), on_error="skip", max_bad=0.17)
    with pytest.raises(DataError, match=r"3 bad items in a row, of 12; the first: item 'p03'.*max_bad=0.17"):
        dataset[3]
    assert dataset[4]["id"] == "p06"


def test_a_fault_of_the_program_is_never_passed_over(root):
    def fail(results):
        raise KeyError("colour")

    dataset = PairedImageDataset(root, pipeline=[fail], on_error="skip", max_bad=1.0)
    with pytest.raises(RuntimeError, match="'p02'.*KeyError"):
        dataset[2]


def test_a_fault_of_a_loader_is_never_passed_over(root):
    def fail(results):
        raise LoaderError("encode gave None", "bytes", item=results["id"])

    for more in (dict(on_error="skip", max_bad=1.0), {}):
        with pytest.raises(LoaderError, match="item 'p00': found encode gave None; expected bytes$"):
            PairedImageDataset(root, pipeline=[fail], **more)[0]


def test_a_transform_that_returns_nothing_is_named(root):
    class Forgetful(BaseTransform):
        def transform(self, results):
            pass

    dataset = PairedImageDataset(root, pipeline=[*pipeline()[:2], Forgetful(), *pipeline()[2:]], on_error="skip")
    with pytest.raises(LoaderError, match="'p02': found None of Forgetful.transform; expected the results. it must"):
        dataset[2]


def test_missing_partners_are_left_out(root):
    for k in (3, 9):
        (root / f"labels/p{k:02d}.png").unlink()
    dataset = PairedImageDataset(root, pipeline=pipeline(), on_error="skip", max_bad=0.2)
    assert len(dataset) == 10 and [error.item for error in dataset.missing] == ["p03", "p09"]
    share = "2 of 12 items miss a partner, expected a share of at most max_bad=0.1; raise max_bad"
    with pytest.raises(DataError, match=f"'p03'.*{share}") as error:
        PairedImageDataset(root, on_error="skip", max_bad=0.1)
    assert [other.item for other in error.value.others] == ["p09"]
    # As many as are allowed, and not one more.
    (root / "labels/p10.png").unlink()
    assert len(PairedImageDataset(root, on_error="skip", max_bad=0.25)) == 9


def test_impossible_arguments(root):
    with pytest.raises(ValueError, match="on_error='ignore'"):
        PairedImageDataset(root, on_error="ignore")
    with pytest.raises(ValueError, match="max_bad=5"):
        PairedImageDataset(root, max_bad=5)
    with pytest.raises(ValueError, match="test_mode"):
        PairedImageDataset(root, on_error="skip", test_mode=True)


def test_a_transform_without_its_base_class_is_named(root):
    class LoadPalette:
        source, channels = "palette", 3

    words = r"^LoadPalette: got a class without __call__, expected .*; derive it: class LoadPalette\(ConditionLoader\)$"
    for build in (partial(PairedImageDataset, root), partial(SceneWorld, 2)):
        for step in (LoadPalette(), dict(type=LoadPalette)):
            with pytest.raises(TypeError, match=words):
                build(pipeline=[transforms.LoadImage(), step])


def test_the_advice_is_for_trainings(root):
    spoil_size(root)
    with pytest.raises(DataError, match=r"same_size=False.*; tools/check_data\.py .* on_error='skip'"):
        PairedImageDataset(root, pipeline=pipeline())[5]
    with pytest.raises(DataError) as error:
        PairedImageDataset(root, pipeline=pipeline(), test_mode=True)[5]
    assert "on_error" not in str(error.value)


# ---- files as people have them


@pytest.mark.parametrize("as_text", [False, True])
def test_linked_folders_and_suffixes_in_any_case(as_text, root):
    elsewhere = root / "elsewhere"
    for folder, suffix in (("images", "JPG"), ("labels", "PNG")):
        (elsewhere / folder).mkdir(parents=True)
        for k in (0, 1):
            name = next(root.glob(f"{folder}/p{k:02d}.*"))
            name.rename(elsewhere / folder / f"q{k}.{suffix}")
        if as_text:
            (root / folder / "city").write_text(f"../elsewhere/{folder}")
        else:
            (root / folder / "city").symlink_to(elsewhere / folder)
    (root / "images/p02.jpg").rename(root / "images/p02.jpeg")
    dataset = PairedImageDataset(root, pipeline=pipeline(0))
    assert dataset.ids == ["city/q0", "city/q1", *(f"p{k:02d}" for k in range(2, 12))]
    assert dataset[0]["label"][0, 0] == 0 and dataset[2]["id"] == "p02"
    assert dataset.passed_over == {} and dataset.passed_over_report == ""


def test_leftovers_are_passed_over_and_counted(root):
    (root / "images/._p00.jpg").write_bytes(b"\0\5\26\7")
    (root / "images/.ipynb_checkpoints").mkdir()
    (root / "images/.ipynb_checkpoints/p00-checkpoint.jpg").touch()
    (root / "images/meta.json").touch()
    dataset = PairedImageDataset(root)
    assert len(dataset) == 12
    assert f"{root}: 3 files passed over: 2 hidden, " in dataset.passed_over_report
    assert "1 of no format that is read here (images/meta.json)" in dataset.passed_over_report


def test_lists_and_ids_in_another_case(root):
    (root / "labels/p03.png").rename(root / "labels/P03.PNG")
    (root / "images/p05.jpg").rename(root / "images/p05.JPG")
    (root / "some.jsonl").write_text('{"id": "a", "image": "images/p05.jpg", "mask": "labels/p03.png"}\n{"id": "p05"}')
    listed = PairedImageDataset(root, list_file="some.jsonl")
    assert [path.name for path in listed[0]["sources"].values()] == ["p05.JPG", "P03.PNG"]
    assert listed[1]["sources"]["image"].name == "p05.JPG"
    assert PairedImageDataset(root, ids=["p03"])[0]["sources"]["mask"].name == "P03.PNG"


def test_names_that_are_no_utf_8(root):
    os.rename(root / "images/p00.jpg", os.fsencode(root) + b"/images/caf\xe9.jpg")
    os.rename(root / "labels/p00.png", os.fsencode(root) + b"/labels/caf\xe9.png")
    dataset = PairedImageDataset(root, pipeline=pipeline(0))
    loader = DataLoader(dataset, batch_size=12, num_workers=1, collate_fn=default_collate)
    assert next(iter(loader))["id"][0] == "caf\udce9"
    (root / "some.txt").write_bytes(b"caf\xe9\n")
    assert PairedImageDataset(root, list_file="some.txt").ids == ["caf\udce9"]


def test_splits_by_position(root):
    train, rest = (PairedImageDataset(root, split=split).ids for split in ("1-8", "9-"))
    assert train == [f"p{k:02d}" for k in range(8)] and rest == [f"p{k:02d}" for k in range(8, 12)]
    half = PairedImageDataset(root, split="9-", subset=0.5).ids
    assert len(half) == 2 and set(half) < set(rest)
    with pytest.raises(ValueError, match="positions 9 to 300, expected some of 1 to 12"):
        PairedImageDataset(root, split="9-300")
    for other in (dict(ids=["p00"]), dict(list_file="some.txt")):
        with pytest.raises(ValueError, match=f"{next(iter(other))} and split were both given; expected one of them"):
            PairedImageDataset(root, split="1-8", **other)


def test_splits_by_list(root, tmp_path_factory, monkeypatch):
    (root / "val.txt").write_text("/SegNet/CamVid/val/p03.png /SegNet/CamVid/valannot/p03.png\np01\n")
    assert PairedImageDataset(root, split="val.txt").ids == ["p03", "p01"]
    elsewhere = tmp_path_factory.mktemp("lists")
    (elsewhere / "mine.txt").write_text("images/p07.jpg\n")
    monkeypatch.chdir(elsewhere)
    assert PairedImageDataset(root, split="mine.txt").ids == ["p07"]
    (root / "val.txt").write_text("p01\np99\n")
    with pytest.raises(DataError, match=r"'p99'.*images/p99\.jpg.*no image"):
        PairedImageDataset(root, split="val.txt")
    assert PairedImageDataset(root, split="val.txt", on_error="skip", max_bad=0.5).ids == ["p01"]
    (root / "val.txt").write_text("p01\nimages/p01.jpg\n")
    with pytest.raises(DataError, match="'p01'.*twice"):
        PairedImageDataset(root, split="val.txt")
    (root / "val.txt").write_text("\n")
    with pytest.raises(DataError, match="an empty list"):
        PairedImageDataset(root, split="val.txt")


# ---- members that an item may lack


def several(root, **options):
    templates = dict(mask="labels/{id}.png", sketch="lines/{id}.png")
    return PairedImageDataset(root, "images/{id}.jpg", templates, **options)


def test_an_optional_member_may_be_missing_but_not_all_of_them(root):
    names = PairedImageDataset(root).ids
    with pytest.raises(DataError, match="no sketch"):
        several(root)
    with pytest.raises(DataError, match=r"no file of the optional sketch; expected some like 'lines/\{id\}.png'"):
        several(root, optional=["sketch"])
    (root / "lines").mkdir()
    shutil.copy(root / "labels" / f"{names[0]}.png", root / "lines" / f"{names[0]}.png")
    data = several(root, optional=["sketch"])
    assert data.ids == names and data.lacking == {"sketch": len(names) - 1}
    assert f"no sketch for {len(names) - 1} of {len(names)} items" in data.passed_over_report
    (root / "labels" / f"{names[1]}.png").unlink()
    with pytest.raises(DataError, match=f"item '{names[1]}'.*no mask"):
        several(root, optional=["sketch"])
    with pytest.raises(DataError, match=f"item '{names[1]}'.*an image without a condition; expected one of mask, sk"):
        several(root, optional=["mask", "sketch"])
    data = several(root, optional=["mask", "sketch"], on_error="skip", max_bad=0.5)
    assert data.ids == [names[0], *names[2:]] and [error.item for error in data.missing] == [names[1]]
    with pytest.raises(ValueError, match="'depth' is none of the conditions"):
        several(root, optional=["depth"])


def test_an_image_of_another_format_needs_no_optional_partner(root):
    (root / "lines").mkdir()
    names = PairedImageDataset(root).ids
    shutil.copy(root / "labels" / f"{names[0]}.png", root / "lines" / f"{names[0]}.png")
    Image.open(root / "images" / f"{names[1]}.jpg").save(root / "images" / f"{names[1]}.png")
    (root / "images" / f"{names[1]}.jpg").unlink()
    assert several(root, optional=["sketch"]).ids == names
