"""The floors of the house: a folder of pitikit/ imports only from lower ones."""

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "pitikit"
LONGEST = 450

# What of pitikit a folder may import besides itself and the registry, and which packages.
FLOOR_1 = {"diffusion", "networks", "degradations", "losses"}
INSIDE = {
    "arguments": set(),
    "resources": set(),
    "__main__": {"apis.cli"},
    "registry": {"arguments"},
    "config": set(),
    "files": set(),
    "weights": set(),
    "diffusion": set(),
    "networks": {"diffusion.types"},
    "kernels": set(),
    "degradations": set(),
    "losses": {"diffusion.consistency", "diffusion.types", "weights"},
    "data": FLOOR_1 | {"weights"},
    "models": FLOOR_1 | {"weights"},
    # Of the data the loaders and the writing of images, of the evaluation the loop that makes them, which sample grids
    # share, and what checks metrics before a validation.
    "engine": {"config", "diffusion", "kernels", "data.images", "data.loaders", "weights"}
    | {"evaluation.generate", "evaluation.preparation"},
    # Of the data files alone (their listing, reading and writing), and the loaders.
    "evaluation": FLOOR_1
    | {"data.images", "data.listing", "data.loaders", "data.reading", "data.errors", "models", "weights"},
    "scenes": FLOOR_1 | {"data"},
    # What plugins may import, of any floor below the library's verbs.
    "plugins": FLOOR_1 | {"config", "data", "models", "scenes", "weights", "evaluation"},
    "apis": FLOOR_1 | {"config", "kernels", "data", "models", "scenes", "engine", "evaluation", "weights"},
}
# The bottom of the house, and what `import pitikit` itself has.
EVERYWHERE = {"registry", "arguments", "resources", "files", "__version__", "__doc__"}
OUTSIDE = {
    "arguments": {"mmengine"},
    "resources": set(),
    "__main__": set(),
    "registry": {"mmengine"},
    "config": {"mmengine"},
    "files": {"safetensors"},
    "weights": {"torch", "safetensors", "mmengine"},
    "diffusion": {"torch", "numpy", "tqdm", "diffusers"},
    "networks": {"torch", "numpy"},
    "kernels": {"torch"},
    "degradations": {"numpy", "cv2", "scipy", "numba"},
    "losses": {"torch", "torchvision", "lpips"},
    "data": {"torch", "mmengine", "mmcv", "numpy", "cv2", "PIL", "scipy", "h5py"},
    "models": {"torch", "mmengine"},
    "scenes": {"torch", "numpy", "cv2"},
    "engine": {"torch", "mmengine", "numpy"},
    "evaluation": {"torch", "torchvision", "torchmetrics", "torch_fidelity", "lpips", "mmengine"}
    | {"numpy", "scipy", "cv2", "PIL", "tqdm", "transformers"},
}


def sources() -> list[Path]:
    """Every source of the package."""
    return sorted(PACKAGE.rglob("*.py"))


def folder_of(path: Path) -> str:
    """The floor a file belongs to: its folder, or its own name at the top."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(tree: ast.AST) -> list[tuple[int, str]]:
    """Line and full dotted name of everything that is imported, inside functions too."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            prefix = "." * node.level + (node.module or "")
            found += [(node.lineno, f"{prefix}.{alias.name}") for alias in node.names]
    return found


def violations(folder: str, tree: ast.AST) -> list[str]:
    """Imports of a file of ``folder`` that are not allowed, one line each."""
    wrong = []
    for line, name in imported(tree):
        top, _, inner = name.partition(".")
        if name.startswith("."):
            wrong.append(f"line {line}: relative import {name}")
        elif top == "pitikit":
            allowed = INSIDE[folder] | {folder, *EVERYWHERE}
            if not any(f"{inner}.".startswith(f"{part}.") for part in allowed):
                wrong.append(f"line {line}: {name}; {folder}/ may import {sorted(allowed)}")
        elif folder in OUTSIDE and top not in OUTSIDE[folder] | sys.stdlib_module_names:
            wrong.append(f"line {line}: package {top}; {folder}/ may use {sorted(OUTSIDE[folder])}")
    return wrong


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_only_from_lower_floors(path):
    folder = folder_of(path)
    if folder == "__init__":
        # Everything imports it, so that it imports nothing of ours but what somebody asks it for.
        tree = ast.parse(path.read_text())
        direct = ast.Module([node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))], [])
        assert not [name for _, name in imported(direct) if "pitikit" in name]
        return
    assert folder in INSIDE, f"{path}: a new folder needs a floor in DESIGN.md's table and here"
    wrong = violations(folder, ast.parse(path.read_text(encoding="utf-8")))
    assert not wrong, f"{path.relative_to(ROOT)}:\n" + "\n".join(wrong)


@pytest.mark.parametrize(
    ("folder", "line"),
    [
        ("diffusion", "from pitikit.networks.unet import UNet"),
        ("networks", "from pitikit.diffusion import samplers"),
        ("networks", "from pitikit.kernels.accelerate import accelerate"),
        ("kernels", "from pitikit.networks.unet import UNet"),
        ("networks", "import pitikit.diffusion.typesetting"),
        ("models", "from pitikit.engine import ema"),
        ("models", "from pitikit.data.preprocessor import ImagePreprocessor"),
        ("diffusion", "def f():\n    import mmengine"),
        ("data", "from . import transforms"),
        ("registry", "import torch"),
    ],
)
def test_a_wrong_import_is_found(folder, line):
    assert violations(folder, ast.parse(line))


@pytest.mark.parametrize(
    ("folder", "line"),
    [
        ("networks", "from pitikit.diffusion.types import Conditioning"),
        ("networks", "from pitikit.diffusion import types"),
        ("models", "from pitikit.networks import unet"),
        ("apis", "from pitikit.config import load_config"),
        ("diffusion", "from pitikit.registry import SAMPLERS"),
        ("diffusion", "import math\nfrom torch import nn"),
    ],
)
def test_a_right_import_passes(folder, line):
    assert not violations(folder, ast.parse(line))


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_is_too_long(path):
    lines = len(path.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{path.relative_to(ROOT)}: {lines} lines; split it along an idea"
