import warnings

import numpy as np
import pytest

from pitikit.networks.tokenizers import MOST_WARNINGS, WordTokenizer
from pitikit.registry import TOKENIZERS


def test_words_become_ids_padded_with_minus_one():
    tokenizer = TOKENIZERS.build(dict(type="WordTokenizer", words=["red", "house", "by"]))
    assert len(tokenizer) == 4
    ids = tokenizer("Red HOUSE\tnear", 5)
    assert ids.dtype == np.int64
    assert ids.tolist() == [0, 1, 3, -1, -1]


def test_a_long_text_is_cut_and_an_empty_one_is_padding():
    tokenizer = WordTokenizer(["a", "b"])
    assert tokenizer("a b a b", 3).tolist() == [0, 1, 0]
    assert tokenizer("", 2).tolist() == [-1, -1]


def test_words_from_a_file_and_from_a_module(tmp_path):
    path = tmp_path / "words.txt"
    path.write_text("red\nhouse\n\n")
    assert WordTokenizer(str(path)).words == ["red", "house"]
    found = WordTokenizer("pitikit.scenes.world:VOCABULARY")
    assert len(found) > 40
    assert "house" in found.words


@pytest.mark.parametrize(
    ("words", "error", "text"),
    [
        ([], ValueError, "at least one"),
        (["red", "Red"], ValueError, "red"),
        (["red house"], ValueError, "red house"),
        ([""], ValueError, "not one word"),
        ("no/such/file.txt", FileNotFoundError, "no/such/file.txt"),
        ("pitikit.registry:NOTHING", ImportError, "NOTHING"),
        ("pitikit.nowhere:WORDS", ImportError, "pitikit.nowhere"),
        ("pitikit.registry:SCOPE", ImportError, "str"),
    ],
)
def test_a_bad_vocabulary_is_named(words, error, text):
    with pytest.raises(error, match=text):
        WordTokenizer(words)


def test_unknown_words_are_warned_of_once_each():
    tokenizer = WordTokenizer(["grass", "sky", "hill"])
    with pytest.warns(UserWarning, match=r"'gras' \(did you mean 'grass'\?\)") as caught:
        assert tokenizer.encode("sky Gras gras zebra") == [1, 3, 3, 3]
    assert len(caught) == 2 and "'zebra' (known: grass, hill, sky)" in str(caught[1].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tokenizer.encode("gras zebra grass")
    assert tokenizer.unknown("Gras sky gras") == ["gras"]


def test_a_vocabulary_of_another_language_does_not_flood_the_terminal():
    tokenizer = WordTokenizer(["grass"])
    with pytest.warns(UserWarning) as caught:
        tokenizer.encode(" ".join(f"mot{n}" for n in range(1000)))
    assert len(caught) == MOST_WARNINGS and "no more" in str(caught[-1].message)
