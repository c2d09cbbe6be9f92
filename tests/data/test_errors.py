"""The error of a bad item: its one line, on every way."""

from pitikit.data.errors import DataError


def test_error_survives_the_way_from_a_worker():
    # torch makes an error anew from one text.
    assert str(DataError("item 'a': found b; expected c")) == "item 'a': found b; expected c"
