"""Path templates: the files that fit them, their partners, and the files that are passed over."""

import pytest

from pitikit.data.errors import DataError
from pitikit.data.listing import LEFTOVER, OTHER_KIND
from pitikit.data.templates import EXACT, OTHER_FORMAT, SAME_FORMAT, MemberFiles, Template, expand_template


def make(root, *names, **templates):
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return MemberFiles(root, templates or dict(image="images/{id}.jpg", mask="labels/{id}.png"))


def test_alternatives():
    assert expand_template("{id}.{a,b}") == ["{id}.a", "{id}.b"]
    for wrong in ("images/x.jpg", "{name}.jpg", "{id}/{id}.jpg"):
        with pytest.raises(ValueError, match="template"):
            expand_template(wrong)


@pytest.mark.parametrize(
    ("template", "member", "path", "match"),
    [
        ("images/{id}.jpg", "image", "images/a/1.jpg", (EXACT, "a/1")),
        ("images/{id}.jpg", "image", "images/1.JPEG", (SAME_FORMAT, "1")),
        ("images/{id}.jpg", "image", "images/1.webp", (OTHER_FORMAT, "1")),
        ("images/{id}.jpg", "image", "images/1.npy", None),
        ("depth/{id}.png", "depth", "depth/1.npy", (OTHER_FORMAT, "1")),
        ("images/{id}.*", "image", "images/1.GIF", (EXACT, "1")),
        ("images/{id}.*", "image", "images/1.txt", None),
        ("x/{id}_left.png", "image", "x/1_left.PNG", (SAME_FORMAT, "1")),
        ("x/{id}_left.png", "image", "x/1_right.png", None),
        ("x/{id}_left.png", "image", "x/_left.png", None),
        ("text/{id}.txt", "caption", "text/1.TXT", (SAME_FORMAT, "1")),
        ("text/{id}.txt", "caption", "text/1.png", None),
        ("{id}", "any", "a/1.png", (EXACT, "a/1.png")),
        ("{id}/rgb.png", "image", "1/rgb.PNG", (SAME_FORMAT, "1")),
    ],
)
def test_levels(template, member, path, match):
    assert Template(template, member).match(path) == match


def test_every_case_and_spelling_is_taken(tmp_path):
    names = [f"images/{n}" for n in ("1.jpg", "2.JPG", "3.jpeg", "4.Jpeg", "a/5.JPE")]
    files = make(tmp_path, *names, *(f"labels/{n}" for n in ("1.png", "2.PNG", "3.Png", "4.png", "a/5.png")))
    assert files.ids() == ["1", "2", "3", "4", "a/5"] and not files.passed
    assert [files.file("image", name) for name in files.ids()] == names
    assert files.file("mask", "2") == "labels/2.PNG" and files.file("mask", "3") == "labels/3.Png"
    assert files.file("mask", "9") is None


def test_another_format_is_taken_with_its_partners_beside_those_that_fit(tmp_path):
    files = make(tmp_path, "images/1.jpg", "images/2.png", "images/3.webp", "labels/1.png", "labels/2.tif")
    assert files.ids() == ["1", "2"]
    assert files.passed == {"of another format, and without partners": ["images/3.webp"]}
    assert files.file("mask", "2") == "labels/2.tif"


def test_of_several_files_of_an_id_the_nearest_is_taken(tmp_path):
    files = make(tmp_path, "images/1.jpg", "images/1.JPG", "images/1.png", "labels/1.png")
    assert files.ids() == ["1"] and files.file("image", "1") == "images/1.jpg"
    assert files.passed == {"beside another file of the same id": ["images/1.JPG", "images/1.png"]}


def test_files_of_other_members_are_neither_items_nor_passed_over(tmp_path):
    names = ("1.jpg", "1.png", "1.npy", "1_seg.png", "2.jpg", "2.npy")
    files = make(tmp_path, *names, image="{id}.jpg", mask="{id}.png", depth="{id}.npy")
    assert files.ids() == ["1", "2"]
    assert not files.passed
    # An image is no label map, where that is missing.
    assert files.file("mask", "2", ("2.jpg",)) is None and files.file("depth", "2") == "2.npy"


def test_images_alone_keep_to_the_format_of_the_template(tmp_path):
    files = make(tmp_path, "1.jpg", "1_seg.png", "notes.txt", "._1.jpg", image="{id}.jpg")
    assert files.ids() == ["1"]
    reason = "of another format (the template '{id}.*' takes all)"
    assert files.passed == {LEFTOVER: ["._1.jpg"], OTHER_KIND: ["notes.txt"], reason: ["1_seg.png"]}
    every = make(tmp_path, image="{id}.*")
    assert every.ids() == ["1", "1_seg"]


def test_names_that_do_not_fit_are_passed_over(tmp_path):
    files = make(tmp_path, "x/1_left.png", "x/1_right.png", image="x/{id}_left.png")
    assert files.ids() == ["1"] and files.passed == {"of a name that the template does not fit": ["x/1_right.png"]}


def test_two_alternatives_of_one_id_are_named(tmp_path):
    files = make(tmp_path, "1.jpg", "1.png", image="{id}.{jpg,png}")
    with pytest.raises(DataError, match=r"'1'.*the id twice, 1\.jpg and 1\.png"):
        files.ids()


def test_no_file_that_fits_is_an_error_with_what_is_there(tmp_path):
    files = make(tmp_path, "images/1.png", "images/2.txt", "labels/1.png")
    with pytest.raises(DataError, match=r"no file; .*images/\{id\}\.jpg.*2 files passed over.*images/1\.png") as error:
        files.ids()
    assert "the template 'images/{id}.*' takes all" in str(error.value)
    with pytest.raises(DataError, match="No such file or directory"):
        make(tmp_path, image="absent/{id}.jpg").ids()


def test_a_name_in_another_case_is_a_partner_unless_two_items_differ_in_case_alone(tmp_path):
    files = make(tmp_path, "images/A.jpg", "images/b.jpg", "images/B.jpg", "labels/a.png", "labels/B.png")
    assert files.ids() == ["A", "B", "b"]
    assert files.file("mask", "A") == "labels/a.png"
    assert files.file("mask", "B") == "labels/B.png" and files.file("mask", "b") is None


def test_alternatives_in_several_folders_are_walked_once(tmp_path):
    files = make(tmp_path, "a/1.jpg", "a/b/2.png", "a/b/3.txt", image="a/{id}.{jpg,png}")
    assert files.ids() == ["1", "b/2"] and files.passed == {OTHER_KIND: ["a/b/3.txt"]}


def test_a_file_belongs_to_the_member_whose_template_has_more_of_it(tmp_path):
    names = ("1.png", "1_mask.png", "depth/1.png", "2_mask.PNG", "2.png", "depth/2.png")
    files = make(tmp_path, *names, image="{id}.png", mask="{id}_mask.png", depth="depth/{id}.png")
    assert files.ids() == ["1", "2"] and not files.passed
    # Members may share their files.
    assert make(tmp_path, image="depth/{id}.png", depth="depth/{id}.png").ids() == ["1", "2"]
