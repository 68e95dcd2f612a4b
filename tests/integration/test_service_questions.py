"""Odd questions to the running policy service: each is refused in one line, cheaply, and none is a failure of it."""

import json
import random
import time

import pytest

from serving.wire import row_to_wire
from tests.integration.test_service import Serving, serving, some_rows  # noqa: F401  a fixture
from tests.odd_answers import spoiled


def question(
    serving: Serving,  # noqa: F811
    **changes,
) -> dict:
    """A right question about two instruments; `changes` are of the first one's row."""
    rows = [row_to_wire(row) for row in some_rows(next(iter(serving.bundles.values())), 2)]
    rows[0] |= changes
    return {"rows": rows, "equity_inr": "1000000.00"}


ODD_FIELDS = {
    "the year 1": {"close_time": "0001-01-01T00:00:00+00:00"},
    "the year 9999": {"close_time": "9999-12-31T23:59:59-23:59"},
    "a symbol with NUL": {"symbol": "S0\x00"},
    "a symbol of a megabyte": {"symbol": "S" * 1_000_000},
    "one symbol twice": {"symbol": "S1"},
    "a tick of 1e999": {"tick_size": "1e999"},
    "a tick of 1e-999": {"tick_size": "1e-999"},
    "a tick in Arabic digits": {"tick_size": "٠.٠٥"},
    "a lot of 10^400": {"lot_size": 10**400},
    "a close of 10^400": {"close": 10**400},
    "a close next to nothing": {"close": 1e-320},
    "a close without end": {"close": 1e308},
    "values of 10^400": {"values": {"atr_pct_14": 10**400}},
    "values in a list": {"values": [[]] * 1000},
    "values in lists of lists": {"values": {"atr_pct_14": [[[[[]]]]]}},
    "a hash that is a list": {"catalogue_hash": []},
}


@pytest.mark.parametrize("changes", ODD_FIELDS.values(), ids=ODD_FIELDS.keys())
def test_an_odd_field_is_refused_in_one_line(serving, changes):  # noqa: F811
    answer = serving.client.post("/decide", content=json.dumps(question(serving, **changes)))

    assert answer.status_code == 400
    assert "BadInput" in answer.json()["error"]
    assert len(answer.json()["error"]) < 500
    assert "\n" not in answer.json()["error"]


@pytest.mark.parametrize("equity", ["1e999", "1e-999", "-1", "0", "NaN", "sNaN", 10**400, 1.0, None, "1" * 1000, "١"])
def test_an_odd_equity_is_refused(serving, equity):  # noqa: F811
    asked = json.dumps(question(serving) | {"equity_inr": equity})

    answer = serving.client.post("/decide", content=asked)

    assert answer.status_code == 400


ODD_QUESTIONS = {
    "eight megabytes of lists": (b'{"rows": [' + b"[]," * 2_600_000 + b"[]]}", 413),
    "eight megabytes of objects": (b'{"rows": [' + b"{}," * 2_600_000 + b"{}]}", 413),
    "eight megabytes of numbers": (b'{"rows": [' + b"1," * 3_900_000 + b"1]}", 413),
    "eight megabytes of nothing": (b"{" + b" " * 7_900_000 + b"}", 400),
    "lists in lists": (b'{"rows": ' + b"[" * 9_000 + b"]" * 9_000 + b"}", 400),
    "objects in objects": (b'{"rows": ' + b'{"a":' * 9_000 + b"1" + b"}" * 9_000 + b"}", 400),
    "a number of ten thousand digits": (b'{"rows": ' + b"9" * 10_000 + b"}", 400),
    "no text": (b'{"rows": "\xff\xfe"}', 400),
    "half of an object": (b'{"rows": [', 400),
    "a list": (b"[]", 400),
    "a text of eight megabytes": (b'{"rows": "' + b"x" * 7_900_000 + b'"}', 400),
}


@pytest.mark.parametrize(("body", "status"), ODD_QUESTIONS.values(), ids=ODD_QUESTIONS.keys())
def test_an_odd_question_is_refused_cheaply(serving, body, status):  # noqa: F811
    began = time.perf_counter()

    answer = serving.client.post("/decide", content=body)

    assert answer.status_code == status
    assert time.perf_counter() - began < 1.0


@pytest.mark.parametrize(
    "kind", ["application/vnd.bentoml+pickle", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded"]
)
def test_only_json_is_read(serving, kind):  # noqa: F811
    answer = serving.client.post("/decide", content=b"{}", headers={"Content-Type": kind})

    assert answer.status_code == 415


@pytest.mark.parametrize("path", ["/healthz", "/metrics", "/decide"])
def test_a_name_that_is_not_ours_is_refused(serving, path):  # noqa: F811
    answers = [
        serving.client.get(path, headers={"Host": host}).status_code
        for host in ("attacker.example", "attacker.example:3000")
    ]

    assert answers == [421, 421]


def test_no_odd_question_is_a_failure_of_the_service(serving):  # noqa: F811
    draw = random.Random(8)

    statuses = [
        serving.client.post("/decide", content=spoiled(question(serving), draw)).status_code for _ in range(300)
    ]

    assert set(statuses) <= {200, 400, 409, 413}
    assert statuses.count(400) > 100
