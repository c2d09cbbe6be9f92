"""Maps from the ids of a label file to classes: those of known datasets, by name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from pitikit.arguments import nearest
from pitikit.data.conditions import LABEL_IGNORE

# Cityscapes' labelIds 0 to 33 (-1 is the licence plate) in the order of the 19 trainIds; the rest is no class.
_CITYSCAPES = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)

ID_MAPS: dict[str, Mapping[int, int]] = {
    "cityscapes19": {
        **dict.fromkeys(range(-1, 34), LABEL_IGNORE),
        **{label: train for train, label in enumerate(_CITYSCAPES)},
    },
}
"""Name -> map from the id of a file to the class, 255 for 'no label'."""


def id_map_of(given: Mapping[int, int] | str, num_classes: int) -> dict[int, int]:
    """The map of a name, of a JSON file, or a given one, checked; keys may be numbers as texts, as JSON has them.

    Raises:
        ValueError: an unknown name, a file that cannot be read, an empty map, a key that is no whole number, or a
            class that is neither one of ``num_classes`` nor 255.
    """
    if isinstance(given, str) and given.endswith(".json"):
        try:
            found_map = json.loads(Path(given).expanduser().read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"id_map={given!r}: got no JSON ({error}), expected a file of {{id: class}}") from error
        if not isinstance(found_map, dict):
            raise ValueError(f"id_map={given!r}: got a {type(found_map).__name__}, expected {{id: class}}")
        given = found_map
    if isinstance(given, str):
        if given not in ID_MAPS:
            hint = nearest(given, ID_MAPS)
            raise ValueError(f"id_map={given!r}; expected a map {{id: class}}, a .json file of it or a name; {hint}")
        given = ID_MAPS[given]
    try:
        found = {int(key): int(value) for key, value in given.items()}
        exact = all(str(int(each)) == str(each) for pair in given.items() for each in pair)
    except (TypeError, ValueError):
        exact = False
    if not given or not exact or len(found) < len(given):
        raise ValueError(f"id_map={dict(given)}; expected {{id: class}} of whole numbers, each id once")
    wrong = sorted({value for value in found.values() if value != LABEL_IGNORE and not 0 <= value < num_classes})
    if wrong:
        shown = ", ".join(map(str, wrong[:5])) + (", …" if len(wrong) > 5 else "")
        raise ValueError(
            f"id_map: got the classes {shown}; expected 0 to {num_classes - 1} (num_classes={num_classes}), or "
            f"{LABEL_IGNORE} for 'no label'"
        )
    return found
