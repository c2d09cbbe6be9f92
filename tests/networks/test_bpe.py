"""GLIDE's tokenizer: merges, words and bytes."""

import gzip
import json
import pickle

import pytest

from pitikit.networks.bpe import GlideTokenizer, split_words


def byte_names():
    """GPT-2's names of the 256 bytes, written out independently of the code under test."""
    names, fresh = {}, 256
    for byte in range(256):
        if 33 <= byte <= 126 or 161 <= byte <= 172 or byte >= 174:
            names[byte] = chr(byte)
        else:
            names[byte] = chr(fresh)
            fresh += 1
    return names


MERGES = ["h e", "l l", "he ll", "hell o", "\u0120 w", "o r", "\u0120w or", "\u0120wor l", "' s"]


def write_vocabulary(folder, merges=MERGES, packed=True):
    tokens = [*byte_names().values(), *["".join(m.split()) for m in MERGES], "<|endoftext|>"]
    files = {
        "encoder.json": json.dumps({token: index for index, token in enumerate(tokens)}),
        "vocab.bpe": "#version: 0.2\n" + "\n".join(merges) + "\n",
    }
    for name, text in files.items():
        data = text.encode()
        (folder / (name + ".gz" * packed)).write_bytes(gzip.compress(data) if packed else data)
    return tokens


@pytest.mark.parametrize("packed", [True, False])
def test_bpe_merges_by_rank(tmp_path, packed):
    tokens = write_vocabulary(tmp_path, packed=packed)
    tokenizer = GlideTokenizer(tmp_path, size=len(tokens))
    assert len(tokenizer) == len(tokens)
    text = [tokens[i] for i in tokenizer.encode("Hello WORLD's 42")]
    assert text == ["hello", "\u0120worl", "d", "'s", "\u0120", "4", "2"]
    assert tokenizer("hello", 3).tolist() == [tokens.index("hello"), -1, -1]
    assert tokenizer("hello", 0).tolist() == []
    assert pickle.loads(pickle.dumps(tokenizer)).encode("hell") == tokenizer.encode("hell")


def test_bpe_splits_words_by_unicode_classes():
    pieces = split_words("i've caf\u00e9s, \u00bd  \u4f60\u597d_!\u00a0x \u0130  ")
    # Lower-casing the last word's letter gives an i and a combining dot, which is a mark.
    assert pieces[:8] == ["i", "'ve", " caf\u00e9s", ",", " \u00bd", " ", " \u4f60\u597d", "_!"]
    assert pieces[8:] == ["\u00a0", "x", " i", "\u0307", "  "]
    assert split_words("2\u00bd") == ["2\u00bd"]
    assert "".join(pieces) == "i've caf\u00e9s, \u00bd  \u4f60\u597d_!\u00a0x \u0130  ".lower()


def test_bpe_knows_every_byte(tmp_path):
    tokens = write_vocabulary(tmp_path)
    names = {name: byte for byte, name in byte_names().items()}
    tokenizer = GlideTokenizer(tmp_path, size=len(tokens))
    text = "\u00fc\U0001f600\x00 \u00ad"
    written = "".join(tokens[i] for i in tokenizer.encode(text))
    assert bytes(names[char] for char in written).decode() == text


def test_bad_vocabulary_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no such folder.*glide-text2im.*encoder\.json \(SHA-256 \w{64}\)"):
        GlideTokenizer(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match=r"encoder\.json.*glide-text2im"):
        GlideTokenizer(tmp_path)
    tokens = write_vocabulary(tmp_path)
    with pytest.raises(ValueError, match=r"encoder\.json has 266 tokens.*50256"):
        GlideTokenizer(tmp_path)
    write_vocabulary(tmp_path, merges=["h e", "q q"])
    with pytest.raises(ValueError, match=r"vocab\.bpe has the line 'q q'"):
        GlideTokenizer(tmp_path, size=len(tokens))
    (tmp_path / "encoder.json.gz").write_bytes(gzip.compress(b"{}" * 500)[:-9])
    with pytest.raises(ValueError, match=r"encoder\.json\.gz cannot be read"):
        GlideTokenizer(tmp_path, size=len(tokens))
    (tmp_path / "encoder.json.gz").write_bytes(gzip.compress(b"[1, 2]"))
    with pytest.raises(ValueError, match="does not map"):
        GlideTokenizer(tmp_path, size=len(tokens))
