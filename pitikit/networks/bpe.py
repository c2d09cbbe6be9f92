"""GLIDE's tokenizer: byte-pair encoding of GPT-2 (Radford et al. 2019) on lower-cased text."""

from __future__ import annotations

import gzip
import json
import re
import zlib
from pathlib import Path

from pitikit.networks.tokenizers import Tokenizer
from pitikit.registry import TOKENIZERS

_ADDRESS = "https://openaipublic.blob.core.windows.net/gpt-2/encodings/main"
SOURCE = (
    "the files encoder.json and vocab.bpe of GPT-2 (or .gz, as in glide_text2im/tokenizer of "
    "https://github.com/openai/glide-text2im); download "
    f"{_ADDRESS}/encoder.json (SHA-256 196139668be63f3b5d6574427317ae82f612a97c5d1cdaf36ed2256dbf636783) and "
    f"{_ADDRESS}/vocab.bpe (SHA-256 1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5) into one folder "
    "and name it, in the configs of configs/text/ by the environment variable PITIKIT_BPE"
)
_TOKENS, _MERGES = "encoder.json", "vocab.bpe"

# GPT-2's pattern needs Unicode classes that `re` lacks, so it runs over a text of ASCII
# stand-ins that `_shape` makes, one for each character.
_PIECE = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+", re.ASCII)


def _shape(text: str) -> str:
    """``text`` with a letter, digit, white space or mark of ASCII in place of each character."""

    def stand_in(char: str) -> str:
        if char.isascii():
            return char
        if char.isalpha():
            return "a"
        return "0" if char.isnumeric() else "\t" if char.isspace() else "!"

    return "".join(map(stand_in, text))


def split_words(text: str) -> list[str]:
    """Cut the lower-cased text where GPT-2 does: words with the space before them, numbers, marks and white space."""
    text = text.lower()
    return [text[match.start() : match.end()] for match in _PIECE.finditer(_shape(text))]


def _printable_bytes() -> dict[int, str]:
    """The character by which the vocabulary files write each of the 256 bytes.

    Printable Latin-1 stands for itself; the rest takes the code points from 256 on.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in set(printable)]
    table = {byte: chr(byte) for byte in printable}
    return table | {byte: chr(256 + index) for index, byte in enumerate(others)}


@TOKENIZERS.register_module()
class GlideTokenizer(Tokenizer):
    """Byte-pair encoding of GLIDE, from the vocabulary files that the user has.

    The released model pads with the end token under a mask and replaces what is masked by its
    padding embedding, so that padding with -1 is the same.

    Args:
        vocab_path: folder with ``encoder.json`` and ``vocab.bpe``, each possibly with ``.gz``.
        size: number of tokens that the files must hold; GLIDE's is 50257.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: the files cannot be read, do not fit each other, or are of another vocabulary.
    """

    def __init__(self, vocab_path: str | Path, size: int = 50257) -> None:
        self.folder = Path(vocab_path)
        self._bytes = _printable_bytes()
        self._ids = self._read_tokens(size)
        self._ranks = self._read_merges()
        self._known: dict[str, tuple[str, ...]] = {}

    def __len__(self) -> int:
        """Number of tokens, the end token included."""
        return len(self._ids)

    def encode(self, text: str) -> list[int]:
        """Ids of the lower-cased text."""
        return [self._ids[part] for piece in split_words(text) for part in self._parts(piece)]

    def _parts(self, piece: str) -> tuple[str, ...]:
        # A dict and not lru_cache, which would keep the tokenizer from being pickled to workers.
        if piece not in self._known:
            self._known[piece] = self._merge(piece)
        return self._known[piece]

    def _merge(self, piece: str) -> tuple[str, ...]:
        """The parts of one word: bytes at first, of which the pair of lowest rank is joined."""
        parts = [self._bytes[byte] for byte in piece.encode("utf-8")]
        while len(parts) > 1:
            pairs = zip(parts, parts[1:], strict=False)
            best = min(pairs, key=lambda pair: self._ranks.get(pair, len(self._ranks)))
            if best not in self._ranks:
                break
            joined: list[str] = []
            index = 0
            while index < len(parts):
                step = 2 if tuple(parts[index : index + 2]) == best else 1
                joined.append("".join(parts[index : index + step]))
                index += step
            parts = joined
        return tuple(parts)

    def _read(self, name: str) -> str:
        for path in (self.folder / name, self.folder / f"{name}.gz"):
            if path.is_file():
                try:
                    data = path.read_bytes()
                    data = gzip.decompress(data) if path.suffix == ".gz" else data
                    return data.decode("utf-8")
                except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
                    raise self._foreign(path.name, f"cannot be read ({error})") from error
        found = f"there is no {name}" if self.folder.is_dir() else "there is no such folder"
        raise FileNotFoundError(f"vocab_path={str(self.folder)!r}: {found}; expected {SOURCE}")

    def _read_tokens(self, size: int) -> dict[str, int]:
        try:
            ids = json.loads(self._read(_TOKENS))
        except json.JSONDecodeError as error:
            raise self._foreign(_TOKENS, f"is not JSON ({error})") from error
        if not isinstance(ids, dict) or not all(isinstance(i, int) for i in ids.values()):
            raise self._foreign(_TOKENS, "does not map tokens to ids")
        if len(ids) != size or sorted(ids.values()) != list(range(size)):
            raise self._foreign(_TOKENS, f"has {len(ids)} tokens, expected the ids 0..{size - 1}")
        missing = [byte for byte, char in self._bytes.items() if char not in ids]
        if missing:
            raise self._foreign(_TOKENS, f"has no token for {len(missing)} of the 256 bytes")
        return ids

    def _read_merges(self) -> dict[tuple[str, str], int]:
        lines = self._read(_MERGES).splitlines()
        if lines and lines[0].startswith("#version"):
            lines = lines[1:]
        ranks: dict[tuple[str, str], int] = {}
        for line in filter(None, lines):
            pair = line.split(" ")
            if len(pair) != 2 or any(part not in self._ids for part in (*pair, "".join(pair))):
                raise self._foreign(_MERGES, f"has the line {line!r}, whose tokens {_TOKENS} lacks")
            ranks[pair[0], pair[1]] = len(ranks)
        return ranks

    def _foreign(self, name: str, fault: str) -> ValueError:
        return ValueError(f"{self.folder / name} {fault}; expected {SOURCE}")
