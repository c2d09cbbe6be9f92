"""Tokenizers: from a caption to the token ids that a text encoder embeds.

A tokenizer is ``tokenizer(text, length) -> (length,) int64``, padded with :data:`PADDING`, and
``len(tokenizer)`` is the number of its ids.
"""

from __future__ import annotations

import importlib
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from pitikit.arguments import nearest
from pitikit.registry import TOKENIZERS

PADDING = -1
"""Fills a text up to the wanted length; the text encoder has an embedding of its own for it."""
# A vocabulary that does not fit the captions at all would name thousands.
MOST_WARNINGS = 20


class Tokenizer(ABC):
    """The interface of a tokenizer."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of ids: the size of the embedding table."""

    @abstractmethod
    def encode(self, text: str) -> list[int]:
        """Ids of the whole text."""

    def unknown(self, text: str) -> list[str]:
        """Words of ``text`` that have no id, each once; none where every text can be spelt."""
        return []

    def hint(self, word: str) -> str:
        """An unknown word as messages name it, with what may have been meant."""
        return repr(word)

    def __call__(self, text: str, length: int) -> np.ndarray:
        """Ids of ``text``, cut or padded with -1 to (length,) int64."""
        ids = self.encode(text)[:length]
        return np.array(ids + [PADDING] * (length - len(ids)), dtype=np.int64)


@TOKENIZERS.register_module()
class WordTokenizer(Tokenizer):
    """One id a word, for captions of a small closed vocabulary; the last id is the unknown word.

    The text is lower-cased and split at white space. An unknown word is warned of, once each.

    Args:
        words: the vocabulary in the order of its ids; or a text file with one word a line; or
            the name of such a list in a module, as ``'package.module:NAME'``.

    Raises:
        FileNotFoundError, ImportError: ``words`` names no file and no list of a module.
        ValueError: the vocabulary is empty, or a word is empty, listed twice, or has white space.
    """

    def __init__(self, words: Sequence[str] | str) -> None:
        listed = _read_words(words) if isinstance(words, str | Path) else words
        self.words = [str(word).lower() for word in listed]
        if not self.words:
            raise ValueError(f"words={words!r}: expected at least one word, found none")
        for word in self.words:
            if word.split() != [word]:
                raise ValueError(f"words: {word!r} is not one word: remove it or its white space")
        self._warned: set[str] = set()
        self._ids = {word: index for index, word in enumerate(self.words)}
        if len(self._ids) != len(self.words):
            twice = sorted({word for word in self.words if self.words.count(word) > 1})
            raise ValueError(f"words: listed twice, case aside: {', '.join(twice[:5])}")

    def __len__(self) -> int:
        """Number of words, and one for the unknown."""
        return len(self.words) + 1

    def encode(self, text: str) -> list[int]:
        """Ids of the words of ``text``."""
        for word in self.unknown(text):
            self._warn(word)
        return [self._ids.get(word, len(self.words)) for word in text.lower().split()]

    def unknown(self, text: str) -> list[str]:
        """Words of ``text`` that are not in the vocabulary, each once."""
        return [word for word in dict.fromkeys(text.lower().split()) if word not in self._ids]

    def hint(self, word: str) -> str:
        """Hint such as ``'gras' (did you mean 'grass'?)``."""
        return f"{word!r} ({nearest(word, self.words)})"

    def _warn(self, word: str) -> None:
        if word in self._warned or len(self._warned) == MOST_WARNINGS:
            return
        self._warned.add(word)
        more = "; no more unknown words are named" if len(self._warned) == MOST_WARNINGS else ""
        warnings.warn(f"not in the vocabulary, read as the unknown word: {self.hint(word)}{more}", stacklevel=3)


def _read_words(source: str | Path) -> list[str]:
    path = Path(source)
    if path.is_file():
        return path.read_text(encoding="utf-8").split()
    module, colon, attribute = str(source).partition(":")
    if not colon or not all(part.isidentifier() for part in [*module.split("."), attribute]):
        raise FileNotFoundError(
            f"words={str(source)!r}: there is no such file; expected a list of words, a text file "
            "with one word a line, or 'package.module:NAME'"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ImportError(f"words={str(source)!r} cannot be imported: {error}") from error
    if isinstance(found, str) or not isinstance(found, Sequence):
        kind = type(found).__name__
        raise ImportError(f"words={str(source)!r}: expected a list of words, found {kind}")
    return [str(word) for word in found]
