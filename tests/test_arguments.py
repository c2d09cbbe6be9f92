"""Signatures of components: names, values and parts."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Optional, Protocol, Union

import numpy as np
import pytest
import torch
from mmengine.optim.scheduler import CosineAnnealingLR
from torch import nn

from pitikit.arguments import Argument, arguments_of, check_arguments, item_of, nearest, source_of, value_fault
from pitikit.registry import GUIDANCES, HOOKS, LOSSES


def test_nearest_ignores_case_and_lists_what_is_known():
    assert nearest("ddimsampler", ["DDIMSampler", "CFG"]) == "did you mean 'DDIMSampler'?"
    assert nearest("zzz", ["b", "a"]) == "known: a, b"
    assert nearest("zzz", []) == "known: nothing"
    assert nearest("zzz", [f"a{n}" for n in range(30)]).endswith("and 10 more")


class Base:
    def __init__(self, a, b=1):
        pass


class Forwards(Base):
    def __init__(self, c, **kwargs):
        super().__init__(**kwargs)


class Reads:
    def __init__(self, a, **kwargs):
        pass


class Part(nn.Module):
    def __init__(self, width, *, depth=1):
        super().__init__()


class Bare(nn.Module):
    pass


class Named(Protocol):
    def wrap(self, x): ...


class Follows(Named):
    def __init__(self, scale):
        pass


@dataclasses.dataclass
class Record:
    x: int
    y: int = dataclasses.field(default=0, init=False)


class Pair(NamedTuple):
    left: int
    right: int


@pytest.mark.parametrize(
    ("target", "names"),
    [
        (Base, {"a", "b"}),
        (Forwards, {"a", "b", "c"}),
        (Reads, None),
        (Part, {"width", "depth"}),
        (Bare, set()),
        (Follows, {"scale"}),
        (Record, {"x"}),
        (Pair, {"left", "right"}),
        (lambda a, *, b: 0, {"a", "b"}),
        (lambda a, **more: 0, None),
    ],
)
def test_arguments_of(target, names):
    known, open_ended = arguments_of(target)
    assert open_ended if names is None else (set(known), open_ended) == (names, False)


def test_the_arguments_are_the_callers_to_change():
    arguments_of(Base)[0].clear()
    assert list(arguments_of(Base)[0]) == ["a", "b"]


def test_arguments_follow_mixins_to_the_class_that_takes_them():
    assert {"T_max", "by_epoch", "begin"} <= arguments_of(CosineAnnealingLR)[0].keys()


STEPS = int | Sequence[int] | str


@pytest.mark.parametrize(
    ("hint", "fits", "fails"),
    [
        (int, [3, np.int64(3)], [1.5, "3", True, None, [3], {}]),
        (float, [3, 3.5, np.float32(1), np.int16(1)], ["3", False, None, (1.0,)]),
        (bool, [True, 0, 1, np.True_], ["yes", 2, None, 0.5]),
        (str, ["a"], [3, None, ["a"], b"a"]),
        (float | None, [None, 2], ["none"]),
        (Optional[int], [None, 2], ["none"]),  # noqa: UP045
        (Union[int, str], ["a", 2], [None, 2.5]),  # noqa: UP007
        (STEPS, [5, "ddim50", [10, 2], (1, 5)], [1.5, None, [1, "x"], {}]),
        (Sequence[int], [(1, 2), [], range(3), np.arange(3)], [3, "12", ["1"], {"a": 1}, None]),
        (Sequence[str], [["a"], "a"], [[3]]),
        (Sequence[Any], [[1, "a"]], ["EpsMSE", dict(type="EpsMSE")]),
        (list[str], [["a"], ("a",)], ["a"]),
        (tuple[float, float], [(0, 1), [0.5, 1]], [(1, 2, 3), (1, "a"), 2]),
        (tuple[int, ...], [(), (1, 2, 3)], [("a",)]),
        (Mapping[str, str], [{"a": "b"}], [{"a": 3}, [], "a"]),
        (dict, [{}, {"a": 1}], ["a", [1]]),
        (dict[str, Any] | Sequence[dict[str, Any]], [{}, [{}]], ["a", ["a"]]),
        (Literal["l1", "l2"], ["l1"], ["l3", 1]),
        (Path, ["a/b", Path("a")], [3, ["a"]]),
        (str | Path | None, ["a", None], [3]),
        (float | torch.Tensor, [1.0, torch.ones(2)], ["fast"]),
        (torch.dtype, ["float16", torch.float16], []),
        (nn.Module, [dict(type="x"), "x", None, nn.Identity()], []),
        (Callable[[int], int], ["f", 3, abs], []),
        (Any, [1, "a", None], []),
        ("Nowhere", [1, "a"], []),
    ],
)
def test_values_are_judged_by_plain_annotations(hint, fits, fails):
    argument = Argument(hint, None if hint is Any else ..., ours=True)
    assert {repr(value): value_fault(value, argument) for value in fits} == {repr(value): None for value in fits}
    assert all(value_fault(value, argument) for value in fails), [v for v in fails if not value_fault(v, argument)]


def test_of_foreign_classes_only_texts_are_judged():
    argument = Argument(int, ..., ours=False)
    assert value_fault(1.5, argument) is None and value_fault(None, argument) is None
    assert value_fault("x", argument) == "found 'x', a str; expected int"


def test_a_default_may_break_its_own_annotation():
    assert value_fault(None, Argument(int, None, ours=True)) is None


def test_what_was_expected_is_said():
    def fault(value, hint):
        return value_fault(value, Argument(hint, ..., ours=True))

    assert fault("abc", float) == "found 'abc', a str; expected float"
    assert fault(3, Sequence[int] | None) == "found 3, an int; expected Sequence[int] | None"
    assert fault(None, bool) == "found None; expected bool"
    assert fault("l3", Literal["l1", "huber"] | None).endswith("did you mean 'l1'?")
    assert len(fault("x" * 1000, int)) < 120


def test_annotations_of_a_future_import_are_resolved_one_by_one():
    known, _ = arguments_of(torch.utils.data.DataLoader)
    assert value_fault("x", known["batch_size"]) and value_fault("x", known["sampler"]) is None


def test_a_wrong_argument_is_named():
    with pytest.raises(TypeError, match=r"^stages\[0\]: unknown argument 'z'"):
        check_arguments(Base, dict(z=1), "stages[0]")


PART = Annotated[Any, GUIDANCES]


@pytest.mark.parametrize(
    ("hint", "source"),
    [
        (PART, ((GUIDANCES,), None, False)),
        (PART | None, ((GUIDANCES,), None, False)),
        (str | Path | PART, ((GUIDANCES,), None, False)),
        (Annotated[Any, GUIDANCES, LOSSES], ((GUIDANCES, LOSSES), None, False)),
        (Annotated[dict, Record], ((), Record, False)),
        (Annotated[dict | None, HOOKS, Record], ((HOOKS,), Record, False)),
        (Annotated[str | Any, GUIDANCES], ((GUIDANCES,), None, True)),
        (Sequence[PART], None),
        (Annotated[int, "metres"], None),
        (int | None, None),
    ],
)
def test_the_source_of_a_part_stands_in_its_annotation(hint, source):
    assert source_of(hint) == source


@pytest.mark.parametrize(
    ("hint", "in_list", "in_dict"),
    [
        (PART, PART, Any),
        (Sequence[PART] | None, PART, Any),
        (Mapping[str, PART], Any, PART),
        (Mapping[str, Sequence[PART]], Any, Sequence[PART]),
        (Annotated[Mapping[str, PART] | None, Record], Annotated[Mapping[str, PART] | None, Record], PART),
        (Sequence[int], Any, Any),
        (list, Any, Any),
    ],
)
def test_what_a_list_or_dict_of_parts_holds(hint, in_list, in_dict):
    assert (item_of(hint, list), item_of(hint, dict)) == (in_list, in_dict)


def test_one_annotation_that_cannot_be_read_leaves_the_others():
    def build(scale: "float", part: "Annotated[Any, GUIDANCES]", lost: "Nowhere", names: "list[str]" = ()): ...  # noqa: F821

    known, _ = arguments_of(build)
    assert (known["scale"].annotation, known["lost"].annotation) == (float, Any)
    assert source_of(known["part"].annotation).registries == (GUIDANCES,)
    assert known["names"].annotation == list[str]


def test_a_signature_with_parts_is_judged_like_ours():
    def build(scale: float, part: PART = None): ...

    build.__module__ = "somewhere"
    assert arguments_of(build)[0]["scale"].ours
    build.__annotations__.pop("part")
    assert not arguments_of(build)[0]["scale"].ours
