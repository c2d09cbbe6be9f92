"""Examination of an installation: what is there, what is missing, what failed and why.

Each part imports what it needs when it runs, so that a package that cannot be imported is a finding and no end.
"""

from __future__ import annotations

import json
import shutil
import textwrap
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

#: Parts of the examination, in the order of the report, with the module that makes each.
TOPICS = {
    "versions": "pitikit.apis.doctor.versions",
    "devices": "pitikit.apis.doctor.devices",
    "weights": "pitikit.apis.doctor.weights",
    "data": "pitikit.apis.doctor.data",
    "plugins": "pitikit.apis.doctor.plugins",
}

Status = Literal["ok", "note", "fault"]


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        topic: key of :data:`TOPICS`.
        name: what was looked at.
        status: 'ok'; 'note' for what only some uses need, and is not there; 'fault' for what is broken.
        text: what was found.
        remedy: what to do about it; '' where there is nothing to do.
        facts: the same for programs: versions, paths, sizes in bytes.
    """

    topic: str
    name: str
    status: Status
    text: str
    remedy: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Diagnosis:
    """Every finding, in the order of the report."""

    findings: tuple[Finding, ...]

    @property
    def status(self) -> int:
        """Exit code: 1 if anything is broken."""
        return int(any(each.status == "fault" for each in self.findings))

    def table(self) -> str:
        """The report as text: topics, under each a line a finding, remedies below theirs; the count at the end."""
        width = max((len(each.name) for each in self.findings), default=0)
        indent = " " * 9
        lines = []
        for topic, found in groupby(self.findings, lambda each: each.topic):
            lines.append(topic)
            for each in found:
                status = "FAULT" if each.status == "fault" else each.status
                lines.append(f"  {status:<5}  {each.name:<{width}}  {each.text}")
                # Paths and commands stay whole, so that they can be copied.
                lines += textwrap.wrap(
                    each.remedy,
                    shutil.get_terminal_size((120, 0)).columns,
                    initial_indent=f"{indent}-> ",
                    subsequent_indent=f"{indent}   ",
                    break_long_words=False,
                    break_on_hyphens=False,
                )
        count = Counter(each.status for each in self.findings)
        words = [f"{count[kind]} {kind if count[kind] == 1 else kind + 's'}" for kind in ("fault", "note")]
        return "\n".join([*lines, "", f"{', '.join(words)}; {count['ok']} ok"])

    def json(self) -> str:
        """The report for programs: ``{"status": 0, "findings": [...]}``."""
        whole = {"status": self.status, "findings": [asdict(each) for each in self.findings]}
        return json.dumps(whole, indent=2, default=str)


def examine(plugins: Sequence[str | Path] = (), topics: Iterable[str] = TOPICS) -> Diagnosis:
    """Look at versions, devices, weights, data and plugins.

    Args:
        plugins: folders of plugins to import, beside the installed ones.
        topics: parts to examine, keys of :data:`TOPICS`.
    """
    found: list[Finding] = []
    for topic in topics:
        found += guarded(topic, topic, _look, topic, *([plugins] if topic == "plugins" else []))
    return Diagnosis(tuple(found))


def _look(topic: str, *given: Any) -> Iterable[Finding]:
    return import_module(TOPICS[topic]).look(*given)


def guarded(topic: str, name: str, look: Callable[..., Iterable[Finding]], *given: Any) -> Iterator[Finding]:
    """The findings of ``look(*given)``; if it fails, a fault with the reason in their place. Warnings are dropped."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield from list(look(*given))
        # A library may end the process as it is imported (SystemExit), or fail in any way.
        except (Exception, SystemExit) as error:
            yield Finding(topic, name, "fault", f"cannot be examined: {reason(error)}")


def reason(error: BaseException) -> str:
    """Class and first line of an error."""
    # str() of a KeyError is the repr of its message.
    text = str(error.args[0] if isinstance(error, KeyError) and error.args else error)
    return f"{type(error).__name__}: {text.splitlines()[0]}" if text.strip() else type(error).__name__
