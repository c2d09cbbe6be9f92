"""Where a path leads: as given, beside the config, to what ships, to PITIKIT_WEIGHTS."""

from pathlib import Path

import pytest

from pitikit import resources
from pitikit.resources import find, find_weights, looked_for_weights, weight_places


@pytest.fixture
def places(tmp_path, monkeypatch):
    """The working directory, the folder of a config, the root of what ships and PITIKIT_WEIGHTS; all empty."""
    made = [tmp_path / name for name in ("here", "beside", "root", "folder")]
    for place in made:
        place.mkdir()
    monkeypatch.chdir(made[0])
    monkeypatch.setattr(resources, "ROOT", made[2])
    monkeypatch.setenv("PITIKIT_WEIGHTS", str(made[3]))
    return made


def write(path):
    path.parent.mkdir(exist_ok=True)
    path.touch()
    return path


def test_root_is_the_clone(repo):
    assert resources.ROOT == repo


def test_given_then_beside_then_shipped(places):
    here, beside, root, _ = places
    path = "configs/a.py"
    assert find(path, beside) == Path(path)
    shipped = write(root / path)
    assert find(path, beside) == find(path) == shipped and find("configs") == root / "configs"
    assert find(path, write(beside / path).parents[1]) == beside / path
    write(here / path)
    assert find(path, beside).resolve() == here / path


@pytest.mark.parametrize("path", ["tests/a.py", "a.py", "../configs/a.py", "", "."])
def test_only_configs_and_weights_are_looked_for_among_what_ships(places, path):
    root = places[2]
    write(root / "tests" / "a.py")
    write(root / "a.py")
    write(root / "configs" / "a.py")
    assert find(path) == Path(path)


def test_weights_in_their_order(places, monkeypatch):
    here, _, root, folder = places
    assert find_weights("weights/a.bin") is None and find_weights("a.bin") is None
    shipped = write(root / "weights" / "a.bin")
    assert find_weights("weights/a.bin") == find_weights("a.bin") == shipped
    own = write(folder / "a.bin")
    assert find_weights("a.bin") == own and find_weights("weights/a.bin") == shipped
    shipped.unlink()
    assert find_weights("weights/a.bin") == own
    monkeypatch.delenv("PITIKIT_WEIGHTS")
    assert find_weights("weights/a.bin") is None
    write(here / "weights" / "a.bin")
    assert find_weights("a.bin").resolve() == here / "weights" / "a.bin"
    write(here / "a.bin")
    assert find_weights("a.bin").resolve() == here / "a.bin"
    assert find_weights(own) == own


def test_a_misspelt_folder_never_leads_to_weights_of_the_same_name(places):
    write(places[2] / "weights" / "a.bin")
    write(places[3] / "a.bin")
    assert find_weights("work_dirs/run/a.bin") is None
    assert find_weights("weights") is None


def test_a_path_of_the_package_is_no_other(places):
    here, beside, root, folder = places
    for place in (here, beside):
        write(place / "configs" / "a.py")
        write(place / "a.bin")
    write(folder / "a.bin")
    assert find("pitikit::configs/a.py", beside) == root / "configs" / "a.py"
    assert find_weights("pitikit::a.bin", beside) is None and find_weights("pitikit::weights/a.bin") is None
    assert find_weights("pitikit::weights/a.bin") is None
    shipped = write(root / "weights" / "a.bin")
    assert find_weights("pitikit::weights/a.bin") == shipped


def test_weights_beside_a_config(places):
    here, beside, root, folder = places
    write(folder / "a.bin")
    mine = write(beside / "a.bin")
    assert find_weights("a.bin", beside) == mine and find_weights("a.bin") == folder / "a.bin"
    write(here / "a.bin")
    assert find_weights("a.bin", beside) == Path("a.bin")


def test_every_place_is_named(places, monkeypatch):
    here, beside, root, folder = places
    expected = [Path("a.bin"), beside / "a.bin", folder / "a.bin", Path("weights/a.bin"), root / "weights/a.bin"]
    assert weight_places("a.bin", beside) == expected
    assert looked_for_weights("a.bin", beside) == "looked for " + ", ".join(map(str, expected))
    assert weight_places("weights/a.bin") == [Path("weights/a.bin"), root / "weights/a.bin", folder / "a.bin"]
    assert weight_places("run/a.bin", beside) == [Path("run/a.bin"), beside / "run/a.bin"]
    # Empty means not set: never the working directory by another name.
    monkeypatch.setenv("PITIKIT_WEIGHTS", "")
    assert looked_for_weights("run/a.bin") == "looked for run/a.bin; PITIKIT_WEIGHTS names no folder"
    assert weight_places("weights/a.bin") == [Path("weights/a.bin"), root / "weights/a.bin"]
