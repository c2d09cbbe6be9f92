"""Kinds of plugins: every template names what exists."""

import ast
import re

import pytest

from pitikit import plugins, registry
from pitikit.apis.new_plugin.write import KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_names_a_registry_and_public_names_alone(kind):
    chosen = KINDS[kind]
    assert chosen.registry in registry.__dict__ and f"@{chosen.registry}.register_module()" in chosen.code
    assert f"class {chosen.component}" in chosen.code
    for node in ast.walk(ast.parse(chosen.imports)):
        module = getattr(node, "module", None) or ""
        if module.startswith("pitikit"):
            assert module == "pitikit.plugins" and {each.name for each in node.names} <= set(plugins.__all__)
    assert set(chosen.test_imports) <= set(plugins.__all__)


@pytest.mark.parametrize("kind", KINDS)
def test_every_place_of_a_template_is_filled_in(kind):
    places = {name for text in KINDS[kind] for name in re.findall(r"\$\{(\w+)\}", str(text))}
    assert places <= {"name", "Camel", "component", "words", "config"}
