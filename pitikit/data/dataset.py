"""The one dataset of files on disk: an image, its conditions, its caption, found by path templates
or a list.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from mmengine.dataset import Compose
from torch.utils.data import Dataset

import pitikit.data.sampler  # noqa: F401  (registers the sampler that draws from these datasets)
from pitikit.data.errors import DataError, LoaderError
from pitikit.data.listing import Passed, describe_passed
from pitikit.data.splits import check_text, is_range, listed_ids, positions, read_lines
from pitikit.data.templates import MemberFiles
from pitikit.registry import DATASETS, TRANSFORMS

#: Ways of :class:`PairedImageDataset` to handle a bad item.
ON_ERROR = ("raise", "skip")
_WHERE = (
    "set root= to where the data is (root='{{ fileDirname }}/…' is beside the config), or PITIKIT_DATA for a config "
    "that reads it"
)


class StandInId(str):
    """The id of an item that was read in the place of bad ones; travels with the batch, from workers too.

    Everywhere else it is the plain id. ``passed`` has id and complaint of each bad item.
    """

    passed: tuple[tuple[str, str], ...]

    def __new__(cls, name: str, passed: tuple[tuple[str, str], ...]) -> StandInId:
        """Make the id of the item ``name``."""
        made = super().__new__(cls, name)
        made.passed = passed
        return made

    def __reduce__(self) -> tuple[type[StandInId], tuple[str, tuple[tuple[str, str], ...]]]:
        """Pickle with what was passed over."""
        return StandInId, (str(self), self.passed)


def nested_subset(count: int, subset: float, seed: int = 0) -> list[int]:
    """Sorted indices of a seeded share of ``count`` items; with one seed a smaller share lies
    within a larger.

    Raises ValueError unless 0 < subset <= 1. At least one item is kept.
    """
    if not 0 < subset <= 1:
        raise ValueError(f"subset={subset}; expected a share above 0 and up to 1")
    if subset == 1:
        return list(range(count))
    order = np.random.default_rng(seed).permutation(count)
    return sorted(order[: max(1, round(count * subset))].tolist())


class Pipeline(Compose):
    """Transforms in a row, each of which has to return the results."""

    def __call__(self, data: dict) -> Any:
        """The results of the last transform; a None on the way, at which mmengine would end, is an error."""
        for step in self.transforms:
            data = step(data)
            if data is None:
                raise LoaderError(f"None of {type(step).__name__}.transform", "the results", "it must return them")
        return data


def build_pipeline(pipeline: Sequence[Any]) -> Pipeline:
    """Build transforms from configs (ready objects pass through) and chain them.

    Raises:
        TypeError: one of them cannot be called, as that of a class without the base of its kind.
    """
    steps = [TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline]
    for name in (type(step).__name__ for step in steps if not callable(step)):
        raise TypeError(
            f"{name}: got a class without __call__, expected a ConditionLoader or BaseTransform; derive it: "
            f"class {name}(ConditionLoader)"
        )
    return Pipeline(steps)


@DATASETS.register_module()
class PairedImageDataset(Dataset):
    """Pairs of an image and its conditions, read lazily; every partner's existence is checked at
    the start.

    Args:
        root: folder that the templates, the list file and the paths in it start from.
        image: path template of the image, or None for a set of conditions alone (translation).
            '{id}' stands for the item, and may span folders, links to folders included; '{jpg,png}' for
            alternatives: 'images/{id}.{jpg,png}'; the suffix '.*' for every format. See below.
        conditions: member name -> path template; mask, sketch, depth, normals, caption, or whatever
            the loader of a plugin reads. May be empty.
        list_file: a text file with one id per line, or with one JSON object per line: 'id' and,
            for any member, its path ('caption': the text itself). Members it leaves out follow
            their template.
        pipeline: transforms, or their configs.
        split: a part of the items that the template finds: positions in their sorted list, from 1 and with both
            ends, such as '1-300', '301-' or '1-100,201-300'; or a text file (in ``root``, or as given) with one
            item per line, in its order: an id, or a path, absolute or relative, of which the end that one item has
            counts. Not together with ``list_file`` or ``ids``.
        subset: share of the items to use, of a split's; a smaller share lies within a larger one.
        subset_seed: which share.
        seed: seed of the augmentation.
        caption_file: captions of all items: JSON ``{id: text}``, or lines of ``id<TAB>text``.
        ids: the ids to use, instead of finding them.
        test_mode: augmentation does not change from one pass to the next.
        same_size: True if a condition must have its image's size; False accepts another of the
            same shape, such as a label map at half the resolution.
        metainfo: facts for evaluators, such as class names.
        on_error: what a bad item does in the middle of an epoch: 'raise' stops and names it; 'skip'
            puts the next readable item of the set in its place, with the augmentation of the draw.
            Which one that is depends on the files alone, never on workers or on what was read before.
        max_bad: with 'skip', the largest share of bad items that is allowed.
        optional: members of ``conditions`` that an item may lack, if it has another one; for
            :class:`~pitikit.data.loading_conditions.LoadConditions`. How many items lack each is in ``lacking``.

    A template fits suffixes in any case, and other spellings of them ('.jpeg' for '.jpg'). A file in another format
    that is read here is taken for a partner that is missing otherwise, and, beside those that fit, for an item whose
    partners are all there; of several files of one id, the one nearest to the template. Hidden files, and what systems
    and editors leave behind, are no data. What else the image's folder holds is kept in ``passed_over``, by reason.

    With ``on_error='skip'`` the id of an item that stands in for others is a :class:`StandInId`. The
    training loop reads it, warns of each bad item once, counts, and stops beyond ``max_bad``. Items
    that miss a partner are left out from the start and kept in ``missing``.

    Item i of pass e gives its pipeline ``results['rng'] = np.random.default_rng([seed, e, i])``,
    so that augmentation depends on neither the number of workers nor the order. The pass comes
    from the index when :class:`~pitikit.data.sampler.DrawSampler` draws it, otherwise from
    :meth:`set_epoch`.

    Raises:
        DataError: no item found, an id twice, a partner missing (the item and the path are named),
            or, with 'skip', missing for more than ``max_bad`` of them; and, when an item is read,
            whatever is wrong with it.
        ValueError: an argument out of range, or ``on_error='skip'`` with ``test_mode``.
    """

    def __init__(
        self,
        root: str | Path,
        image: str | None = "images/{id}.jpg",
        conditions: Mapping[str, str] | None = None,
        list_file: str | Path | None = None,
        pipeline: Sequence[Annotated[Any, TRANSFORMS]] = (),
        subset: float = 1.0,
        subset_seed: int = 0,
        seed: int = 0,
        caption_file: str | Path | None = None,
        ids: Sequence[str] | None = None,
        test_mode: bool = False,
        metainfo: Mapping[str, Any] | None = None,
        same_size: bool = True,
        on_error: str = "raise",
        max_bad: float = 0.05,
        split: str | Path | None = None,
        optional: Sequence[str] = (),
    ) -> None:
        if on_error not in ON_ERROR:
            raise ValueError(f"on_error={on_error!r}; expected one of {ON_ERROR}")
        if not 0 <= max_bad <= 1:
            raise ValueError(f"max_bad={max_bad}; expected a share from 0 to 1")
        if on_error == "skip" and test_mode:
            raise ValueError("on_error='skip' with test_mode: a test set that replaces items measures another set")
        self.on_error, self.max_bad = on_error, max_bad
        self.missing: list[DataError] = []
        self.root = Path(root).expanduser()
        self.seed, self.epoch, self.test_mode = seed, 0, test_mode
        self.same_size = same_size
        self.metainfo = dict(metainfo or {})
        chosen = dict(mask="labels/{id}.png") if conditions is None else dict(conditions)
        templates = chosen if image is None else {"image": image, **chosen}
        if unknown := sorted(set(optional) - set(chosen)):
            raise ValueError(f"optional={list(optional)}: {unknown[0]!r} is none of the conditions, {list(chosen)}")
        self.optional = tuple(optional)
        if not self.root.is_dir():
            place = "" if self.root.is_absolute() else f" in the working directory, {Path.cwd()}"
            raise DataError(f"no such folder{place}", "the dataset's root", _WHERE, self.root)
        files = MemberFiles(self.root, templates, self.optional)
        listed = self._listed(files, list_file, ids, split)
        captions = self._read_captions(caption_file) if caption_file is not None else None
        self.items = self._resolve(files, listed, captions)
        self.passed_over: Passed = files.passed
        self.items = [self.items[i] for i in nested_subset(len(self.items), subset, subset_seed)]
        lacking = {name: sum(name not in item["sources"] for item in self.items) for name in self.optional}
        self.lacking = {name: count for name, count in lacking.items() if count}
        self.pipeline = build_pipeline(pipeline)

    # ---- finding the items

    def _listed(
        self,
        files: MemberFiles,
        list_file: str | Path | None,
        ids: Sequence[str] | None,
        split: str | Path | None,
    ) -> list[dict[str, str]]:
        given = [n for n, v in (("list_file", list_file), ("ids", ids), ("split", split)) if v is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} were both given; expected one of them")
        if ids is not None:
            listed = [{"id": str(name)} for name in ids]
        elif list_file is not None:
            listed = self._read_list(self.root / list_file)
        else:
            names = files.ids()
            listed = [{"id": name} for name in (names if split is None else self._split(files, names, split))]
        seen: set[str] = set()
        for entry in listed:
            if entry["id"] in seen:
                raise DataError("the id twice", "ids that differ", "results are saved by id", item=entry["id"])
            seen.add(entry["id"])
        return listed

    def _split(self, files: MemberFiles, names: list[str], split: str | Path) -> list[str]:
        if is_range(str(split)):
            return [names[place] for place in positions(str(split), len(names))]
        path = self.root / Path(split).expanduser()
        if not path.is_file() and Path(split).expanduser().is_file():
            path = Path(split).expanduser()
        listed = listed_ids(read_lines(path), files.found, path)
        if not listed:
            raise DataError("an empty list", "one item per line", path=path)
        return listed

    def _read_list(self, path: Path) -> list[dict[str, str]]:
        listed: list[dict[str, str]] = []
        for number, line in enumerate(read_lines(path), start=1):
            if not line.startswith("{"):
                listed.append({"id": line})
                continue
            place = f"{path}, line {number}"
            try:
                entry = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"no JSON ({error})", "one JSON object a line", path=place) from error
            if "id" not in entry:
                raise DataError("no 'id'", "the key 'id', and paths by member", path=place)
            check_text(str(entry.get("caption", "")), place)
            listed.append({key: str(value) for key, value in entry.items()})
        if not listed:
            raise DataError("an empty list", "one id per line", path=path)
        return listed

    def _read_captions(self, caption_file: str | Path) -> dict[str, str]:
        path = self.root / caption_file
        if path.suffix == ".json":
            try:
                return {str(k): str(v) for k, v in json.loads(path.read_text(encoding="utf-8")).items()}
            except (OSError, ValueError, AttributeError) as error:
                raise DataError(f"captions that cannot be read ({error})", "JSON {id: text}", path=path) from error
        captions = {}
        for number, line in enumerate(read_lines(path), start=1):
            name, tab, text = line.partition("\t")
            if not tab:
                raise DataError("a line without a tab", "id<TAB>text", path=f"{path}, line {number}")
            captions[name] = check_text(text, f"{path}, line {number}")
        return captions

    def _resolve(
        self, files: MemberFiles, listed: list[dict[str, str]], captions: dict[str, str] | None
    ) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        missing: list[DataError] = []
        files.names = files.names or [entry["id"] for entry in listed]
        for entry in listed:
            name = entry["id"]
            sources: dict[str, Path | str] = {}
            taken: list[str] = []
            for member in dict.fromkeys([*files.templates, *(key for key in entry if key != "id")]):
                if member == "caption" and member in entry:
                    sources[member] = entry[member]
                    continue
                if member in entry:
                    places = [entry[member].replace("{id}", name)]
                    place = files.tree.find(places[0])
                else:
                    places, place = files.places(member, name), files.file(member, name, taken)
                if place is None and member in self.optional and member not in entry:
                    continue
                if place is None:
                    tried = " or ".join(str(self.root / path) for path in places)
                    missing.append(DataError(f"no {member}", "every member of the pair", path=tried, item=name))
                    break
                sources[member] = Path(files.tree.real(place))
                taken.append(place)
            else:
                if self.optional and captions is None and not set(sources) - {"image"}:
                    expected = f"one of {', '.join(self.optional)} at least"
                    missing.append(DataError("an image without a condition", expected, item=name))
                elif captions is None or name in captions:
                    caption = {} if captions is None else {"caption": captions[name]}
                    items.append({"id": name, "sources": {**sources, **caption}})
                else:
                    missing.append(DataError("no caption", "a caption for every item", item=name))
        self.missing = missing
        if missing and (self.on_error == "raise" or len(missing) > self.max_bad * len(listed) or not items):
            count = f"{len(missing)} of {len(listed)} items miss{'es' * (len(missing) == 1)} a partner"
            hint = ""
            if items and self.on_error == "skip":
                hint = f", expected a share of at most max_bad={self.max_bad:g}; raise max_bad"
            elif items and not self.test_mode:
                hint = "; tools/check_data.py lists them, on_error='skip' passes over them"
            missing[0].advice = count + hint
            missing[0].others = missing[1:]
            raise missing[0]
        if not items:
            raise DataError("no item", "at least one that is whole", path=self.root)
        for member in self.optional:
            if not any(member in item["sources"] for item in items):
                shown = " or ".join(each.text for each in files.templates[member])
                advice = "or leave it out of conditions and optional"
                raise DataError(f"no file of the optional {member}", f"some like {shown!r}", advice, self.root)
        return items

    @property
    def passed_over_report(self) -> str:
        """Line about the files that were passed over, and about missing conditions; empty where there is none."""
        lacking = [f"no {name} for {count} of {len(self)} items" for name, count in self.lacking.items()]
        text = "; ".join(filter(None, [describe_passed(self.passed_over), *lacking]))
        return f"{self.root}: {text}" if text else ""

    # ---- reading

    @property
    def ids(self) -> list[str]:
        """The ids of the items, in their order."""
        return [item["id"] for item in self.items]

    def __len__(self) -> int:
        """Number of items, after the subset was taken."""
        return len(self.items)

    def set_epoch(self, epoch: int) -> None:
        """State the pass over the data; running workers (``persistent_workers``) keep the
        earlier one.
        """
        self.epoch = epoch

    def __getitem__(self, index: int) -> Any:
        """Item ``index`` after its pipeline; raises DataError naming the item, IndexError past the
        end.
        """
        place, epoch = int(index), 0 if self.test_mode else getattr(index, "epoch", self.epoch)
        if self.on_error == "raise":
            try:
                return self._read(place, place, epoch)
            except DataError as error:
                if not self.test_mode and not isinstance(error, LoaderError):
                    hint = "tools/check_data.py lists all bad items, on_error='skip' passes over them"
                    error.advice = f"{error.advice}; {hint}" if error.advice else hint
                raise
        length, passed = len(self.items), list[tuple[str, str]]()
        # More bad items in a row than are allowed in all: the loop would stop only after a whole batch.
        for step in range(min(length, int(self.max_bad * length) + 1)):
            try:
                sample = self._read((place + step) % length if step else place, place, epoch)
            except LoaderError:
                raise
            except DataError as error:
                passed.append((self.items[(place + step) % length]["id"], str(error)))
                continue
            if passed and isinstance(sample, dict):
                sample["id"] = StandInId(str(sample.get("id", "")), tuple(passed))
            return sample
        raise DataError(
            f"{len(passed)} bad items in a row, of {length}; the first: {passed[0][1]}",
            f"a share of at most max_bad={self.max_bad:g}",
            "tools/check_data.py lists them all",
        )

    def _read(self, place: int, drawn: int, epoch: int) -> Any:
        """Item ``place`` with the random numbers of item ``drawn``."""
        item = self.items[place]
        results: dict[str, Any] = {
            "id": item["id"],
            "sources": item["sources"],
            "same_size": self.same_size,
            "rng": np.random.default_rng([self.seed, epoch, drawn % len(self.items)]),
        }
        try:
            return self.pipeline(results)
        except DataError as error:
            error.item = item["id"] if error.item is None else error.item
            raise
        except OSError as error:
            raise DataError(f"a file that cannot be read ({error})", "a whole file", item=item["id"]) from error
        except Exception as error:
            raise RuntimeError(f"item {item['id']!r}: {type(error).__name__}: {error}") from error
