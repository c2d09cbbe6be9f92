"""Distances of sets of images: what is compared with what, and with which notes."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from pitikit.data.images import write_png
from pitikit.evaluation import set_metric as module
from pitikit.evaluation.distances import clip_distance, covered, frechet_distance, kernel_distance
from pitikit.registry import METRICS


def images(count, seed=0, side=16):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, side, side), generator=generator, dtype=torch.uint8)


def samples(made, true=None):
    return [
        {"id": str(i), "pred": p, **({} if true is None else {"image": true[i] / 127.5 - 1})}
        for i, p in enumerate(made)
    ]


def test_value_is_that_of_the_sets_in_whatever_batches(tiny, tiny_network):
    made, true = images(11, 1), images(11, 2)
    found = []
    for batch, per_call in ((16, 11), (3, 4), (1, 1)):
        metric = tiny(batch=batch)
        whole = samples(made, true)
        for start in range(0, 11, per_call):
            metric.process(None, whole[start : start + per_call])
        found.append(metric.evaluate(11))
    features = tiny_network(true), tiny_network(made)
    assert found[0]["FID"] == pytest.approx(frechet_distance(*features), rel=1e-4)
    assert found[0]["KID_x1000"] == pytest.approx(1000 * kernel_distance(*features), rel=1e-4)
    for other in found[1:]:
        assert other == pytest.approx(found[0], rel=1e-5)
    assert metric.facts["images"] == metric.facts["reference_images"] == 11
    # 11 images are enough for 5 features.
    assert not metric.notes
    metric.process(None, samples(made[:4], true[:4]))
    metric.evaluate(4)
    assert metric.notes.keys() == {"FID"} and "of 4 images" in metric.notes["FID"]


def test_features_are_kept_and_no_images(tiny):
    metric = tiny()
    metric.process(None, samples(images(3), images(3)))
    assert [row.shape for row in metric.results] == [(2, 5)] * 3


def test_only_the_first_so_many_count(tiny):
    # What a process pads its share with, mmengine cuts off again.
    metric = tiny()
    metric.process(None, samples(images(6, 1), images(6, 2)))
    five = metric.evaluate(5)
    metric.process(None, samples(images(6, 1)[:5], images(6, 2)[:5]))
    assert five == metric.evaluate(5)


def test_absent_weights_leave_the_columns_empty(nowhere):
    metric = METRICS.build(dict(type="FID", weights="not/there.safetensors"))
    metric.process(None, samples(images(2), images(2)))
    assert metric.evaluate(2) == {"FID": None, "KID_x1000": None}
    assert "not/there.safetensors" in metric.notes["FID"] and "PITIKIT_WEIGHTS" in metric.notes["FID"]


def test_too_few_images_have_a_reason(tiny):
    metric = tiny()
    metric.process(None, samples(images(3)))
    assert metric.evaluate(3) == {"FID": None, "KID_x1000": None}
    assert "ground truth" in metric.notes["FID"]
    metric.process(None, samples(images(1), images(1)))
    assert metric.evaluate(1)["FID"] is None and "1 samples" in metric.notes["FID"]


def test_sizes_that_differ_are_named(tiny):
    with pytest.raises(ValueError, match=r"\(3, 16, 16\).*\(3, 8, 8\)"):
        tiny().process(None, samples(images(1), images(1, side=8)))


def test_against_a_folder_a_dataset_or_statistics(tiny, tiny_network, nowhere):
    true, made = images(7, 3), images(9, 4)
    for index, image in enumerate(true):
        write_png(nowhere / "true" / f"{index}.png", image)
    expected = frechet_distance(tiny_network(true), tiny_network(made))

    def value(reference):
        metric = tiny(reference=reference)
        metric.process(None, samples(made, images(9, 5)))
        return metric.evaluate(9)

    from_folder = value(str(nowhere / "true"))
    assert from_folder["FID"] == pytest.approx(expected, rel=1e-4)
    assert from_folder["KID_x1000"] is not None
    pipeline = [dict(type="LoadImage"), dict(type="PackInputs")]
    config = dict(type="PairedImageDataset", root=str(nowhere / "true"), image="{id}.png", conditions={})
    assert value({**config, "pipeline": pipeline}) == from_folder

    features = tiny_network(true).double().numpy()
    np.savez(nowhere / "statistics.npz", mu=features.mean(0), sigma=np.cov(features, rowvar=False))
    found = value("statistics.npz")
    assert found["FID"] == pytest.approx(expected, rel=1e-4) and found["KID_x1000"] is None

    np.savez(nowhere / "other.npz", mu=np.zeros(4), sigma=np.zeros((4, 4)))
    with pytest.raises(ValueError, match=r"other\.npz.*\(4,\)"):
        value("other.npz")
    (nowhere / "text.npz").write_text("nothing")
    with pytest.raises(ValueError, match=r"text\.npz"):
        value("text.npz")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        value("nowhere")


def black(side=16):
    return {"id": "0", "pred": torch.zeros(3, side, side, dtype=torch.uint8)}


def test_a_folder_is_read_whole(tiny, tiny_network, nowhere):
    """Every format, in any case, in linked subfolders too; the rest is counted in a note."""
    folder, true, made = nowhere / "true", images(5, 3), images(9, 4)
    for index, name in enumerate(("0.png", "1.PNG", "2.bmp", "a/2.png", "b/2.tif")):
        write_png(folder / "new.png", true[index])
        (folder / name).parent.mkdir(exist_ok=True)
        Image.open(folder / "new.png").save(folder / "new.tif")
        Image.open(folder / "new.png").save(folder / "new.bmp")
        (folder / f"new{(folder / name).suffix.lower()}").rename(folder / name)
    (folder / "b").rename(nowhere / "elsewhere")
    (folder / "b").symlink_to(nowhere / "elsewhere")
    for rest in folder.glob("new.*"):
        rest.unlink()
    (folder / "._0.png").touch()
    (folder / "notes.txt").touch()
    metric = tiny(reference=str(folder))
    metric.process(None, samples(made))
    expected = frechet_distance(tiny_network(true), tiny_network(made))
    assert metric.evaluate(9)["FID"] == pytest.approx(expected, rel=1e-4)
    assert metric.facts["reference_images"] == 5
    assert "2 files passed over: 1 hidden, " in metric.notes["FID"] and "notes.txt" in metric.notes["FID"]


def test_an_unusable_reference_is_an_error_before_the_first_image(tiny, nowhere):
    (nowhere / "broken").mkdir()
    (nowhere / "broken" / "0.png").write_bytes(b"nothing")
    write_png(nowhere / "broken" / "1.png", images(1)[0])
    write_png(nowhere / "one" / "1.png", images(1)[0])
    (nowhere / "empty").mkdir()
    (nowhere / "text.npz").write_text("nothing")
    for reference, words in {
        "broken": r"0\.png: found a file that is no image",
        "one": "one: found 1 images; expected 2 or more",
        "empty": "empty: found 0 images",
        "text.npz": r"text\.npz: expected an \.npz",
    }.items():
        with pytest.raises(ValueError, match=words):
            tiny(reference=reference).prepare(black())


def test_a_reference_of_another_size_is_in_the_notes(tiny, nowhere, capsys):
    for index, image in enumerate(images(3, side=32)):
        write_png(nowhere / "true" / f"{index}.png", image)
    write_png(nowhere / "true" / "wide.png", images(1)[0, :, :8])
    metric = tiny(reference=str(nowhere / "true"))
    metric.prepare(black())
    metric.process(None, samples(images(3)))
    metric.evaluate(3)
    words = "4 of 4 reference images are of 32x32, 16x8, the images made of 16x16"
    assert words in metric.notes["FID"] and "of 3 images" in metric.notes["FID"]
    same = tiny(reference=str(nowhere / "true"))
    same.process(None, samples(images(3, side=32)))
    same.evaluate(3)
    assert "1 of 4 reference images are of 16x8, the images made of 32x32" in same.notes["FID"]


def test_no_truth_is_known_before(tiny):
    assert "ground truth" in tiny().lacking(black()) and not tiny().lacking({**black(), "image": images(1)[0]})
    with pytest.raises(ValueError, match=r"\(3, 16, 16\).*\(3, 8, 8\)"):
        tiny().prepare({**black(), "image": images(1, side=8)[0]})


def test_every_distance_of_one_pass(tiny, tiny_network):
    metric, made, true = tiny(distances=["fid", "kid", "prc", "cmmd"]), images(12, 1), images(12, 2)
    metric.process(None, samples(made, true))
    assert tiny_network.seen == 24
    found = metric.evaluate(12)
    features = tiny_network(true), tiny_network(made)
    assert found == {
        "FID": pytest.approx(frechet_distance(*features), rel=1e-4),
        "KID_x1000": pytest.approx(1000 * kernel_distance(*features), rel=1e-4),
        "precision": covered(*features).mean(),
        "recall": covered(*features[::-1]).mean(),
        "CMMD_Inception": pytest.approx(clip_distance(*features), rel=1e-4),
    }
    assert metric.intervals.keys() == found.keys()
    for name, (low, high) in metric.intervals.items():
        assert low <= found[name] <= high
    assert metric.facts["kid"] == {"subset_size": 12, "subsets": 100} and json.dumps(metric.facts)
    clip = tiny("CLIPFID", distances=["fid", "kid", "prc"])
    assert clip.columns() == ("FID_CLIP", "KID_CLIP_x1000", "precision_CLIP", "recall_CLIP")


@pytest.mark.parametrize(
    ("extractor", "columns"),
    [
        ("inception", ("FID", "CMMD_Inception")),
        ("cmmd", ("FID_CMMD", "CMMD")),
        ("clip-vit-b-32", ("FID_CLIP", "CMMD_CLIP")),
        ("dinov2-vit-s-14", ("FD_DINOv2", "CMMD_DINOv2")),
    ],
)
def test_a_distance_in_other_features_than_its_own_has_a_name_of_its_own(extractor, columns, tiny):
    assert tiny(extractor=extractor, distances=["fid", "cmmd"]).columns() == columns


def test_a_reference_is_identified_by_its_content(tiny, nowhere):
    def facts(folder, made):
        for index, image in enumerate(made):
            write_png(nowhere / folder / f"{index}.png", image)
        metric = tiny(reference=str(nowhere / folder))
        metric.process(None, samples(images(3)))
        metric.evaluate(3)
        return metric.facts

    one, same, other = facts("one", images(4, 3)), facts("same", images(4, 3)), facts("other", images(4, 5))
    assert one["reference_sha256"] == same["reference_sha256"] != other["reference_sha256"]
    assert len(one["reference_sha256"]) == 64


def test_a_small_reference_is_in_the_notes_as_well(tiny, nowhere):
    for index, image in enumerate(images(3, 3)):
        write_png(nowhere / "true" / f"{index}.png", image)
    metric = tiny(reference=str(nowhere / "true"))
    metric.process(None, samples(images(9)))
    metric.evaluate(9)
    assert metric.notes["FID"].startswith("of 3 images, fewer than the 5 features of the network, it is biased upwards")


def test_intervals_hold_what_other_images_give(tiny):
    """The spread of the values of other sets of as many images, paired or not, is about that of the interval."""
    for reference in (None, "true"):
        for index, image in enumerate(images(30, 900)):
            write_png(f"true/{index}.png", image)
        values, widths = [], []
        for seed in range(16):
            metric = tiny(reference=reference, distances=["fid", "kid"], bootstrap=40)
            metric.process(None, samples(images(30, 2 * seed), images(30, 2 * seed + 1)))
            found = metric.evaluate(30)
            values.append(list(found.values()))
            widths.append([(high - low) / 2 / 1.96 for low, high in metric.intervals.values()])
        ratio = np.mean(widths, 0) / np.std(values, 0)
        # Against a folder, the interval also has the choice of that folder's images.
        assert (ratio > 0.5).all() and (ratio < 4).all(), (reference, ratio)
    metric = tiny(distances=["fid", "kid", "prc", "cmmd"], bootstrap=0)
    metric.process(None, samples(images(9), images(9, 1)))
    assert metric.evaluate(9)["recall"] is not None and not metric.intervals


def test_large_sets_have_narrower_intervals(tiny, monkeypatch):
    monkeypatch.setattr(module, "REPLICATE", 30)
    metric, widths = tiny(distances=["fid", "kid"]), []
    for count in (30, 480):
        metric.process(None, samples(images(count, 1), images(count, 2)))
        metric.evaluate(count)
        widths.append([high - low for low, high in metric.intervals.values()])
    assert np.divide(*widths) == pytest.approx([4, 4], rel=0.5)


def test_real_features_are_kept_between_runs(tiny, tiny_network, nowhere):
    for index, image in enumerate(images(7, 3)):
        write_png(nowhere / "true" / f"{index}.png", image)
    found = []
    # The images, made anew each time, are 4; another extractor has nothing of the first.
    for arguments, passed in ((dict(), 11), (dict(), 4), (dict(cache=False), 11), (dict(extractor="vgg16"), 11)):
        before, metric = tiny_network.seen, tiny(reference=str(nowhere / "true"), **arguments)
        metric.prepare(black())
        metric.process(None, samples(images(4, 4)))
        found.append(list(metric.evaluate(4).values()))
        assert tiny_network.seen - before == passed
    assert found[1:] == found[:1] * 3
    metric = tiny()
    metric.process(None, samples(images(4, 4), images(7, 3)[:4]))
    assert tiny_network.seen == 11 + 4 + 11 + 11 + 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(distances=["fdi"]), "FID: distances='fdi': no such distance; did you mean 'fid'"),
        (dict(extractor="inceptoin"), "extractor='inceptoin': no such extractor; did you mean 'inception'"),
        (dict(batch=0), "FID: got batch=0, expected 1 or more"),
        (dict(kid_subset_size=1), "FID: got kid_subset_size=1, expected 2 or more"),
        (dict(kid_subsets=0), "FID: got kid_subsets=0, expected 1 or more"),
        (dict(bootstrap=-1), "FID: got bootstrap=-1, expected 0 or more"),
    ],
)
def test_wrong_arguments_are_errors(tiny, arguments, words):
    with pytest.raises(ValueError, match=words):
        tiny(**arguments)


def test_sets_too_small_for_a_distance_have_a_reason(tiny):
    metric = tiny(distances=["kid", "prc"], kid_subset_size=5)
    metric.process(None, samples(images(3), images(3, 1)))
    assert metric.evaluate(3) == {"KID_x1000": None, "precision": None, "recall": None}
    assert metric.notes["KID_x1000"] == "got 3 images, expected 5 or more, the size of a subset"
    assert metric.notes["precision"] == metric.notes["recall"] == "got 3 images, expected 4 or more"
