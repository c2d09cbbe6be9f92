"""Sets to compare with, and the files that keep their features."""

from collections import Counter

import numpy as np
import pytest
import torch

from pitikit.data.errors import DataError
from pitikit.data.images import write_png
from pitikit.evaluation import references as module
from pitikit.evaluation.references import Reference, read_reference, save_features

FACTS = dict(network="a network", weights_sha256="0123456789abcdef")


def features(images):
    return torch.stack([image.float().mean((1, 2)) for image in images])


@pytest.fixture
def folder(tmp_path):
    generator = torch.Generator().manual_seed(0)
    for index in range(7):
        side = 8 if index < 5 else 6
        image = torch.randint(0, 256, (3, side, side), generator=generator, dtype=torch.uint8)
        write_png(tmp_path / "true" / f"{index}.png", image)
    (tmp_path / "true" / "notes.txt").touch()
    return tmp_path / "true"


def test_a_folder_goes_through_memory_in_parts(folder, monkeypatch):
    monkeypatch.setattr(module, "CHUNK", 3)
    monkeypatch.setattr(module, "CHUNK_BYTES", 10**6)
    sizes = []
    found = read_reference(folder, lambda images: sizes.append(len(images)) or features(images), "key")
    assert sizes == [3, 3, 1] and found.features.shape == (7, 3)
    assert found.sizes == {"8x8": 5, "6x6": 2}
    notes = found.notes("8x8")
    assert "2 of 7 reference images are of 6x6, the images made of 8x8" in notes[0] and "notes.txt" in notes[1]
    assert len(found.notes("")) == 1
    sizes.clear()
    # Large images are fewer at a time.
    monkeypatch.setattr(module, "CHUNK_BYTES", 2 * 3 * 8 * 8)
    again = read_reference(folder, lambda images: sizes.append(len(images)) or features(images), "key")
    assert sizes == [2, 2, 3] and torch.equal(again.features, found.features) and again.sha256 == found.sha256


def test_saved_features_come_back(folder, tmp_path):
    found = read_reference(folder, features, "key")
    path = save_features(tmp_path / "real.npz", found, "key", FACTS)
    again = read_reference(path, features, "key")
    assert torch.equal(again.features, found.features) and again.sizes == found.sizes
    assert again.sha256 == found.sha256
    with pytest.raises(ValueError, match=r"real\.npz: features of a network, weights 01234567…; expected those of"):
        read_reference(path, features, "another key")
    with pytest.raises(ValueError, match="got mean and covariance"):
        save_features(tmp_path / "real.npz", Reference((torch.zeros(3), torch.eye(3))), "key", FACTS)


def test_statistics_need_the_width_of_the_features(tmp_path):
    np.savez(tmp_path / "right.npz", mu=np.zeros(3), sigma=np.eye(3))
    mean, covariance = read_reference(tmp_path / "right.npz", features, "key").features
    assert mean.shape == (3,) and torch.equal(covariance, torch.eye(3).double())
    np.savez(tmp_path / "wrong.npz", mu=np.zeros(4), sigma=np.eye(4))
    with pytest.raises(ValueError, match=r"wrong\.npz: mu of \(4,\).*expected the 3 features"):
        read_reference(tmp_path / "wrong.npz", features, "key")
    np.savez(tmp_path / "other.npz", images=np.zeros(4))
    with pytest.raises(ValueError, match=r"other\.npz: expected .* found \['images'\]"):
        read_reference(tmp_path / "other.npz", features, "key")


def test_every_kind_of_reference_needs_two_images(tmp_path):
    write_png(tmp_path / "one" / "1.png", torch.zeros(3, 4, 4, dtype=torch.uint8))
    pipeline = [dict(type="LoadImage"), dict(type="PackInputs")]
    dataset = dict(type="PairedImageDataset", root=str(tmp_path / "one"), image="{id}.png", conditions={})
    save_features(tmp_path / "real.npz", Reference(torch.zeros(1, 3)), "key", FACTS)
    for source in (tmp_path / "one", {**dataset, "pipeline": pipeline}, tmp_path / "real.npz"):
        with pytest.raises(DataError, match="found 1 images; expected 2 or more to compare with"):
            read_reference(source, features, "key")


@pytest.mark.parametrize(
    "content",
    [
        dict(header=np.array("[]"), features=np.zeros((3, 3))),
        dict(header=np.array("{"), features=np.zeros((3, 3))),
        dict(header=np.array('{"kind": "another"}'), features=np.zeros((3, 3))),
        dict(header=np.array('{"kind": "pitikit features 1", "extractor": "key", "sizes": {}}')),
        dict(
            header=np.array('{"kind": "pitikit features 1", "extractor": "key", "sizes": {}}'), features=np.zeros((3,))
        ),
    ],
)
def test_a_foreign_file_is_an_error(content, tmp_path):
    np.savez(tmp_path / "foreign.npz", **content)
    with pytest.raises(ValueError, match=r"foreign\.npz: expected an \.npz with 'features', or 'mu' and 'sigma'"):
        read_reference(tmp_path / "foreign.npz", features, "key")


def test_a_dataset_needs_images(folder):
    config = dict(type="PairedImageDataset", root=str(folder), image="{id}.png", conditions={})
    whole = {**config, "pipeline": [dict(type="LoadImage"), dict(type="PackInputs")]}
    assert read_reference(whole, features, "key").sizes == Counter({"8x8": 5, "6x6": 2})
