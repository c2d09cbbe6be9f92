"""The command line of tools/translate.py and tools/edit.py."""

import pytest

from pitikit.apis.translation_command import make_translation_parser, read_named, write_translations


def read(*arguments):
    return make_translation_parser("Help.", "a file", "--image IMAGE ").parse_intermixed_args(list(arguments))


def test_options_may_stand_between_the_weights_and_the_input():
    given = read("a.py", "b.pth", "--out", "made", "--steps", "3", "c.png")
    assert (given.config, given.others, given.steps, given.samples) == ("a.py", ["b.pth", "c.png"], "3", 1)


def test_the_usage_has_what_is_required():
    text = make_translation_parser("Help.", "a file", "--image IMAGE ").format_help()
    assert "INPUT [INPUT ...] --image IMAGE --out DIR [OPTION ...]" in text
    assert "a file; before the first one CHECKPOINT" in " ".join(text.split())


def test_no_input_and_a_value_given_twice_are_refused(repo, tmp_path):
    config = str(repo / "tests" / "configs" / "tiny.py")
    with pytest.raises(ValueError, match="got no INPUT, expected a file or folder after it"):
        write_translations(read(config, "random", "--out", str(tmp_path / "out")))
    twice = read(config, "random", "a.png", "--out", "o", "--seed", "1", "--cfg-options", "model.seed=2")
    with pytest.raises(ValueError, match="seed=1: got model.seed=2 in the options"):
        write_translations(twice)


def test_numbers_by_name():
    given = read("a.py", "b.pth", "c.png", "--out", "o", "--weights", "mask=1", "sketch=-0.5", "--intervals", "a=0,.5")
    assert read_named("--weights", given.weights, 1) == {"mask": 1.0, "sketch": -0.5}
    assert read_named("--intervals", given.intervals, 2) == {"a": (0.0, 0.5)}
    assert read_named("--weights", None, 1) is None
    for texts, count in (["mask"], 1), (["mask=a"], 1), (["=1"], 1), (["a=1,2"], 1), (["a=1"], 2), (["a=1", "a=2"], 1):
        with pytest.raises(ValueError, match=r"--some: got '.*', expected NAME=.*, each name once"):
            read_named("--some", texts, count)
