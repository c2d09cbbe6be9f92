"""Conditions of one tensor or of several by name: dropped and replaced, each on its own."""

import pytest
import torch
from mmengine import ConfigDict

from pitikit.diffusion.conditions import (
    any_part,
    check_drop_names,
    checked_drop,
    draw_dropped,
    dropped_members,
    flat_items,
    image_part,
    image_parts,
    map_condition,
    member_of,
    members_of,
    parts_by_member,
    replace_rows,
    sample_of,
)

BOTH = {"condition": torch.zeros(3, 2, 4, 4), "text": torch.arange(6).view(3, 2)}
DRAWN = [torch.tensor([0.1, 0.5, 0.9]), torch.tensor([0.6, 0.2, 0.3])]


def draws(values=DRAWN):
    rows = iter(values)
    return lambda: next(rows)


def test_one_function_for_one_tensor_and_for_several():
    assert torch.equal(map_condition(torch.neg, BOTH["text"]), -BOTH["text"])
    mapped = map_condition(lambda part: part[1], BOTH)
    assert mapped["condition"].shape == (2, 4, 4) and mapped["text"].tolist() == [2, 3]
    assert len(any_part(BOTH)) == len(any_part(BOTH["text"])) == 3
    assert image_part(mapped) is mapped["condition"] and image_part(mapped["text"]) is None is image_part(None)
    one = sample_of({"id": ["a", "b", "c"], "condition": BOTH}, 1)
    assert one["id"] == "b" and one["condition"]["text"].tolist() == [2, 3]
    names = [name for name, _ in flat_items({"id": "a", "condition": BOTH})]
    assert names == ["id", "condition.condition", "condition.text"]


def test_images_of_several_conditions_keep_their_names():
    mask, sketch, text = torch.zeros(3, 4, 4), torch.zeros(1, 4, 4), torch.arange(2)
    assert list(image_parts({"mask": mask, "text": text, "sketch": sketch})) == ["mask", "sketch"]
    assert list(image_parts({"mask": mask, "text": text})) == list(image_parts(mask)) == ["condition"]
    assert image_parts(text) == image_parts(None) == {}


def test_names_of_probabilities_are_those_of_the_parts():
    for drop in (0.5, {}, {"text": 0.5}):
        check_drop_names("", drop, ["condition", "text"])
    with pytest.raises(ValueError, match="^stage 'a': drop: got txt, expected the parts .*: condition, text"):
        check_drop_names("stage 'a': ", {"txt": 0.5}, ["condition", "text"])
    with pytest.raises(ValueError, match="one condition without parts"):
        check_drop_names("", {"text": 0.5}, [])


def test_each_part_is_dropped_on_its_own():
    dropped = draw_dropped(BOTH, 0.4, draws())
    assert dropped["condition"].tolist() == [True, False, False] and dropped["text"].tolist() == [False, True, True]
    dropped = draw_dropped(BOTH, {"text": 0.25}, draws())
    assert not dropped["condition"].any() and dropped["text"].tolist() == [False, True, False]
    assert draw_dropped(BOTH["text"], 0.4, draws()).tolist() == [True, False, False]


@pytest.mark.parametrize("condition", [BOTH, BOTH["text"]])
def test_nothing_is_dropped_without_a_probability_but_drawn_all_the_same(condition):
    taken = []
    assert draw_dropped(condition, 0.0, lambda: taken.append(1) or torch.rand(3)) is None
    assert len(taken) == (2 if condition is BOTH else 1)


def test_unknown_parts_are_refused():
    with pytest.raises(ValueError, match="drop: got txt, expected the parts of the condition: condition, text"):
        draw_dropped(BOTH, {"txt": 0.1}, draws())
    with pytest.raises(ValueError, match="got text, expected .* one condition without parts"):
        draw_dropped(BOTH["text"], {"text": 0.1}, draws())


@pytest.mark.parametrize(("drop", "message"), [(1.5, "drop=1.5"), ({"text": -1}, "drop.text=-1: expected a prob")])
def test_probabilities_are_checked(drop, message):
    with pytest.raises(ValueError, match=f"^stage: {message}"):
        checked_drop("stage: ", drop)


def test_probabilities_are_plain_values_whatever_the_config_has_them_in():
    assert type(checked_drop("", ConfigDict(text=0.5))) is dict
    assert checked_drop("", ConfigDict(text=0.5)) == {"text": 0.5} and checked_drop("", 0.25) == 0.25


def test_rows_are_replaced_where_they_are_dropped():
    null = {"condition": torch.ones(1, 2, 4, 4), "text": torch.full((1, 2), -1)}
    made = replace_rows(BOTH, null, draw_dropped(BOTH, 0.4, draws()))
    assert made["text"].tolist() == [[0, 1], [-1, -1], [-1, -1]]
    assert made["condition"].mean(dim=(1, 2, 3)).tolist() == [1, 0, 0]
    assert replace_rows(BOTH["text"], null["text"], torch.tensor([True, False, False])).tolist()[0] == [-1, -1]


def test_members_of_a_batch_by_name():
    image, text = torch.zeros(2, 3, 4, 4), torch.zeros(2, 5)
    assert member_of({"condition": image}, "condition") is image
    both = {"condition": {"text": text, "mask": image}, "id": ["a", "b"]}
    assert member_of(both, "condition") is image and member_of(both, "condition.text") is text
    for name in ("label", "condition.sketch", "id", "id.x"):
        assert member_of(both, name) is None
    assert member_of({"condition": {"text": text}}, "condition") is None
    two = {"condition": {"mask": image, "sketch": text[:, None, None]}}
    assert member_of(two, "condition") is None and member_of(two, "condition.mask") is image
    assert members_of(both, ["condition", "label"]).keys() == {"condition"}
    assert parts_by_member(image) == {"condition": image}
    found = parts_by_member(both["condition"])
    assert found.keys() == {"condition", "condition.text", "condition.mask"} and found["condition.text"] is text


def test_rows_of_which_no_image_was_seen():
    image, text = torch.zeros(2, 3, 4, 4), torch.zeros(2, 5)
    first, second, neither = (torch.tensor(rows) for rows in ([True, False], [True, True], [False, False]))

    def unseen(condition, dropped):
        return dropped_members(condition, dropped)["condition"].tolist()

    assert dropped_members(image, None) == {} and dropped_members(image, first) == {"condition": first}
    assert unseen({"a": image, "text": text}, {"a": first, "text": neither}) == [True, False]
    assert unseen({"a": image, "b": image}, {"a": first, "b": second}) == [True, False]
    assert unseen({"a": image, "b": image}, {"a": first, "b": neither}) == [False, False]
    assert unseen({"text": text}, {"text": first}) == [True, False]
    of_parts = dropped_members({"a": image, "b": image}, {"a": first, "b": neither})
    assert of_parts["condition.a"] is first and of_parts["condition.b"] is neither
