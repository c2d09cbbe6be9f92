"""Results on the disk: their names, and what is never written over."""

import numpy as np
import pytest
from PIL import Image

from pitikit.data.errors import DataError


def test_write(translators, files, tmp_path, scene):
    mask = translators["mask"]
    out = tmp_path / "out"
    (path,) = mask.write(files["mask"], out)
    assert path == out / "five.png"
    assert np.array_equal(np.asarray(Image.open(path)), mask(files["mask"])[0, 0])
    assert [p.name for p in mask.write(files["mask"], out, samples=2)] == [
        "five_0.png",
        "five_1.png",
    ]
    assert sorted(p.name for p in out.iterdir()) == ["five.png", "five_0.png", "five_1.png"]


def test_write_refuses_to_overwrite(translators, files, tmp_path):
    mask = translators["mask"]
    twin = tmp_path / "twin" / "five.png"
    twin.parent.mkdir()
    twin.write_bytes(files["mask"].read_bytes())
    with pytest.raises(ValueError, match="both be written to"):
        mask.write([files["mask"], twin], tmp_path / "out", ids=["five", "five"])
    with pytest.raises(ValueError, match="is an input"):
        mask.write(files["mask"], files["mask"].parent)
    with pytest.raises(DataError, match="no such file"):
        mask.write([files["mask"], tmp_path / "absent.png"], tmp_path / "out")
    with pytest.raises(ValueError, match="a folder to write to"):
        mask.write(files["mask"], twin)
    assert not (tmp_path / "out").exists()


def test_files_of_one_name_go_to_the_names_of_their_folders(translators, files, tmp_path):
    twin = tmp_path / "twin" / "five.png"
    twin.parent.mkdir()
    twin.write_bytes(files["mask"].read_bytes())
    written = translators["mask"].write([files["mask"], twin], tmp_path / "out")
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in written) == [
        "mask/five.png",
        "twin/five.png",
    ]


def test_where_nothing_can_be_written_is_told_before_the_sampling(translators, files, tmp_path):
    mask = translators["mask"]
    for wrong in (files["photo"] / "out" / "deep", tmp_path / "new" / ("x" * 300)):
        with pytest.raises(OSError, match="results cannot be written there"):
            mask.write(files["mask"], wrong)
    assert not (tmp_path / "new").exists()
    (tmp_path / "five.png").mkdir()
    for overwrite in (False, True):
        with pytest.raises(ValueError, match=r"five\.png: found a folder"):
            mask.write(files["mask"], tmp_path, overwrite=overwrite)


def test_results_are_not_replaced_unasked(translators, files, tmp_path):
    mask = translators["mask"]
    out = tmp_path / "out"
    list(mask.write(files["mask"], out, samples=2))
    before = (out / "five_1.png").read_bytes()
    with pytest.raises(FileExistsError, match=r"five_0.png and 1 more: exists already"):
        mask.write(files["mask"], out, seed=7, samples=2)
    assert (out / "five_1.png").read_bytes() == before
    list(mask.write(files["mask"], out, seed=7, samples=2, overwrite=True))
    assert (out / "five_1.png").read_bytes() != before
