import h5py
import numpy as np
import pytest

from pitikit.data.errors import DataError
from pitikit.data.preparation.nyu import NYUDepth, class_table
from tests.data.preparation import downloads


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return downloads.nyu(tmp_path_factory.mktemp("nyu"))


def test_splits_count_from_1(root):
    assert [item.key for item in NYUDepth().find(root).items] == ["train/0001", "train/0002", "test/0003", "test/0004"]


def test_the_file_itself_as_the_source(root):
    assert len(NYUDepth().find(root / "nyu_depth_v2_labeled.mat").items) == 4


def test_arrays_are_transposed_and_lose_the_white_frame(root):
    item = NYUDepth().find(root).items[1]
    sample = NYUDepth().read(item)
    assert sample.image.shape == (426, 560, 3)
    # Row 45 and column 41 of the second image, neither rotated nor mirrored.
    assert sample.image[0, 0].tolist() == [45, 41, 1]
    assert sample.image[10, 20].tolist() == [55, 61, 1]
    assert sample.conditions["depth"][10, 0] == pytest.approx(1 + 55 / 240)
    assert set(sample.conditions) == {"depth", "normals", "mask"}


def test_labels_go_through_the_mapping(root):
    item = NYUDepth().find(root).items[0]
    mask = NYUDepth(crop=None).read(item).conditions["mask"]
    # Labels 0, 298, 596, 894; class (label - 1) % 40 of this mapping.
    assert mask[0, [0, 160, 320, 480]].tolist() == [255, 297 % 40, 595 % 40, 893 % 40]


def test_normals_are_those_of_the_plane(root):
    item = NYUDepth().find(root).items[0]
    sample = NYUDepth(crop=None, smooth=0).read(item)
    x, y, z = sample.conditions["normals"][240, 320]
    # Depth that grows downwards is a ceiling that comes nearer towards the top: the normal looks down.
    assert abs(x) < 0.02 and y < -0.3 and z > 0
    assert np.linalg.norm([x, y, z]) == pytest.approx(1, abs=1e-4)


def test_without_a_mapping_there_are_no_labels(root, tmp_path):
    for name in ("nyu_depth_v2_labeled.mat", "splits.mat"):
        (tmp_path / name).symlink_to(root / name)
    item = NYUDepth(normals=False).find(tmp_path).items[0]
    assert set(NYUDepth(normals=False).read(item).conditions) == {"depth"}


def test_a_mapping_that_is_an_html_page(root, tmp_path):
    for name in ("nyu_depth_v2_labeled.mat", "splits.mat"):
        (tmp_path / name).symlink_to(root / name)
    (tmp_path / "nyuv2_40class_mapping.mat").write_text("\n<!DOCTYPE html><html>404</html>")
    with pytest.raises(DataError, match="nyuv2_40class_mapping.mat: found an HTML page; expected a MATLAB file"):
        NYUDepth().find(tmp_path)


def test_a_mapping_that_begins_at_the_label_0(tmp_path):
    downloads.savemat(tmp_path / "x.mat", dict(mapping=np.arange(895)[None] % 41))
    table = class_table(tmp_path / "x.mat")
    assert len(table) == 895 and table[[0, 1, 40, 41, 42]].tolist() == [255, 0, 39, 255, 0]


def test_a_file_that_is_no_mapping(root):
    with pytest.raises(DataError, match="no list of classes 1 to 40"):
        class_table(root / "splits.mat")


def test_a_part_of_the_file(root, tmp_path):
    (tmp_path / "splits.mat").symlink_to(root / "splits.mat")
    data = (root / "nyu_depth_v2_labeled.mat").read_bytes()
    (tmp_path / "nyu_depth_v2_labeled.mat").write_bytes(data[:5000])
    with pytest.raises(DataError, match="a file that cannot be read.*version 7.3"):
        NYUDepth().find(tmp_path)


def test_files_in_folders_below(root, tmp_path):
    (tmp_path / "a").symlink_to(root)
    (tmp_path / "b.txt").touch()
    found = NYUDepth().find(tmp_path)
    assert len(found.items) == 4 and "mapping" in found.items[0].sources
    assert NYUDepth().read(found.items[0]).image.shape == (426, 560, 3)


@pytest.mark.parametrize("name", ["depths", "labels"])
def test_an_array_that_is_missing_or_cut_is_found_at_the_start(tmp_path, name):
    top = downloads.nyu(tmp_path, count=2)
    with h5py.File(top / "nyu_depth_v2_labeled.mat", "a") as file:
        one = file[name][:1]
        del file[name]
        file[name] = one
    with pytest.raises(DataError, match=rf"{name} of shape \(1, 640, 480\); expected \(2, 640, 480\)"):
        NYUDepth().find(top)
    with h5py.File(top / "nyu_depth_v2_labeled.mat", "a") as file:
        del file[name]
    with pytest.raises(DataError, match=f"{name} of shape None"):
        NYUDepth().find(top)


def test_a_download_that_is_packed(tmp_path):
    (tmp_path / "nyu.zip").touch()
    with pytest.raises(DataError, match="no nyu_depth_v2_labeled.mat.*unzip -q"):
        NYUDepth().find(tmp_path)


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(DataError, match="no nyu_depth_v2_labeled.mat"):
        NYUDepth().find(tmp_path)


def test_arrays_of_another_order(tmp_path, root):
    (tmp_path / "splits.mat").symlink_to(root / "splits.mat")
    with h5py.File(tmp_path / "nyu_depth_v2_labeled.mat", "w") as file:
        file["images"] = np.zeros((1, 480, 640, 3), np.uint8)
    with pytest.raises(DataError, match=r"images of shape \(1, 480, 640, 3\); expected \(N, 3, 640, 480\)"):
        NYUDepth().find(tmp_path)


def test_a_split_beyond_the_images(tmp_path):
    root = downloads.nyu(tmp_path, count=2)
    downloads.savemat(root / "splits.mat", dict(trainNdxs=np.array([[1], [3]]), testNdxs=np.array([[2]])))
    with pytest.raises(DataError, match="the number 3; expected 1 to 2"):
        NYUDepth().find(root)


def test_a_crop_that_leaves_the_image():
    with pytest.raises(ValueError, match="crop="):
        NYUDepth(crop=(0, 500, 0, 640))


def test_a_negative_radius():
    with pytest.raises(ValueError, match="smooth=-1; expected 0 or more"):
        NYUDepth(smooth=-1)
