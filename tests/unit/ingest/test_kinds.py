"""The kinds of table: types, and what may be known when."""

import pandas as pd
import pytest

from pipelines.domain.bars import IST, TIME_DTYPE
from pipelines.domain.errors import BadInput
from pipelines.ingest.kinds import KINDS, empty, known_until, typed, types_of


def at(*moments: str | None) -> pd.Series:
    return pd.Series(pd.to_datetime(list(moments)).tz_localize(IST), dtype=TIME_DTYPE)


def actions(**columns) -> pd.DataFrame:
    rows = {"symbol": "TCS", "ex_date": at("2018-05-31"), "kind": "bonus", "ratio": 2.0, "amount_inr": float("nan"),
            "known_at": at(None), "source": "a list"} | columns  # fmt: skip
    return typed(
        pd.DataFrame(rows, index=range(max(len(v) for v in rows.values() if isinstance(v, pd.Series)))), "actions"
    )


@pytest.mark.parametrize("kind", [*KINDS, "disagreements"])
def test_an_empty_table_has_the_types_of_a_full_one(kind):
    table = empty(kind)

    assert {name: str(dtype) for name, dtype in table.dtypes.items()} == types_of(kind)
    assert typed(table, kind).equals(table)


def test_a_missing_column_is_named():
    with pytest.raises(BadInput, match=r"a table of actions lacks ratio, source; wanted: symbol, ex_date"):
        typed(actions().drop(columns=["ratio", "source"]), "actions")


def test_a_value_of_another_type_is_refused():
    with pytest.raises(BadInput, match="a table of actions has a value that does not fit"):
        typed(actions().astype({"ratio": "object"}).assign(ratio="two"), "actions")


def test_an_action_is_known_from_its_announcement_or_else_from_its_ex_date():
    table = actions(ex_date=at("2018-05-31", "2018-06-15"), known_at=at("2018-04-19 16:00", None))
    moments = [pd.Timestamp(each, tz=IST) for each in ("2018-04-19 15:59", "2018-04-19 16:00", "2018-06-15 00:00")]

    known = [len(known_until(table, "actions", moment)) for moment in moments]

    assert known == [0, 1, 2]
