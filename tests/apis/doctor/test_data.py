"""Variables of the environment and the folders that they name."""

import pytest

from pitikit.apis.doctor.data import look, named_folders


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory, no variable set."""
    monkeypatch.chdir(tmp_path)
    for name in ("PITIKIT_DATA", "PITIKIT_BPE", "PITIKIT_CACHE", "PITIKIT_MAX_PIXELS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def found():
    return {each.name: each for each in look()}


def test_the_variables_are_those_of_the_configs():
    folders = named_folders()
    assert set(folders) >= {"PITIKIT_DATA", "PITIKIT_BPE"} and folders["PITIKIT_DATA"][0] == "data"
    assert {"camvid256", "nyuv2_256"} <= set(folders["PITIKIT_DATA"][1])


def test_without_any_all_are_notes(folder):
    listed = found()
    assert listed["PITIKIT_DATA"].status == "note" and str(folder / "data") in listed["PITIKIT_DATA"].text
    assert not [each for each in listed.values() if each.status == "fault"] and "camvid256" not in listed


def test_the_folders_of_datasets_are_looked_for(folder, monkeypatch):
    (folder / "mine" / "camvid256").mkdir(parents=True)
    monkeypatch.setenv("PITIKIT_DATA", "mine")
    listed = found()
    assert listed["PITIKIT_DATA"].status == listed["camvid256"].status == "ok"
    assert listed["nyuv2_256"].status == "note" and "mine/nyuv2_256 is not there" in listed["nyuv2_256"].text


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("PITIKIT_DATA", "absent", "got 'absent', expected a folder"),
        ("PITIKIT_MAX_PIXELS", "many", "got 'many', expected a number of pixels"),
        ("PITIKIT_CACHE", "file", "got 'file', expected a folder"),
        ("PITIKIT_BPE", "empty", "encoder.json"),
    ],
)
def test_a_variable_that_leads_nowhere_is_a_fault(folder, monkeypatch, name, value, words):
    (folder / "file").touch()
    (folder / "empty").mkdir()
    monkeypatch.setenv(name, value)
    assert found()[name].status == "fault" and words in found()[name].text


def test_a_misspelt_variable_is_noted(folder, monkeypatch):
    monkeypatch.setenv("PITIKIT_WEIGTHS", "weights")
    assert found()["PITIKIT_WEIGTHS"].status == "note"
    assert found()["PITIKIT_WEIGTHS"].remedy == "did you mean 'PITIKIT_WEIGHTS'?"
