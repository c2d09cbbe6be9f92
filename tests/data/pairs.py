"""Pairs for the tests of loaders and transforms, and a run of some of these."""

import numpy as np

RNG = np.random.default_rng(0)

IMAGE = RNG.integers(0, 256, (96, 128, 3), dtype=np.uint8)

LABEL = RNG.integers(0, 5, (96, 128), dtype=np.uint8)


def run(sources, *steps, seed=0, same_size=True):
    results = dict(id="a7", sources=sources, rng=np.random.default_rng(seed), same_size=same_size)
    for step in steps:
        results = step(results)
    return results


def lines(size=64):
    edges = np.zeros((size, size), np.uint8)
    edges[size // 2] = edges[:, 5] = 255
    return edges


class Letters:
    """A tokenizer for the test: one id a letter."""

    def __call__(self, text, length):
        ids = [ord(c) - 97 for c in text][:length]
        return np.array(ids + [-1] * (length - len(ids)))

    def __len__(self):
        return 26
