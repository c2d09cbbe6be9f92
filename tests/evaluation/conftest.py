"""Weights that several tests need."""

import pytest

from pitikit.evaluation.inception import FILE_NAME, find_inception


@pytest.fixture(scope="module")
def inception(request):
    path = find_inception()
    if path is None:
        path = request.getfixturevalue("shared") / "weights" / FILE_NAME
    if not path.is_file():
        pytest.skip(f"no {FILE_NAME}: name its folder in PITIKIT_WEIGHTS")
    return path
