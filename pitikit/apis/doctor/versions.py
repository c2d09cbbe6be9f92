"""Versions: Python, pitikit and every package that it uses, each by an import, since an installed one may not work."""

from __future__ import annotations

import importlib.metadata
import platform
import re
import sys
from collections.abc import Iterator
from importlib import import_module

from pitikit import __version__
from pitikit.apis.doctor.examine import Finding, guarded, reason
from pitikit.resources import ROOT

#: Packages that pitikit requires: distribution to module and lowest version, as setup.cfg has them.
REQUIRED = {
    "torch": ("torch", "2.1"),
    "torchvision": ("torchvision", ""),
    "mmengine": ("mmengine", "0.10.5"),
    "mmcv-lite": ("mmcv", "2.1"),
    "numpy": ("numpy", "1.24"),
    "opencv-python": ("cv2", "4.8"),
    "scipy": ("scipy", "1.10"),
    "h5py": ("h5py", "3.8"),
    "numba": ("numba", "0.59"),
    "lpips": ("lpips", "0.1.4"),
    "torchmetrics": ("torchmetrics", "1.2"),
    "torch-fidelity": ("torch_fidelity", "0.3"),
    "safetensors": ("safetensors", "0.4"),
    "tqdm": ("tqdm", ""),
    "pillow": ("PIL", "9.1"),
}
#: Packages of the extras: distribution to module, lowest version and the extra.
OPTIONAL = {
    "diffusers": ("diffusers", "0.27", "diffusers"),
    "tensorboard": ("tensorboard", "2.12", "tensorboard"),
    "transformers": ("transformers", "4.40", "transformers"),
}
#: Distributions that bring the same module.
TWINS = {"opencv-python": ("opencv-python-headless",), "mmcv-lite": ("mmcv",)}
LOWEST_PYTHON = (3, 10)


def look() -> Iterator[Finding]:
    """One finding for each package."""
    python = platform.python_version()
    old = sys.version_info[:2] < LOWEST_PYTHON
    lowest = ".".join(map(str, LOWEST_PYTHON))
    yield Finding(
        "versions",
        "python",
        "fault" if old else "ok",
        f"{python}{f', expected {lowest} or newer' if old else ''} ({sys.executable})",
        facts={"version": python, "path": sys.executable},
    )
    place, is_clone = (ROOT, True) if (ROOT / "pitikit").is_dir() else (ROOT.parent, False)
    facts = {"version": __version__, "path": str(place), "clone": is_clone}
    text = f"{__version__}, {'a clone' if is_clone else 'installed'} ({place})"
    yield Finding("versions", "pitikit", "ok", text, facts=facts)
    for name, (module, lowest) in REQUIRED.items():
        yield from guarded("versions", name, _package, name, module, lowest)
    for name, (module, lowest, extra) in OPTIONAL.items():
        yield from guarded("versions", name, _package, name, module, lowest, extra)


def _package(name: str, module: str, lowest: str, extra: str = "") -> Iterator[Finding]:
    """The finding of one package; a missing one of an extra is a note."""
    remedy = f"pip install 'pitikit[{extra}]'" if extra else f"pip install '{name}{f'>={lowest}' if lowest else ''}'"
    found = installed(name)
    try:
        version = str(getattr(import_module(module), "__version__", found or "of unknown version"))
    except (Exception, SystemExit) as error:
        if found is None and isinstance(error, ModuleNotFoundError) and error.name == module:
            yield Finding("versions", name, "note" if extra else "fault", "not installed", remedy)
            return
        text = f"{found or 'found'}, but its import failed: {reason(error)}"
        if "libGL" in text:
            remedy = "pip install --force-reinstall --no-deps opencv-python-headless"
        yield Finding("versions", name, "fault", text, remedy, {"version": found})
        return
    facts = {"version": version}
    if lowest and numbers(version) < numbers(lowest):
        yield Finding("versions", name, "fault", f"{version}, expected {lowest} or newer", remedy, facts)
    else:
        yield Finding("versions", name, "ok", version, facts=facts)


def installed(name: str) -> str | None:
    """The version of an installed distribution, or of a twin; None if there is none."""
    for each in (name, *TWINS.get(name, ())):
        try:
            return importlib.metadata.version(each)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None


def numbers(version: str) -> tuple[int, ...]:
    """The release in a version: (2, 1, 0) of '2.1.0+cpu'; what has no number is as new as can be."""
    found = re.match(r"\d+(?:\.\d+)*", version)
    return tuple(map(int, found[0].split("."))) if found else (sys.maxsize,)
