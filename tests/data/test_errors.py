"""The error of a bad item: its one line, on every way."""

from pitikit.data.errors import DataError


def test_error_survives_the_way_from_a_worker():
    # torch makes an error anew from one text.
    assert str(DataError("item 'a': found b; expected c")) == "item 'a': found b; expected c"


def test_all_that_is_known_is_in_the_line():
    error = DataError("2 channels", "3", "convert it", "a.png")
    assert str(error) == "a.png: found 2 channels; expected 3. convert it"
    error.item = "a7"
    assert str(error) == "item 'a7' (a.png): found 2 channels; expected 3. convert it"
    assert str(DataError("2 channels", "3")) == "found 2 channels; expected 3"
