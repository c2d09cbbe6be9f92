"""Words to a scene: the draw of the world that fits a text best, in the colours and at the time that it names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Annotated, Any

import numpy as np

from pitikit.arguments import nearest
from pitikit.data.errors import DataError
from pitikit.data.loading import LoadCaption
from pitikit.registry import TOKENIZERS, TRANSFORMS
from pitikit.scenes.layout import COLOURED, colours_of, scene_layout
from pitikit.scenes.render import render_spec
from pitikit.scenes.spec import (
    BACKDROPS,
    DISTANCES,
    GROUNDS,
    KINDS,
    POSITIONS,
    TIMES,
    VOCABULARY,
    WEATHERS,
    ObjectSpec,
    SceneSpec,
    position_word,
)
from pitikit.scenes.world import sample_scene

FILLERS = frozenset(
    "a an the on at in of with and by is are there under over beside behind before it its his her one some image "
    "photo scene showing from".split()
)
"""Words that are read over."""
SYNONYMS: dict[str, str] = {
    **{f"{kind}s": kind for kind in KINDS if kind not in ("bush", "person")},
    **{"bushes": "bush", "people": "person", "persons": "person", "man": "person", "woman": "person"},
    **{"mountain": "mountains", "hill": "hills", "clouds": "cloudy", "roofs": "roof", "lake": "water", "sea": "water"},
    **{"street": "road", "meadow": "grass", "beach": "sand", "desert": "sand", "sunset": "dusk", "sunrise": "dawn"},
    **{"evening": "dusk", "morning": "dawn", "center": "centre", "gray": "grey", "sailboat": "boat", "fog": "hazy"},
}
"""Further words, and the word of `VOCABULARY` that each is read as."""
_NUMBERS = {"two": 2, "three": 3}
_COLOURS = frozenset(colour for name, colours in COLOURED.items() if name != "sky" for colour in colours)
# Scenes that are compared, and how many are drawn at most where none of them has everything.
_CHOICE, _LIMIT = 200, 2000
# The cost of something that is not there; more than any number of wrong places.
_MISSING = 100.0


@dataclass
class Wish:
    """An object that a text names; '' where it leaves something open.

    Attributes:
        kind: a key of `KINDS`, or 'sun' for the sun or moon.
        colour, accent: of the main surface, of the roof.
        distance, position: words of `DISTANCES` and `POSITIONS`.
    """

    kind: str
    colour: str = ""
    accent: str = ""
    distance: str = ""
    position: str = ""


@dataclass
class Description:
    """The contents of a text: words of the whole by what they are about, and the objects.

    Attributes:
        whole: 'time', 'weather', 'ground', 'backdrop', 'horizon', 'water', 'road', 'snowy' to the word for it.
        wishes: in the order of the text.
    """

    whole: dict[str, str] = field(default_factory=dict)
    wishes: list[Wish] = field(default_factory=list)


def unknown_words(text: str) -> list[str]:
    """Words of ``text`` that mean nothing here, each once."""
    known = {*VOCABULARY, *FILLERS, *SYNONYMS, *_NUMBERS, "sail"}
    return [word for word in dict.fromkeys(_words(text)) if word not in known]


def read_description(text: str) -> Description:
    """Read a text, a caption of the world or a few words in any order.

    Colour and distance stand before their object, the place behind it: 'near red car left'.
    """
    found = Description()
    about = {**dict.fromkeys(TIMES, "time"), **dict.fromkeys(WEATHERS, "weather"), **dict.fromkeys(GROUNDS, "ground")}
    about |= {**dict.fromkeys(BACKDROPS, "backdrop"), "snowy": "snowy", "road": "road", "water": "water"}
    before: list[str] = []
    last: Wish | str | None = None
    for word in (SYNONYMS.get(word, word) for word in _words(text)):
        if word in KINDS or word in ("sun", "moon"):
            count = _NUMBERS.get(_last(before, _NUMBERS), 1)
            last = Wish("sun" if word == "moon" else word, _last(before, _COLOURS), "", _last(before, DISTANCES))
            found.wishes += [replace(last) for _ in range(count - 1)] + [last]
        elif word in about:
            found.whole[about[word]] = last = word
        elif word == "roof" and isinstance(last, Wish):
            last.accent = _last(before, _COLOURS)
        elif word == "sail" and isinstance(last, Wish):
            last.colour = _last(before, _COLOURS)
        elif word == "horizon":
            found.whole["horizon"] = _last(before, ("low", "middle", "high"))
        elif word in POSITIONS and isinstance(last, Wish):
            last.position = last.position or word
        elif last == "water" and word in ("far", "left", "right"):
            found.whole["water"] = word
        elif word not in FILLERS:
            before.append(word)
            continue
        else:
            continue
        before = []
    return found


def compose_scene(text: str, seed: int = 0) -> SceneSpec:
    """Lay out a text: the draw of the world `seed` that fits it best, changed to its time, ground and colours.

    Raises:
        DataError: a word is unknown, an object never has the colour, or no draw has all of the objects.
    """
    unknown = unknown_words(text)
    if unknown:
        raise DataError(f"unknown words: {', '.join(map(_hint, unknown[:5]))}", "words of the vocabulary")
    wanted = read_description(text)
    for wish in wanted.wishes:
        _check_colours(wish)
    best, least = _draw(seed, 0), np.inf
    for index in range(_LIMIT):
        if index >= _CHOICE and least < _MISSING:
            break
        spec = _draw(seed, index)
        cost = _cost(spec, wanted)
        if cost < least:
            best, least = spec, cost
    if least >= _MISSING:
        names = ", ".join([wish.kind for wish in wanted.wishes] + [w for w in ("road", "water") if w in wanted.whole])
        raise DataError(f"{names}: in none of {_LIMIT} scenes together", "fewer things", "leave out some of the words")
    return _changed(best, wanted)


# A text is laid out in a fraction of a second, the ones after it faster.
_draw = lru_cache(_CHOICE)(sample_scene)


def _check_colours(wish: Wish) -> None:
    names = [(wish.kind, wish.colour, colours_of(wish.kind)), ("roof", wish.accent, COLOURED["roof"])]
    for name, colour, colours in names:
        if colour and colour not in colours:
            raise DataError(f"a {colour} {name}", ", ".join(colours) or "no colour", "the world has no other")


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def _hint(word: str) -> str:
    return f"{word!r} ({nearest(word, [*VOCABULARY, *SYNONYMS])})"


def _last(words: list[str], known: Any) -> str:
    return next((word for word in reversed(words) if word in known), "")


def _cost(spec: SceneSpec, wanted: Description) -> float:
    """The distance of a scene from a text: `_MISSING` for each thing that is not there, less for wrong places."""
    whole = wanted.whole
    cost = _MISSING * ("road" in whole and spec.road is None)
    if "water" in whole:
        cost += _MISSING * (spec.water == "none") + (whole["water"] not in ("water", spec.water))
    cost += 3.0 * (whole.get("weather", spec.weather) != spec.weather) + (whole.get("time", spec.time) != spec.time)
    if whole.get("horizon"):
        level = "high" if spec.horizon < 0.48 else "low" if spec.horizon > 0.56 else "middle"
        cost += 2.0 * (level != whole["horizon"])
    left = list(spec.objects)
    for wish in wanted.wishes:
        if wish.kind == "sun":
            cost += _MISSING if spec.sun is None else _apart(POSITIONS, wish.position, position_word(spec.sun[0]))
            continue
        item = _match(wish, left)
        cost += _MISSING if item is None else _misfit(wish, item)
        left = [each for each in left if each is not item]
    return cost + len(left)


def _match(wish: Wish, objects: list[ObjectSpec]) -> ObjectSpec | None:
    fitting = [item for item in objects if item.kind == wish.kind]
    return min(fitting, key=lambda item: _misfit(wish, item), default=None)


def _misfit(wish: Wish, item: ObjectSpec) -> float:
    # Where a text names no distance, near: in a small image a far object is a few pixels.
    distance = _apart(DISTANCES, wish.distance or "near", item.distance)
    return (2.0 if wish.distance else 1.0) * distance + _apart(POSITIONS, wish.position, position_word(item.u))


def _apart(words: tuple[str, ...], wanted: str, found: str) -> float:
    return float(abs(words.index(wanted) - words.index(found))) if wanted else 0.0


def _changed(spec: SceneSpec, wanted: Description) -> SceneSpec:
    whole = {key: word for key, word in wanted.whole.items() if key in ("time", "ground", "backdrop")}
    if "snowy" in wanted.whole:
        whole |= {"backdrop": "mountains", "snowy": True}  # type: ignore[dict-item]
    left, objects = list(spec.objects), {id(item): item for item in spec.objects}
    for wish in wanted.wishes:
        item = _match(wish, left)
        if item is None:
            continue
        left = [each for each in left if each is not item]
        objects[id(item)] = replace(item, colour=wish.colour or item.colour, accent=wish.accent or item.accent)
    # One car where a text names one.
    named = {wish.kind for wish in wanted.wishes}
    kept = tuple(objects[id(item)] for item in spec.objects if item not in left or item.kind not in named)
    return replace(spec, **whole, objects=kept)  # type: ignore[arg-type]


@TRANSFORMS.register_module()
class LoadDescription(LoadCaption):
    """Read a few words, lay them out as a scene, and turn its coloured layout into token ids.

    The words are those of captions of SceneWorld, with common synonyms; `FILLERS` are read over.

    Args:
        tokenizer, length, source, text: see :class:`~pitikit.data.loading.LoadCaption`.
        seed: of the world whose scenes are tried: another one lays out the same text otherwise.
    """

    def __init__(
        self,
        tokenizer: Annotated[dict[str, Any], TOKENIZERS],
        length: int = 304,
        source: str = "caption",
        text: str | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__(tokenizer, length, source, text)
        self.seed = seed

    def unknown(self, text: str) -> list[str]:
        """Words of ``text`` that mean nothing here, each with what may have been meant."""
        return [_hint(word) for word in unknown_words(text)]

    def tokens(self, text: str) -> np.ndarray:
        """Ids (length,) of the layout of the scene that fits ``text``."""
        return super().tokens(scene_layout(render_spec(compose_scene(text, self.seed), 64), coloured=True))
