import pytest

from pitikit.data.class_tables import COCO_STUFF_182, COCO_STUFF_ABSENT, TABLES

COUNTS = dict(ade20k=150, camvid11=11, camvid32=32, cityscapes19=19, cocostuff=182, facades=12, nyu40=40)


@pytest.mark.parametrize(("name", "count"), COUNTS.items())
def test_every_class_has_a_name_and_every_or_no_class_a_colour(name, count):
    table = TABLES[name]
    assert len(table.names) == count == len(set(table.names))
    assert len(table.colours) in (0, count)


def test_no_table_is_left_out():
    assert TABLES.keys() == COUNTS.keys()


def test_names_and_ids_belong_together():
    assert TABLES["ade20k"].names[0] == "wall" and TABLES["ade20k"].names[149] == "flag"
    assert TABLES["ade20k"].colours[2] == (6, 230, 230)  # sky
    assert TABLES["camvid32"].names.index("Void") == 30 and TABLES["camvid32"].colours[30] == (0, 0, 0)
    assert TABLES["cityscapes19"].colours[10] == (70, 130, 180)
    assert [COCO_STUFF_182.names[each] for each in (11, 82, 90)] == ["street sign", "blender", "hair brush"]
    assert 182 - len(COCO_STUFF_ABSENT) == 171
