"""The policy: what must hold for an update to ship, as frozen settings and as a strict YAML file."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BeforeValidator

from muscle_llm.errors import ConfigError
from muscle_llm.gate.verdict import OnInconclusive
from muscle_llm.settings_file import Document, read_yaml, to_settings

__all__ = ["Margins", "Policy", "Rules", "ScoreMargins", "SliceRules", "TaskRules", "load_policy"]

M = TypeVar("M")


def _number(value: Any) -> Any:
    """Return a margin as a number: ``0.02``, ``"0.02"`` and ``"2 %"`` are the same; ``"off"`` stays."""
    if value is None or value == "off":
        return value
    text = str(value).strip()
    factor = 0.01 if text.endswith("%") else 1.0
    try:
        number = float(text.removesuffix("%")) * factor
    except ValueError:
        number = math.nan
    if isinstance(value, bool) or not (math.isfinite(number) and number >= 0):
        shown = f"not {text!r}" if text else "but the value is empty"
        raise ValueError(f"a margin is a number of at least 0, such as 0.02 or 2 %, or 'off', {shown}")
    return number


def _share(value: Any) -> Any:
    number = _number(value)
    if isinstance(number, float) and number > 1:
        raise ValueError(f"this margin is a share of the instances, such as 0.02 or 2 %, not {value}")
    return number


def _level(value: Any) -> Any:
    number = _number(value)
    if not (isinstance(number, float) and 0 < number < 1):
        raise ValueError(f"the confidence must lie between 0 and 1, such as 0.95, not {value}")
    return number


def _count(value: Any) -> Any:
    if value is None:
        return None
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit()):
        raise ValueError(f"this is a number of instances, such as 200, not {text!r}")
    return int(text)


Share = Annotated[float | Literal["off"] | None, BeforeValidator(_share)]
Amount = Annotated[float | Literal["off"] | None, BeforeValidator(_number)]
Count = Annotated[int | None, BeforeValidator(_count)]


@dataclass(frozen=True)
class ScoreMargins:
    """Margins on a score per instance, such as ROUGE-1; a margin not given is not judged.

    Args:
        mean_drop: mean of old minus mean of new, in the score's own unit.
        nfr: share of the instances whose score falls by more than the tolerance.
        regress: mean fall among the instances that fall, in the score's own unit.
    """

    mean_drop: Amount = None
    nfr: Share = None
    regress: Amount = None

    def __post_init__(self) -> None:
        _check(self, amounts=("mean_drop", "regress"), shares=("nfr",))


@dataclass(frozen=True)
class Margins:
    """The largest harms that are accepted, as shares of the instances; a margin not given is not judged.

    ``"off"`` takes back a margin that would be inherited.

    Args:
        accuracy_drop: accuracy of old minus accuracy of new.
        nfr: negative flips, right in old and wrong in new.
        excess_nfr: negative flips beyond the noise floor.
        nfr_mc: wrong in new, with another answer than in old.
        churn: answers that changed, right or wrong.
        scores: margins on scores, by the score's name.
    """

    accuracy_drop: Share = None
    nfr: Share = None
    excess_nfr: Share = None
    nfr_mc: Share = None
    churn: Share = None
    scores: Mapping[str, ScoreMargins] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _check(self, shares=("accuracy_drop", "nfr", "excess_nfr", "nfr_mc", "churn"))


@dataclass(frozen=True)
class Rules(Margins):
    """What must hold over all instances of a task.

    Args:
        reliable_flips: share of the instances that may be reliably worse; needs several answers per instance.
        min_instances: with fewer instances the verdict is inconclusive.
        must_not_break: ids of instances that must stay right if they were right.
    """

    reliable_flips: Share = None
    min_instances: Count = None
    must_not_break: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, shares=("reliable_flips",), counts=("min_instances",))


@dataclass(frozen=True)
class SliceRules(Margins):
    """What must hold in every value of a slice.

    Args:
        skip_below: values with fewer instances than this are not judged.
        values: further margins of single values; what they leave open is as for all values.
    """

    skip_below: Count = None
    values: Mapping[str, Margins] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check(self, counts=("skip_below",))

    def margins_of(self, value: str) -> Margins:
        """Return the margins of one value of the slice."""
        general = Margins(**{f.name: getattr(self, f.name) for f in dataclasses.fields(Margins)})
        return merge(general, self.values[value]) if value in self.values else general


@dataclass(frozen=True)
class TaskRules(Rules):
    """What must hold for one task, on top of the rules for all.

    Args:
        slices: rules of slices of this task, by the slice's name.
    """

    slices: Mapping[str, SliceRules] = field(default_factory=dict)


@dataclass(frozen=True)
class Policy:
    """What must hold for an update to ship.

    Args:
        confidence: level of the two-sided intervals whose bounds decide, in (0, 1).
        on_inconclusive: what the verdict is when nothing fails but a clause is inconclusive.
        all: what must hold for every task.
        tasks: what differs for single tasks, by the task's name; what they leave open is as for all.
        slices: what must hold in every value of a slice, by the slice's name.

    Raises:
        ConfigError: a margin is out of range, or a block has another type.

    Example:
        >>> policy = Policy(all=Rules(nfr=0.05), tasks={"gsm8k": TaskRules(nfr=0.02)})
        >>> policy.rules_for("piqa").nfr, policy.rules_for("gsm8k").nfr
        (0.05, 0.02)
    """

    confidence: Annotated[float, BeforeValidator(_level)] = 0.95
    on_inconclusive: OnInconclusive = "inconclusive"
    all: Rules = field(default_factory=Rules)
    tasks: Mapping[str, TaskRules] = field(default_factory=dict)
    slices: Mapping[str, SliceRules] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise ConfigError(
                f"the confidence must lie between 0 and 1, such as 0.95, not {self.confidence}."
            )
        if self.on_inconclusive not in ("fail", "pass", "inconclusive"):
            raise ConfigError(f"on_inconclusive is fail, pass or inconclusive, not {self.on_inconclusive!r}.")
        blocks = {"all": (self.all, Rules)}
        blocks |= {f"tasks[{name!r}]": (rules, TaskRules) for name, rules in self.tasks.items()}
        blocks |= {f"slices[{name!r}]": (rules, SliceRules) for name, rules in self.slices.items()}
        for where, (rules, kind) in blocks.items():
            if not isinstance(rules, kind):
                raise ConfigError(
                    f"{where} needs {kind.__name__}(...), such as {kind.__name__}(nfr=0.05), not a "
                    f"{type(rules).__name__}."
                )

    def rules_for(self, task: str | None) -> TaskRules:
        """Return the rules of a task: those for all, changed by its own."""
        general = TaskRules(
            **{f.name: getattr(self.all, f.name) for f in dataclasses.fields(Rules)}, slices=self.slices
        )
        own = self.tasks.get(task) if task is not None else None
        return general if own is None else merge(general, own)

    def asks_of(self, task: str | None) -> bool:
        """Return whether anything must hold for a task.

        Example:
            >>> policy = Policy(tasks={"gsm8k": TaskRules(nfr=0.02), "piqa": TaskRules(nfr="off")})
            >>> policy.asks_of("gsm8k"), policy.asks_of("piqa"), policy.asks_of("arc")
            (True, False, False)
        """
        return _asks(self.rules_for(task))


def _asks(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_asks, value.values()))
    if dataclasses.is_dataclass(value):
        names = [f.name for f in dataclasses.fields(value) if f.name != "skip_below"]
        return any(_asks(getattr(value, name)) for name in names)
    return value is not None and value != "off" and value != ()


def merge(general: M, own: M) -> M:
    """Return ``general`` with everything that ``own`` sets; mappings are merged key by key.

    Example:
        >>> merge(Margins(nfr=0.1, churn=0.2), Margins(nfr="off"))
        Margins(accuracy_drop=None, nfr='off', excess_nfr=None, nfr_mc=None, churn=0.2, scores={})
    """
    assert dataclasses.is_dataclass(general)
    assert not isinstance(general, type)
    values: dict[str, Any] = {}
    for f in dataclasses.fields(general):
        above, below = getattr(general, f.name), getattr(own, f.name)
        if isinstance(above, Mapping):
            both = {k: merge(v, below[k]) if k in below else v for k, v in above.items()}
            values[f.name] = {**below, **both}
        else:
            values[f.name] = above if below is None else below
    return dataclasses.replace(general, **values)


def _check(
    block: Any, *, shares: tuple[str, ...] = (), amounts: tuple[str, ...] = (), counts: tuple[str, ...] = ()
) -> None:
    """Refuse what a caller from Python gives out of range; what a file holds was checked where it stands."""
    kinds = [*((n, _share) for n in shares), *((n, _number) for n in amounts), *((n, _count) for n in counts)]
    for name, read in kinds:
        try:
            read(getattr(block, name))
        except ValueError as error:
            raise ConfigError(f"{name}: {error}.") from error


def load_policy(path: Path) -> Policy:
    """Read a policy from its YAML file; values are taken as they are written, so that the id 007 stays 007.

    Args:
        path: the YAML file; the files of ids it names are relative to its folder, one id per line.

    Raises:
        ConfigError: the file cannot be used; the message says line, key and fix.
    """
    document = read_yaml(path, as_written=True)
    content = document.value
    if isinstance(content, Mapping):
        content = dict(content)
        if isinstance(content.get("all"), Mapping):
            content["all"] = _with_ids(document, content["all"], ("all",))
        if isinstance(content.get("tasks"), Mapping):
            content["tasks"] = {
                name: _with_ids(document, rules, ("tasks", name)) for name, rules in content["tasks"].items()
            }
    policy = to_settings(document, Policy, content)
    if not (policy.tasks or policy.slices or policy.all != Rules()):
        raise ConfigError(
            f"{path}: the policy asks for nothing. Add a margin, such as 'nfr: 0.05' under 'all'."
        )
    return policy


def _with_ids(document: Document, rules: Any, location: tuple[str, ...]) -> Any:
    """Return a block with its list of ids in place of the name of the file that holds it."""
    if not isinstance(rules, Mapping) or "must_not_break" not in rules:
        return rules
    found = rules["must_not_break"]
    where = (*location, "must_not_break")
    if isinstance(found, Mapping) and set(found) == {"file"}:
        ids = _read_ids(document, str(found["file"]), where)
    elif isinstance(found, list) and all(isinstance(i, str) for i in found):
        ids = found
    else:
        raise document.error(where, "needs a list of ids, or 'file: PATH' of a file with one id per line")
    if not all(ids):
        raise document.error(where, "an id is empty")
    return {**rules, "must_not_break": list(dict.fromkeys(ids))}


def _read_ids(document: Document, name: str, where: tuple[str, ...]) -> list[str]:
    path = document.path.parent / name
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise document.error(where, f"cannot read {path} ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise document.error(where, f"{path} is not UTF-8 text (byte {error.start})") from error
    ids = [line.strip() for line in lines if line.strip()]
    if not ids:
        raise document.error(where, f"{path} holds no id")
    return ids
