"""Kept features: by content and extractor, whatever stands in the way."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import torch

from pitikit.evaluation import feature_cache as module
from pitikit.evaluation.feature_cache import FeatureCache, image_key


class Extract:
    """Two features of an image; remembers how many it got."""

    def __init__(self):
        self.seen = []

    def __call__(self, images):
        self.seen.append(len(images))
        return torch.stack([torch.tensor([each.float().mean(), each.float().std()]) for each in images])


def images(count, side=8):
    generator = torch.Generator().manual_seed(side)
    return list(torch.randint(0, 256, (count, 3, side, side), generator=generator).float())


def test_only_what_is_new_is_extracted(tmp_path):
    extract, made = Extract(), images(5)
    expected = Extract()(made)
    assert torch.equal(FeatureCache("a", tmp_path).features(made[:3], extract), expected[:3])
    cache = FeatureCache("a", tmp_path)
    # In another order, and one twice.
    order = [4, 1, 0, 4, 2, 3]
    assert torch.equal(cache.features([made[i] for i in order], extract), expected[order])
    assert extract.seen == [3, 2]
    FeatureCache("b", tmp_path).features(made[:2], extract)
    assert extract.seen == [3, 2, 2] and [path.name for path in tmp_path.iterdir()] == [module.FILE_NAME]


def test_the_key_is_the_content():
    image = images(1)[0]
    assert image_key(image) == image_key(image.byte()) == image_key(image.clone())
    other = image.clone()
    other[0, 0, 0] = (other[0, 0, 0] + 1) % 256
    assert image_key(image) != image_key(other)
    assert image_key(torch.zeros(3, 4, 8)) != image_key(torch.zeros(3, 8, 4))


@pytest.mark.parametrize("fault", ["file", "damaged", "folder"])
def test_a_file_that_cannot_be_used_is_a_warning(fault, tmp_path, monkeypatch):
    texts = []
    monkeypatch.setattr(module, "print_log", lambda text, **_: texts.append(text))
    folder = tmp_path / "cache"
    if fault == "file":
        folder.touch()
    elif fault == "folder":
        (folder / module.FILE_NAME).mkdir(parents=True)
    else:
        folder.mkdir()
        (folder / module.FILE_NAME).write_bytes(b"nothing of a database" * 99)
    extract, made = Extract(), images(3)
    cache = FeatureCache("a", folder)
    for _ in range(2):
        assert torch.equal(cache.features(made, extract), Extract()(made))
    assert extract.seen == [3, 3] and len(texts) == 1 and str(folder) in texts[0]
    assert "expected a file that features are kept in" in texts[0] and "PITIKIT_CACHE" in texts[0]


def test_several_writers_share_a_file(tmp_path):
    def work(_):
        for made in images(20):
            FeatureCache("a", tmp_path).features([made], Extract())

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    found = FeatureCache("a", tmp_path).features(images(20), None)
    assert torch.equal(found, Extract()(images(20)))


@pytest.mark.parametrize("damaged", ["substr(row, 1, 4)", "substr(row, 1, 7)", "zeroblob(length(row))", "x''"])
def test_a_damaged_row_is_made_anew(damaged, tmp_path):
    extract, made = Extract(), images(4)
    FeatureCache("a", tmp_path).features(made, extract)
    with closing(sqlite3.connect(tmp_path / module.FILE_NAME)) as database, database:
        database.execute(f"UPDATE features SET row = {damaged} WHERE image = ?", (image_key(made[1]),))
    for _ in range(2):
        assert torch.equal(FeatureCache("a", tmp_path).features(made, extract), Extract()(made))
    assert extract.seen == [4, 1]


def test_what_is_kept_is_read_where_nothing_can_be_written(tmp_path, monkeypatch):
    texts, extract, made = [], Extract(), images(5)
    monkeypatch.setattr(module, "print_log", lambda text, **_: texts.append(text))
    FeatureCache("a", tmp_path).features(made[:3], extract)

    cache = FeatureCache("a", tmp_path)
    with closing(sqlite3.connect(tmp_path / module.FILE_NAME)) as database, database:
        database.execute("CREATE TRIGGER full BEFORE INSERT ON features BEGIN SELECT RAISE(ABORT, 'readonly'); END")
    for _ in range(2):
        assert torch.equal(cache.features(made, extract), Extract()(made))
    assert extract.seen == [3, 2, 2] and len(texts) == 1 and "readonly" in texts[0]
