"""Conditions of another kind than the model was trained on."""

import numpy as np
import pytest
from PIL import Image

from pitikit.apis.input_kinds import check_kind
from pitikit.apis.inputs import ConditionReader
from pitikit.data.errors import DataError
from pitikit.data.transforms import LoadMask, LoadNormals, LoadSketch

SKETCH = np.zeros((32, 32), np.uint8)
SKETCH[16] = SKETCH[:, 5] = 255


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


@pytest.mark.parametrize(
    ("loader", "sources", "words"),
    [
        (LoadMask(22), dict(mask=SKETCH), "thin lines of 255 on 0.*this looks like a sketch"),
        (LoadSketch(), dict(sketch=SKETCH // 64), "values up to 3.*this looks like a label map"),
        (LoadNormals(), dict(normals=np.full((8, 8, 3), 0.9)), "vectors of length 1.56.*this looks like a photograph"),
        (LoadNormals(), dict(normals=np.full((8, 8, 3), np.nan)), "no valid normal"),
        (LoadNormals(), dict(normals=np.full((8, 8, 3), 128, np.uint8)), "no valid normal"),
    ],
)
def test_another_kind_is_named(loader, sources, words):
    with pytest.raises(DataError, match=f"item 'a7': .*{words}"):
        check_kind(loader, dict(id="a7", sources=sources))


def test_what_only_looks_like_another_kind_passes():
    for loader, sources in (
        # Two classes may be a crack and what is around it.
        (LoadMask(2), dict(mask=SKETCH // 255)),
        (LoadMask(22), dict(mask=np.kron(np.eye(2, dtype=np.uint8) * 255, np.ones((16, 16), np.uint8)))),
        (LoadSketch(invert=True), dict(sketch=SKETCH // 64)),
        (LoadNormals(derive=True), dict(depth=np.ones((8, 8)))),
        # Most of it is invalid, as around the object of a scan.
        (LoadNormals(), dict(normals=np.dstack([np.zeros((32, 32))] * 2 + [SKETCH > 0]))),
        (LoadNormals(), dict(normals=np.where(SKETCH[..., None] > 0, (0.0, 0.6, 0.8), np.nan))),
    ):
        check_kind(loader, dict(id="a7", sources=sources))


def test_thin_lines_of_a_class_are_no_sketch():
    """Cracks, as 0 and 255, for a model to which 255 is a class."""
    binary = LoadMask(2, ignore=(), id_map={0: 0, 255: 1})
    check_kind(binary, dict(id="a", sources=dict(mask=SKETCH)))
    with pytest.raises(DataError, match="looks like a sketch.*for a binary mask see LoadMask's id_map"):
        check_kind(LoadMask(2), dict(id="a", sources=dict(mask=SKETCH)))
