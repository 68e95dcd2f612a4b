"""A share that was renamed is one series, under a symbol that somebody had told by then."""

import pandas as pd
import pytest

from pipelines.ingest.shares import called, name_of, renamed

THEN, LATER = pd.Timestamp("2011-06-28", tz="Asia/Kolkata"), pd.Timestamp("2011-06-29", tz="Asia/Kolkata")


@pytest.mark.parametrize(
    ("told", "name"),
    [
        ([("INFOSYSTCH", THEN)], "INFOSYSTCH"),
        ([("INFOSYSTCH", THEN), ("INFY", LATER)], "INFY"),
        ([("INFY", LATER), ("INFOSYSTCH", THEN)], "INFY"),
        ([("INFOSYSTCH", THEN), ("INFY", THEN)], "INFY"),
        ([("INFY", THEN), ("INFOSYSTCH", LATER)], "INFOSYSTCH"),
    ],
)
def test_a_share_is_called_as_its_latest_bar_is_told(told, name):
    assert called(told) == {"INFY": name}


def test_tables_are_told_under_the_names_of_the_series_and_strangers_keep_theirs():
    names = called([("INFOSYSTCH", THEN), ("INFY", LATER), ("SBIN", LATER)])
    table = pd.DataFrame({"symbol": ["INFOSYSTCH", "TISCO", "SBIN"], "ratio": [2.0, 3.0, 4.0]}).astype(
        {"symbol": "str"}
    )

    found = renamed(table, names)

    assert found["symbol"].tolist() == ["INFY", "TISCO", "SBIN"]
    assert found.dtypes.equals(table.dtypes)
    assert name_of("INFOSYSTCH", names) == "INFY"
