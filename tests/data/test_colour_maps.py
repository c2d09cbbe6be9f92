import json

import numpy as np
import pytest
from PIL import Image

from pitikit.data.colour_maps import ColouredMap, ColourTable, colour_table, majority, read_coloured
from pitikit.data.errors import DataError

RED, GREEN, GREY = (200, 0, 0), (0, 200, 0), (128, 128, 128)
TABLE = ColourTable((RED, GREEN, GREY), (0, 1, 2), ("red", "green", "grey"))


def image(*columns, height=8):
    return np.tile(np.array(columns, np.uint8), (height, 1, 1))


def test_exact_colours():
    assert TABLE.exact(image(GREY, RED, GREEN))[0].tolist() == [2, 0, 1]


def test_an_unknown_colour_is_named():
    with pytest.raises(DataError, match=r"1 colours that the table lacks, most often \(1, 2, 3\) \(8 pixels\)"):
        TABLE.exact(image(RED, (1, 2, 3)))


def test_several_colours_of_one_id():
    table = ColourTable((RED, GREEN), (5, 5))
    assert (table.exact(image(RED, GREEN)) == 5).all()


def test_nearest_colours_of_a_jpeg(tmp_path):
    colours = image(*[RED] * 13, *[GREEN] * 19, height=32)
    Image.fromarray(colours).save(tmp_path / "x.jpg", quality=60)
    given = read_coloured(tmp_path / "x.jpg")
    assert given.lossy == "JPEG"
    ids = TABLE.ids_of(given)
    assert set(ids.ravel().tolist()) == {0, 1}
    assert (ids == np.where(np.arange(32) < 13, 0, 1)).mean() > 0.98


def test_a_photograph_is_no_coloured_map(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    with pytest.raises(DataError, match="this looks like a photograph"):
        TABLE.nearest(noise)


def test_greys_alone_that_were_optimised_are_colours(tmp_path):
    Image.fromarray(np.full((4, 4), 128, np.uint8)).save(tmp_path / "x.png")
    assert (TABLE.ids_of(read_coloured(tmp_path / "x.png")) == 2).all()


def test_ids_stay_ids(tmp_path):
    Image.fromarray(np.full((4, 4), 1, np.uint8)).save(tmp_path / "x.png")
    assert (TABLE.ids_of(read_coloured(tmp_path / "x.png")) == 1).all()
    np.save(tmp_path / "x.npy", np.full((4, 4), 2))
    assert (TABLE.ids_of(read_coloured(tmp_path / "x.npy")) == 2).all()


def test_a_palette_counts_by_its_colours(tmp_path):
    indexed = Image.fromarray(image(GREEN, RED)).quantize(4)
    indexed.save(tmp_path / "x.png")
    assert TABLE.ids_of(read_coloured(tmp_path / "x.png"))[0].tolist() == [1, 0]


def test_the_most_frequent_id_and_ties():
    ids = np.zeros((7, 7), np.uint8)
    ids[3, 3] = 9
    assert majority(ids, 1)[3, 3] == 0 and majority(ids, 0)[3, 3] == 9
    halves = np.repeat([[4, 4, 8, 8]], 4, axis=0).astype(np.uint8)
    assert (majority(halves, 1) == halves).all()
    # A fringe of one column between two areas goes.
    fringe = np.repeat([[4, 4, 4, 6, 8, 8, 8]], 7, axis=0).astype(np.uint16)
    assert 6 not in majority(fringe, 2)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", json.dumps([RED, GREEN])),
        ("b.json", json.dumps({"red": RED, "green": GREEN})),
        ("c.json", json.dumps({"classes": ["red", "green"], "colours": [RED, GREEN], "ignore": 255})),
        ("d.txt", "200 0 0\tred\n0 200 0\t\tgreen\n"),
        ("e.csv", "name,r,g,b\nred,200,0,0\ngreen,0,200,0\n"),
        ("f.csv", "id,r,g,b,name\n0,200,0,0,red\n1,0,200,0,green\n"),
        ("g.txt", "# r g b name\n0 200 0 0 red\n\n# the second\n1 0 200 0 green\n"),
        ("h.txt", "red 200 0 0\ngreen 0 200 0\n"),
        ("i.csv", "id,name,r,g,b\n0,red,200,0,0\n1,green,0,200,0\n"),
    ],
)
def test_tables_in_files(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    table = colour_table(tmp_path / name)
    assert table.colours == (RED, GREEN) and table.ids == (0, 1)
    assert table.names in ((), ("red", "green"))


def test_numbers_in_names_are_no_colours(tmp_path):
    (tmp_path / "x.txt").write_text("200 0 0 class 2\n0 200 0 class 11 b\nclass 3 1 2 3\n")
    table = colour_table(tmp_path / "x.txt")
    assert table.colours == (RED, GREEN, (1, 2, 3))
    # The numbers of the last line could be an id and a colour as well.
    assert table.names[:2] == ("class 2", "class 11 b") and table.names[2].startswith("class")


def test_greys_of_a_palette_count_as_grey_values(tmp_path):
    # As a lossless optimiser stores them: colours where the table has them, otherwise ids.
    for greys, expected in (((128, 128), [2, 2]), ((1, 2), [1, 2])):
        indexed = Image.fromarray(np.array([[0, 1]], np.uint8), "P")
        indexed.putpalette([value for grey in greys for value in (grey, grey, grey)])
        indexed.save(tmp_path / "x.png")
        assert TABLE.ids_of(read_coloured(tmp_path / "x.png"))[0].tolist() == expected


def test_a_table_of_a_palette(tmp_path):
    indexed = Image.new("P", (2, 2))
    indexed.putpalette([*RED, *GREEN])
    indexed.save(tmp_path / "x.png")
    table = colour_table(tmp_path / "x.png")
    assert table.exact(image(GREEN, RED))[0].tolist() == [1, 0]


def test_known_tables_by_name():
    assert colour_table("camvid32").names[21] == "Sky" and colour_table("camvid32").colours[21] == GREY
    with pytest.raises(ValueError, match="did you mean 'camvid11'"):
        colour_table("camvid1")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([[1, 2]], r"expected a list of \[r, g, b\]"),
        ([RED, RED], "twice, expected each once"),
        ([[1, 2, 300]], "of 0 to 255"),
        ([], "expected one or more"),
    ],
)
def test_what_is_no_table(given, message):
    with pytest.raises(ValueError, match=message):
        colour_table(given)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{", "no JSON"),
        ("a.json", "3", "a int"),
        ("a.txt", "nothing\n", "no colour"),
        ("a.txt", "1 2 3 x\ny\n", "the line"),
        ("a.txt", "1 2 300 x\n", r"a.txt: got the colour \(1, 2, 300\), expected .* of 0 to 255"),
    ],
)
def test_files_that_are_no_table(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        colour_table(tmp_path / name)


def test_a_missing_table(tmp_path):
    with pytest.raises(DataError, match="cannot be read"):
        colour_table(tmp_path / "x.txt")
    Image.new("RGB", (2, 2)).save(tmp_path / "x.png")
    with pytest.raises(DataError, match="an image without a palette"):
        colour_table(tmp_path / "x.png")


def test_more_than_8_bits(tmp_path):
    import cv2

    cv2.imwrite(str(tmp_path / "x.png"), np.zeros((4, 4, 3), np.uint16))
    with pytest.raises(DataError, match="colours of 16 bits"):
        read_coloured(tmp_path / "x.png")


def test_a_map_in_memory():
    assert TABLE.ids_of(ColouredMap(image(RED), "JPEG"), radius=0)[0].tolist() == [0]
