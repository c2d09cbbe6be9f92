"""Conditions of another kind than the model was trained on."""

import numpy as np
import pytest
from PIL import Image

from pitikit.apis.inputs import ConditionReader
from pitikit.data.errors import DataError


def text_reader():
    words = dict(type="WordTokenizer", words="pitikit.scenes:VOCABULARY")
    return ConditionReader([dict(type="LoadCaption", tokenizer=words), dict(type="PackInputs")])


def test_texts_that_would_not_be_understood_are_refused(tmp_path):
    reader = text_reader()
    path = tmp_path / "two.txt"
    path.write_text("day cler\n gras")
    for given in (path, path.read_text()):
        with pytest.raises(DataError, match=r"'cler' \(did you mean 'clear'") as caught:
            reader.read(reader.find(given)[0])
        assert "'gras' (did you mean 'grass'" in str(caught.value)
        assert (str(path) in str(caught.value)) == (given is path)
    with pytest.raises(DataError, match="give a file as pathlib.Path"):
        reader.read(reader.find(str(path))[0])
    for given in (np.zeros((4, 4), np.uint8), Image.new("L", (4, 4)), 5):
        with pytest.raises(DataError, match="a text, or the pathlib.Path of a text file"):
            reader.find(given)
    (tmp_path / "image.txt").write_bytes(b"\x89PNG")
    with pytest.raises(DataError, match="UTF-8"):
        reader.read(reader.find(tmp_path / "image.txt")[0])
