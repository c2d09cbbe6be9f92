"""Kinds of plugins, each with its templates. In a template ``${name}``, ``${Camel}`` and ``${words}`` are the plugin's
name as NAME, Name and words; ``${component}`` is its class.
"""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    """One kind of plugin.

    Attributes:
        registry: name of the registry that gets its class.
        component: its class, with ``${Camel}``.
        summary: what the config is about, for its first line.
        imports: of the module, after ``PITIKIT_API``; those of ``pitikit.plugins`` come last.
        code: the class.
        config: what the config has after ``plugins``.
        test_imports: names of ``pitikit.plugins`` that the test needs, besides those of every test.
        test: tests of the class.
        readme: paragraphs on what to change.
    """

    registry: str
    component: str
    summary: str
    imports: str
    code: str
    config: str
    test_imports: tuple[str, ...]
    test: str
    readme: str
