"""The folder of a new plugin: names checked, templates filled in, written as a whole or not at all."""

from __future__ import annotations

import keyword
import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping
from importlib.metadata import packages_distributions
from pathlib import Path
from string import Template

from pitikit import registry as registries
from pitikit.apis.components import origin
from pitikit.apis.new_plugin.data_kinds import DATASET, METRIC, MODALITY
from pitikit.apis.new_plugin.kinds import Kind
from pitikit.apis.new_plugin.model_kinds import ENCODER, GUIDANCE, LOSS, SAMPLER
from pitikit.apis.new_plugin.texts import CODE, CONFIG, OPTIONAL_IMPORTS, PROJECT, README, README_PACKAGE, TEST
from pitikit.files import ensure_folder
from pitikit.registry import PLUGIN_API, registered

KINDS: Mapping[str, Kind] = {
    "modality": MODALITY,
    "encoder": ENCODER,
    "sampler": SAMPLER,
    "guidance": GUIDANCE,
    "loss": LOSS,
    "metric": METRIC,
    "dataset": DATASET,
}
_LONGEST = 40


def new_plugin(name: str, kind: str, folder: str | Path = "plugins", package: bool = False) -> list[Path]:
    """Write a plugin that trains on SceneWorld as it is: code, config, test and README.

    Args:
        name: of the plugin and its folder, a Python name in lower case.
        kind: key of :data:`KINDS`.
        folder: where the plugin's folder is made; it is created too.
        package: also write ``pyproject.toml``, with which pip installs the plugin.

    Returns:
        The files that were written.

    Raises:
        ValueError: an unsuitable name, or one whose class or package there is.
        FileExistsError: the folder is there.
        OSError: it cannot be written; nothing is left of it.
    """
    chosen = KINDS[kind]
    check_name(name)
    component = class_name(name, chosen)
    taken = registered(getattr(registries, chosen.registry)).get(component)
    if taken is not None:
        raise ValueError(
            f"NAME: got {name!r}, but its class {component} is registered already, by {origin(taken)}; choose another"
        )
    target = Path(folder, name)
    if target.exists() or target.is_symlink():
        raise FileExistsError(f"{target} is there already; choose another NAME or --folder, or remove it")
    if target.parent.exists() and not target.parent.is_dir():
        raise NotADirectoryError(f"--folder: got {target.parent}, a file, expected a folder; choose another")
    texts = contents(name, kind, target, package)
    ensure_folder(target.parent)
    # Whatever stops the program, no plugin is left of which a part is missing.
    temporary = target.with_name(f".{name}.{os.getpid()}.tmp")
    try:
        temporary.mkdir()
        for file, text in texts.items():
            (temporary / file).write_text(text, encoding="utf-8")
        os.rename(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return [target / file for file in texts]


def check_name(name: str) -> None:
    """Check that a name can be that of a module of its own.

    Raises:
        ValueError: it cannot; the message has one that could, where there is one near.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or len(name) > _LONGEST:
        plain = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
        near = re.sub(r"[^a-z0-9]+", "_", plain).strip("_0123456789")[:_LONGEST].strip("_")
        hint = f", such as {near}" if near else ", such as my_plugin"
        raise ValueError(
            f"NAME: got {name!r}, expected lower-case letters, digits and single underscores, {_LONGEST} at most{hint}"
        )
    if keyword.iskeyword(name):
        raise ValueError(f"NAME: got {name!r}, a word of Python; choose another, such as my_{name}")
    if name in sys.stdlib_module_names or name == registries.SCOPE or name in packages_distributions():
        raise ValueError(
            f"NAME: got {name!r}, the name of a module that Python or an installed package has; choose another, "
            f"such as my_{name}"
        )


def camel(name: str) -> str:
    """A name such as 'colour_hint' as 'ColourHint'."""
    return "".join(word.capitalize() for word in name.split("_"))


def class_name(name: str, kind: Kind) -> str:
    """The class of a plugin, in which what its name and its kind have in common stands once."""
    head, _, tail = kind.component.partition("${Camel}")
    return head + stem(name, kind) + tail


def stem(name: str, kind: Kind) -> str:
    """The part of the class that is the plugin's own: 'Pose' of both 'pose' and 'pose_sampler'."""
    head, _, tail = kind.component.partition("${Camel}")
    own = camel(name)
    own = own.removesuffix(tail) if tail and own != tail else own
    return own.removeprefix(head) if head and own != head else own


def contents(name: str, kind: str, target: Path, package: bool) -> dict[str, str]:
    """The files of a plugin, by name."""
    chosen = KINDS[kind]
    config = f"piti_small_{name}.py"
    names = {
        "name": name,
        "kind": kind,
        "Camel": stem(name, chosen),
        "component": class_name(name, chosen),
        "words": name.replace("_", " "),
        "folder": shlex.quote(target.as_posix()),
        "config": shlex.quote((target / config).as_posix()),
        "config_name": config,
        "api": PLUGIN_API,
        "work_dir": f"work_dirs/{Path(config).stem}",
    }

    def filled(text: str, **more: str) -> str:
        return Template(text).substitute(names | more)

    parts = {key: filled(getattr(chosen, key)) for key in ("summary", "imports", "code", "test", "readme")}
    imported = sorted({"MODELS", "DATASETS", "load_config", *chosen.test_imports}, key=_by_kind)
    wheel = filled(README_PACKAGE) if package else ""
    files = {
        "__init__.py": filled(CODE, **parts),
        config: filled(CONFIG, **parts, body=filled(chosen.config)),
        f"test_{name}.py": _without_unused(filled(TEST, **parts, imported=", ".join(imported))),
        "README.md": filled(README, **parts, package=wheel),
    }
    return files | ({"pyproject.toml": filled(PROJECT)} if package else {})


def _without_unused(test: str) -> str:
    for line, use in OPTIONAL_IMPORTS.items():
        test = test if use in test else test.replace(line, "")
    return test


def _by_kind(name: str) -> tuple[bool, bool, str]:
    """Constants, then classes, then functions: the order of isort."""
    return (not name.isupper(), not name[0].isupper(), name)
