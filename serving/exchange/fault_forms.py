"""Faults as `POST /paper/faults` asks for them, checked: a wrong word or number is an InputException that names it."""

from collections.abc import Mapping
from dataclasses import fields
from enum import StrEnum
from typing import Any, TypeVar

from serving.exchange.faults import CALLS, MAX_ARMED, STATUSES, Fault, FaultKind, Purpose
from serving.exchange.refusals import input_error

MAX_SECONDS = 600.0
MAX_WRONG_S = 5e9  #: of a wrong time, either way: past the ends of what a packet can tell
WRONG_TIMES = (FaultKind.TICK_STAMP, FaultKind.TICK_TRADE_TIME)
Word = TypeVar("Word", bound=StrEnum)


def fault_from(content: Any) -> Fault:
    """A fault from the JSON of `POST /paper/faults`; a wrong word or number is an InputException that names it."""
    if not isinstance(content, dict):
        raise input_error('A JSON object is expected, e.g. {"kind": "answer_lost", "route": "POST /orders"}.')
    unknown = sorted(set(content) - {f.name for f in fields(Fault)})
    if unknown:
        raise input_error(f"Unknown field `{unknown[0]}`: one of {', '.join(f.name for f in fields(Fault))}.")
    given = {name: value for name, value in content.items() if value is not None}
    kind = _word(given, "kind", FaultKind)
    if kind is None:
        raise input_error(f"Missing or empty field `kind`: one of {', '.join(FaultKind)}.")
    return Fault(
        kind=kind,
        route=_route(given, kind),
        count=_whole(given, "count", 1, 1),
        after=_whole(given, "after", 0, 0),
        seconds=_seconds(given, kind),
        order_purpose=_word(given, "order_purpose", Purpose),
        symbol=_text(given, "symbol"),
        status=_status(given),
        executed=_flag(given, "executed"),
        heartbeats=_flag(given, "heartbeats"),
        instruments=_whole(given, "instruments", 1, 1),
    )


def _route(given: Mapping[str, Any], kind: FaultKind) -> str | None:
    route = _text(given, "route")
    if route is None:
        return None
    method, _, path = route.partition(" ")
    if kind not in CALLS or method not in ("GET", "POST", "PUT", "DELETE") or not path.startswith("/"):
        raise input_error('Invalid `route`: of a call, its method and the beginning of its path, e.g. "POST /orders".')
    return route


def _text(given: Mapping[str, Any], name: str) -> str | None:
    text = given.get(name)
    if text is not None and not (isinstance(text, str) and 0 < len(text) <= 100):
        raise input_error(f"Invalid `{name}`: a text of at most 100 characters is expected.")
    return text


def _word(given: Mapping[str, Any], name: str, words: type[Word]) -> Word | None:
    text = _text(given, name)
    if text is not None and text not in list(words):
        raise input_error(f"Invalid `{name}`: one of {', '.join(words)}.")
    return None if text is None else words(text)


def _whole(given: Mapping[str, Any], name: str, default: int, least: int) -> int:
    number = given.get(name, default)
    if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= MAX_ARMED:
        raise input_error(f"Invalid `{name}`: a whole number from {least} to {MAX_ARMED} is expected.")
    return number


def _seconds(given: Mapping[str, Any], kind: FaultKind) -> float | None:
    seconds = given.get("seconds")
    if seconds is None:
        return None
    least, most = (-MAX_WRONG_S, MAX_WRONG_S) if kind in WRONG_TIMES else (0.0, MAX_SECONDS)
    if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not least <= seconds <= most:
        raise input_error(f"Invalid `seconds`: a number from {least:.0f} to {most:.0f} is expected.")
    return float(seconds)


def _status(given: Mapping[str, Any]) -> int | None:
    status = given.get("status")
    if status is not None and (isinstance(status, bool) or status not in STATUSES):
        raise input_error(f"Invalid `status`: one of {', '.join(map(str, STATUSES))}.")
    return status


def _flag(given: Mapping[str, Any], name: str) -> bool:
    flag = given.get(name, False)
    if not isinstance(flag, bool):
        raise input_error(f"Invalid `{name}`: true or false is expected.")
    return flag
