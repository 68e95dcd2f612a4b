"""Answers that a policy service must not give: one right answer, spoiled in a place that a generator draws."""

import copy
import json
import random
from typing import Any

#: What may stand anywhere in an answer; the texts among them are put there as they are, since no JSON writer makes them
ODD = (
    None, True, False, 0, -1, 1, 2, 10**12, -(10**12), 10**400, 0.5, -0.5, 1e-320, 1.5, float("nan"), float("inf"),
    float("-inf"), "", " ", "0", "1", "-1", "NaN", "Infinity", "1e999", "1e-999", "99.99", "100.003", "0.05",
    "1_00", "\x00", "TCS\x00", "x" * 100_000, "\ud800", "☃", "take", "skip", "reduce", "BUY", "SELL", "TCS", "INFY",
    "\n", "2026-10-30T09:20:00+05:30", "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59-23:59", "2026-10-30T09:20:00",
    [], {}, [None], [[]], {"": None}, [1, 2, 3], {"symbol": "TCS"}, [{}] * 50, ["x"] * 10_000,
)  # fmt: skip
BODIES = (
    b"", b"null", b"[]", b"{}", b"0", b'"decisions"', b"\xff\xfe", b"{", b"<html>", b"[" * 200_000, b'{"a":' * 50_000,
    b'{"decisions": null, "policy_version": "p"}', b'{"decisions": {}, "policy_version": "p"}',
    b'{"decisions": [], "policy_version": null}', b'{"decisions": [null], "policy_version": "p"}',
    b'{"decisions": [[]], "policy_version": "p"}', b'{"decisions": "all", "policy_version": "p"}',
    b'{"decisions": [' + b"[" * 100_000 + b"]" * 100_000 + b'], "policy_version": "p"}',
    b'{"decisions": ' + b"9" * 10_000 + b', "policy_version": "p"}',
    b'{"decisions": [' + b"{}," * 100_000 + b'{}], "policy_version": "p"}',
)  # fmt: skip


def spoiled(right: dict[str, Any], draw: random.Random) -> bytes:
    """The body of an answer that is not right any more in one to three places."""
    if draw.random() < 0.1:
        return draw.choice(BODIES)
    told = copy.deepcopy(right)
    for _ in range(draw.randint(1, 3)):
        _spoil(told, draw)
    return json.dumps(told).encode()


def _spoil(told: dict[str, Any], draw: random.Random) -> None:
    places = list(_places(told))
    if not places:
        return
    parent, key = draw.choice(places)
    match draw.randrange(6):
        case 0 if isinstance(parent, dict):
            del parent[key]
        case 1 if isinstance(parent, list):
            parent.append(copy.deepcopy(parent[key]))
        case 2 if isinstance(parent, list):
            parent.clear()
        case 3 if isinstance(parent, dict):
            parent[draw.choice(["", "\x00", "surprise", "__class__"])] = parent[key]
        case _:
            parent[key] = copy.deepcopy(draw.choice(ODD))


def _places(told: Any) -> Any:
    """Each container with each of its keys, from the outside in."""
    keys = list(told) if isinstance(told, dict) else range(len(told)) if isinstance(told, list) else ()
    for key in keys:
        yield told, key
        yield from _places(told[key])
