"""What NSE writes for people, read as shares and rupees."""

from datetime import datetime

import pandas as pd
import pytest

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput
from pipelines.ingest.sources.corporate_actions import announced, read_actions
from tests.conftest import SHARED_DATA

EVENING = datetime(2025, 12, 16, 20, tzinfo=IST)
HEADER = "SERIES,SYMBOL,SECURITY,RECORD_DT,BC_STRT_DT,BC_END_DT,EX_DT,ND_STRT_DT,ND_END_DT,PURPOSE\n"


@pytest.mark.parametrize(
    ("purpose", "said"),
    [
        ("BONUS 1:1", [("bonus", 2.0)]),
        ("BON-1:2", [("bonus", 1.5)]),
        ("FV SPLT FRM RS 10 TO RS 2", [("split", 5.0)]),
        ("FVSPLT FRM RS 10 TO RS 5", [("split", 2.0)]),
        ("FVSPLT FRMRS 100 TO RE 1", [("split", 100.0)]),
        ("FV SPLIT RS.10 TO RS.5", [("split", 2.0)]),
        ("Face Value Split (Sub-Division) - From Rs 10/- Per Share To Rs 2/- Per Share", [("split", 5.0)]),
        ("CONSOLIDATION FRM RE 1 TO RS 10", [("split", 0.1)]),
        ("BONUS1:2/FVSPLIT10TO2", [("bonus", 1.5), ("split", 5.0)]),
        ("FV SPL-RS10TORE1/BON-1:1", [("bonus", 2.0), ("split", 10.0)]),
    ],
)
def test_splits_and_bonuses_are_shares_after_for_one_before(purpose, said):
    assert [(one.kind.value, pytest.approx(one.ratio)) for one in announced(purpose)] == said


@pytest.mark.parametrize(
    ("purpose", "rupees"),
    [
        ("INTDIV - RS 0.35 PER SH", 0.35),
        ("AGM/DIV-RS.3.50 PER SHARE", 3.5),
        ("DIV RS 5 + SPL DIV RS 2", 7.0),
        ("DIVIDEND - RE 1 PER SHARE", 1.0),
        ("2ND INT DIV RS 3", 3.0),
    ],
)
def test_dividends_are_rupees_a_share(purpose, rupees):
    found = announced(purpose)

    assert [(one.kind.value, one.amount_inr) for one in found] == [("dividend", pytest.approx(rupees))]


@pytest.mark.parametrize("purpose", ["RIGHTS 45:301@PRM RS 290", "DEMERGER"])
def test_what_only_prices_can_tell_has_no_ratio(purpose):
    (one,) = announced(purpose)

    assert one.ratio != one.ratio
    assert one.amount_inr != one.amount_inr


@pytest.mark.parametrize(
    "purpose",
    ["INTEREST PAYMENT", "BUY BACK", "CAP RED", "BONUS NCRPS 4:1", "BONUS DEB 1:1", "AGM/DIV 50%", "", "1:1"],
)
def test_what_leaves_the_share_as_it_is_is_no_action(purpose):
    assert announced(purpose) == ()


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="the shared data are not here")
def test_the_recorded_file_tells_each_action_of_a_share_once():
    path = SHARED_DATA / "nse_daily_reports" / "2025-12-16" / "bc16122025.csv"

    table, notes = read_actions(path.read_bytes(), path.name, EVENING)

    told = table.set_index("symbol")[["kind", "ratio", "amount_inr"]].fillna(-1).T.to_dict("list")
    assert told == {
        "CANFINHOME": ["dividend", -1, 7.0],
        "DCMSRIND": ["demerger", -1, -1],
        "IOC": ["dividend", -1, 5.0],
        "KMEW": ["split", 2.0, -1],
        "KRISHIVAL": ["rights", -1, -1],
        "LALPATHLAB": ["bonus", 2.0, -1],
        "NUVAMA": ["split", 5.0, -1],
    }
    assert table.loc[table["symbol"] == "NUVAMA", "ex_date"].item() == pd.Timestamp("2025-12-26", tz=IST)
    assert (table["known_at"] == EVENING).all()
    assert notes == ("bc16122025.csv: no change of the share: BUY BACK, CAP RED",)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "lacks the columns SERIES"),
        (b"\xff\xfe", "no readable CSV"),
        (HEADER.replace("PURPOSE", "WHY").encode(), "lacks the columns PURPOSE"),
        ((HEADER + "EQ,ABC,Abc,,,,soon,,,BONUS 1:1\n").encode(), "the ex-date 'soon' of ABC is no day"),
        ((HEADER + "EQ,ABC\n").encode(), "line 2 has not as many fields as the header"),
        (HEADER.encode(), "it holds no rows"),
        ((HEADER + "EQ,,Abc,,,,2025-12-17,,,BONUS 1:1\n").encode(), "names no symbol"),
        ((HEADER + "EQ,ABC,Abc,,,,2099-12-17,,,BONUS 1:1\n").encode(), "more than a year from 2025-12-16"),
        ((HEADER + "EQ,ABC,Abc,,,,2025-12-17,,,BONUS 99999:1\n").encode(), "beyond any ratio or dividend"),
    ],
)
def test_a_file_that_is_not_what_it_should_be_ends_in_one_line(content, words):
    with pytest.raises(BadInput, match=words):
        read_actions(content, "bc.csv", EVENING)
