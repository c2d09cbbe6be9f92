"""Maps from the ids of files to classes."""

import pytest

from pitikit.data.id_maps import ID_MAPS, id_map_of


def test_cityscapes_has_its_19_classes():
    found = id_map_of("cityscapes19", 19)
    assert sorted(found) == list(range(-1, 34))
    classes = {label: train for label, train in found.items() if train != 255}
    assert [*classes.values()] == list(range(19))
    # road, sky, person, car, train, bicycle; caravan, trailer and licence plate are none.
    assert [found[label] for label in (7, 23, 24, 26, 31, 33)] == [0, 10, 11, 13, 16, 18]
    assert {found[label] for label in (-1, 0, 3, 29, 30)} == {255}


def test_keys_may_be_texts_as_in_json():
    assert id_map_of({"7": 0, -1: "255"}, 2) == {7: 0, -1: 255}


@pytest.mark.parametrize("name", ID_MAPS)
def test_a_misspelt_name_is_corrected(name):
    with pytest.raises(ValueError, match=f"id_map='{name[:-1]}'; expected a map.*did you mean '{name}'"):
        id_map_of(name[:-1], 19)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "expected {id: class}"),
        ({7: 0.5}, "of whole numbers"),
        ({"road": 0}, "of whole numbers"),
        ({7: None}, "of whole numbers"),
        ({7: 0, "7": 1}, "each id once"),
        ({7: 3, 8: 0, 9: -1}, r"classes -1, 3; expected 0 to 2 \(num_classes=3\), or 255"),
        ("cityscapes19", r"classes 3, 4, 5, 6, 7, …; expected 0 to 2"),
    ],
)
def test_maps_that_are_wrong(given, words):
    with pytest.raises(ValueError, match=words):
        id_map_of(given, 3)


def test_a_map_in_a_file(tmp_path):
    path = tmp_path / "id_map.json"
    path.write_text('{"7": 0, "300": 255}')
    assert id_map_of(str(path), 3) == {7: 0, 300: 255}
    path.write_text("[1]")
    with pytest.raises(ValueError, match="got a list, expected {id: class}"):
        id_map_of(str(path), 3)
    with pytest.raises(ValueError, match="got no JSON"):
        id_map_of(str(tmp_path / "other.json"), 3)
