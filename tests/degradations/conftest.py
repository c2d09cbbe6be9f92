"""Numbers of the released code's degradations.

The whole set lies in the shared folder (see the fixture ``shared``); a part of it is stored in
``tests/data/degradations``, made by ``python tests/degradations/conftest.py ../shared/fixtures``. A test runs on the
stored part, and on the whole set where it is marked ``slow``. The photograph is ``tests/data/fixtures/china256.png``.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

DATA = Path(__file__).parents[1] / "data"
STORED = DATA / "degradations"

# What is stored: file -> names. The black images of bsr_light are left out, and what a stored array implies.
KEPT = {
    "l0_smooth": ["input", "out_lambda0.002"],
    "bsr_light": ["mean_pixel_without_l0", *(f"seed{seed}" for seed in range(700, 706))],
    "bsr_pieces": [
        "aniso_k15_theta0.7_1.3_0.4",
        "aniso_k8_theta2.1_2.0_0.9",
        "fspecial_gaussian_25_1.7",
        "fspecial_gaussian_5_0.3",
        "shift_pixel_25_1.7_sf4",
        "shift_pixel_25_1.7_sf2",
        "imresize_quarter",
        "convolve_mirror_k15",
    ],
}


def store(folder):
    """Write the stored part from the whole set."""
    STORED.mkdir(parents=True, exist_ok=True)
    for name, kept in KEPT.items():
        with np.load(folder / f"{name}.npz") as arrays:
            np.savez_compressed(STORED / f"{name}.npz", **{key: arrays[key] for key in kept})


def read(path):
    with np.load(path) as arrays:
        return {name: arrays[name] for name in arrays.files}


@pytest.fixture(params=["stored", pytest.param("whole", marks=pytest.mark.slow)])
def released(request):
    """``released(file)``: the released numbers of a file, the stored part or all."""
    if request.param == "stored":
        return lambda file: read(STORED / f"{file}.npz")
    folder = request.getfixturevalue("shared") / "fixtures"
    return lambda file: read(folder / f"{file}.npz")


@pytest.fixture(scope="session")
def photo():
    """A real photograph, RGB float32 (256, 256, 3) in [0, 1]; read-only, so that no operation writes into it."""
    image = np.asarray(Image.open(DATA / "fixtures" / "china256.png").convert("RGB"))
    image = image.astype(np.float32) / np.float32(255)
    image.setflags(write=False)
    return image


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(autouse=True)
def one_thread():
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    yield
    cv2.setNumThreads(before)


if __name__ == "__main__":
    store(Path(sys.argv[1]))
