"""Words to a scene."""

import numpy as np
import pytest

from pitikit.data.errors import DataError
from pitikit.scenes import LAYOUT_SIDE, LoadDescription, compose_scene, sample_scene, scene_caption
from pitikit.scenes.spec import POSITIONS, VOCABULARY, position_word
from pitikit.scenes.wording import FILLERS, SYNONYMS, Wish, read_description, unknown_words

WORDS = dict(type="WordTokenizer", words="pitikit.scenes:COLOURED_VOCABULARY")


def test_a_text_is_read_as_things_and_their_looks():
    found = read_description("A near red car on the left and a house with a blue roof; two people, sunset on a lake")
    assert found.whole == {"time": "dusk", "water": "water"}
    assert found.wishes == [
        Wish("car", "red", distance="near", position="left"),
        Wish("house", accent="blue"),
        Wish("person"),
        Wish("person"),
    ]
    assert read_description("a boat with a white sail").wishes == [Wish("boat", "white")]


@pytest.mark.parametrize("index", range(12))
def test_a_caption_is_read_as_what_it_describes(index):
    spec = sample_scene(1, index)
    found = read_description(scene_caption(spec))
    whole = found.whole
    assert (whole["time"], whole["weather"], whole["ground"], whole["backdrop"]) == (
        spec.time,
        spec.weather,
        spec.ground,
        spec.backdrop,
    )
    assert ("road" in whole) == (spec.road is not None) and whole.get("water", "none") == spec.water
    objects = [wish for wish in found.wishes if wish.kind != "sun"]
    nearest = list(reversed(spec.objects))[: len(objects)]
    assert [(wish.kind, wish.distance, wish.position) for wish in objects] == [
        (item.kind, item.distance, position_word(item.u)) for item in nearest
    ]
    assert all(wish.colour == item.colour for wish, item in zip(objects, nearest, strict=True) if wish.kind != "lamp")


@pytest.mark.parametrize("seed", [0, 5])
def test_a_composed_scene_has_what_the_text_names(seed):
    spec = compose_scene("a red car on a road at night", seed)
    assert spec.time == "night" and spec.road is not None
    cars = [item for item in spec.objects if item.kind == "car"]
    assert [car.colour for car in cars] == ["red"] and spec.world == seed
    spec = compose_scene("a yellow house with a green roof on the left and a far pine in snow, snowy mountains", seed)
    house = next(item for item in spec.objects if item.kind == "house" and item.colour == "yellow")
    assert house.accent == "green" and POSITIONS.index(position_word(house.u)) <= 2
    assert any(item.kind == "pine" for item in spec.objects)
    assert (spec.ground, spec.backdrop, spec.snowy) == ("snow", "mountains", True)
    assert compose_scene("a boat at dusk", seed) == compose_scene("a boat at dusk", seed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a red carr", r"unknown words: 'carr' \(did you mean 'car'"),
        ("a purple house", "a purple house; expected white, cream, red"),
        ("a yellow pine", "a yellow pine; expected green"),
        ("a house with a purple roof", "a purple roof"),
        ("a red lamp", "a red lamp; expected no colour"),
        ("a boat on a road", "boat, road: in none of 2000 scenes together"),
    ],
)
def test_what_the_world_does_not_have_is_refused(text, message):
    with pytest.raises(DataError, match=message):
        compose_scene(text)


def test_every_word_leads_into_the_vocabulary():
    assert set(SYNONYMS.values()) <= set(VOCABULARY)
    assert not FILLERS & set(VOCABULARY) and not set(SYNONYMS) & set(VOCABULARY)
    assert unknown_words(" ".join([*VOCABULARY, *FILLERS, *SYNONYMS])) == []


def test_the_loader_gives_the_layout_of_the_scene():
    load = LoadDescription(WORDS)
    results = load.transform({"id": "a", "sources": {"caption": "a red car on a road at night"}})
    ids, words = results["condition"], load.tokenizer.words
    assert ids.shape == (304,) and results["caption"] == "a red car on a road at night"
    cells = [words[k] for k in ids[: LAYOUT_SIDE**2]]
    assert {"red-car", "road", "night-sky"} <= set(cells)
    assert [words[k] for k in ids[LAYOUT_SIDE**2 :] if k >= 0][0] == "night"
    other = LoadDescription(WORDS, seed=1).tokens("a red car on a road at night")
    assert not np.array_equal(other, ids)
    assert load.unknown("zebra at night") == ["'zebra' (did you mean 'sea'?)"]
