"""Tables beside the bars are known by their header, read exactly, and refused in one line where they are wrong."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pipelines.domain.corporate_actions import actions_table, adjust, adjusted
from pipelines.domain.errors import BadInput
from pipelines.ingest.dated_tables import read_dated_table
from pipelines.ingest.files import read_files
from pipelines.ingest.kinds import types_of
from pipelines.ingest.row_faults import overnight_gaps
from pipelines.ingest.world import World
from pipelines.params import IngestParams
from tests.conftest import SHARED_DATA, params_content

real = pytest.mark.skipif(not SHARED_DATA.exists(), reason="the shared data are not here")


def table_of(folder: Path, text: str, name: str = "any.csv"):
    (folder / name).write_text(text, encoding="utf-8")
    return read_dated_table(folder / name, name)


def read(folder: Path, **overrides: object) -> World:
    content = params_content({"ingest.source": "files", "ingest.folder": str(folder)})["ingest"] | overrides
    return read_files(IngestParams.model_validate(content))


def test_actions_are_read_with_exact_ratios_and_times(tmp_path):
    found = table_of(
        tmp_path,
        "symbol,ex_date,kind,ratio,amount_inr,known_at,source\n"
        "WIPRO,2019-03-06,bonus,4/3,,2019-01-18T17:00:00+05:30,NSE circular\n"
        "infy.NS,2024-05-31,Dividend,,28,,\n",
    )

    assert found is not None
    assert found.kind == "actions"
    assert found.table.dtypes.astype(str).to_dict() == types_of("actions")
    first, second = found.table.to_dict("records")
    assert (first["symbol"], first["ratio"], first["source"]) == ("WIPRO", 4 / 3, "NSE circular")
    assert first["ex_date"] == pd.Timestamp("2019-03-06", tz="Asia/Kolkata")
    assert first["known_at"] == pd.Timestamp("2019-01-18 17:00", tz="Asia/Kolkata")
    assert (second["symbol"], second["amount_inr"], second["source"]) == ("INFY", 28.0, "any.csv")
    assert np.isnan(second["ratio"])
    assert second["known_at"] is pd.NaT


def test_membership_and_kites_dump_are_known_by_their_headers(tmp_path):
    member = table_of(tmp_path, "index_name,symbol,effective_from,effective_to\nNIFTY50,TCS,2005-01-03,\n")
    dump = table_of(
        tmp_path,
        "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,"
        "instrument_type,segment,exchange\n2953217,11536,TCS,TATA CONSULTANCY,0,,0,0.1,1,EQ,NSE,NSE\n"
        "11111,1,TCS25DECFUT,TCS,0,2025-12-30,0,0.1,175,FUT,NFO-FUT,NFO\n",
    )

    assert member is not None
    assert member.table[["index_name", "symbol"]].values.tolist() == [["NIFTY 50", "TCS"]]
    assert member.table["effective_to"].isna().all()
    assert dump is not None
    assert dump.table.to_dict("records") == [{"symbol": "TCS", "token": 2953217, "tick_size": "0.1", "lot_size": 1}]


def test_other_files_are_left_to_the_reader_of_bars(tmp_path):
    assert table_of(tmp_path, "date,open,high,low,close\n2024-01-01,1,1,1,1\n") is None
    assert table_of(tmp_path, "") is None


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("TCS,2018-05-31,spilt,2", "line 2: kind spilt; wanted split, bonus"),
        ("TCS,2018-05-31,bonus,", "line 2: a bonus without a ratio"),
        ("TCS,2018-05-31,bonus,1:1", "line 2: ratio 1:1; wanted a number above zero or a fraction"),
        ("TCS,2018-05-31,bonus,-2", "line 2: ratio -2"),
        ("TCS,31/05/2018,bonus,2", "line 2: ex_date 31/05/2018; wanted a day"),
        (",2018-05-31,bonus,2", "line 2: symbol is empty"),
    ],
)
def test_a_row_that_cannot_be_understood_is_named(tmp_path, row, told):
    with pytest.raises(BadInput, match=told.replace("(", r"\(")):
        table_of(tmp_path, f"symbol,ex_date,kind,ratio\n{row}\n")


def test_actions_and_a_dump_beside_the_bars_belong_to_the_market(tmp_path):
    days = pd.bdate_range("2024-01-01", periods=10)
    prices = [100.0] * 5 + [20.0] * 5
    rows = "".join(f"{day:%Y-%m-%d},{p},{p},{p},{p},10\n" for day, p in zip(days, prices, strict=True))
    (tmp_path / "ABC.csv").write_text("date,open,high,low,close,volume\n" + rows, encoding="utf-8")
    table_of(tmp_path, f"symbol,ex_date,kind,ratio\nABC,{days[5]:%Y-%m-%d},split,5\nXYZ,2024-01-02,split,2\n", "a.csv")
    table_of(tmp_path, "instrument_token,tradingsymbol,tick_size,lot_size,segment\n2561,ABC,0.05,1,NSE\n", "dump.csv")

    world = read(tmp_path)

    assert world.actions[["symbol", "ratio"]].values.tolist() == [["ABC", 5.0]]
    assert world.instruments["token"].tolist() == [2561]
    assert set(world.files) == {"ABC.csv", "a.csv", "dump.csv"}


def test_an_action_told_under_an_earlier_symbol_belongs_to_the_share(tmp_path):
    rows = "".join(f"2011-06-{day},100,100,100,100,10\n" for day in (27, 28, 29, 30))
    (tmp_path / "INFY.csv").write_text("date,open,high,low,close,volume\n" + rows, encoding="utf-8")
    table_of(tmp_path, "symbol,ex_date,kind,ratio\nINFOSYSTCH,2006-07-13,bonus,2\n", "actions.csv")

    assert read(tmp_path).actions["symbol"].tolist() == ["INFY"]


def test_ticks_of_files_follow_the_price_and_the_day(tmp_path):
    for symbol, year, price in (
        ("OLD", 2020, 6000),
        ("NEW", 2026, 6000),
        ("CHEAP", 2026, 90),
        ("NIFTY 50", 2026, 25000),
    ):
        rows = "".join(f"{year}-01-{day:02d},{price},{price},{price},{price},1\n" for day in range(5, 9))
        (tmp_path / f"{symbol}.csv").write_text("date,open,high,low,close,volume\n" + rows, encoding="utf-8")

    ticks = read(tmp_path).instruments.set_index("symbol")["tick_size"].to_dict()

    assert ticks == {"OLD": "0.05", "NEW": "0.50", "CHEAP": "0.01", "NIFTY 50": "0.05"}


def derived_actions() -> pd.DataFrame:
    """The steps that the collection derived from an adjusted and an unadjusted source; M&M's from its raw jumps."""
    listed = pd.read_csv(SHARED_DATA / "corporate_actions" / "derived_splits_bonuses.csv")
    rows = []
    for row in listed.itertuples():
        clean = row.kind == "split_or_bonus"
        ratio = row.nearest_simple_ratio if clean else row.price_divisor
        if np.isnan(ratio):
            ratio = round(2 / (1 + row.raw_close_move)) / 2
        day = pd.Timestamp(row.ex_date, tz="Asia/Kolkata")
        kind = "split" if clean else "demerger"
        rows.append({"symbol": row.symbol, "ex_date": day, "kind": kind, "ratio": ratio, "source": row.evidence})
    return actions_table(rows)


@real
def test_every_listed_split_and_bonus_explains_its_night_in_the_unadjusted_files():
    actions = derived_actions()
    world = read(SHARED_DATA / "daily" / "nse_unadjusted")

    steps, gaps = {}, {}
    for symbol, bars in world.bars.items():
        found = adjust(bars, actions, symbol)
        nights = overnight_gaps(bars.assign(adjustment=found.factors))
        for step in found.steps:
            steps[symbol, str(step.ex_date)] = step
            gaps[symbol, str(step.ex_date)] = nights[bars["open_time"].dt.date >= step.ex_date].iloc[0]

    # of 56 listed, HDFCBANK's two are of a stock without a file here, and two come after the files' end
    assert len(actions) == 56
    assert len(steps) == 52
    assert {key for key, step in steps.items() if step.applied != step.known} == {
        ("TATASTEEL", "2006-12-18"),  # divisor 0.884: a correction of the adjusted source, no step in the price
        ("TATASTEEL", "2007-10-29"),  # rights: the price did not step on the day
    }
    applied = pd.Series(gaps)[[key for key, step in steps.items() if step.applied != 1]]
    assert len(applied) == 50
    assert (applied < 0.15).all()
    assert applied.idxmax() == ("ASIANPAINT", "2000-08-02")
    assert (applied.drop(index=applied.idxmax()) < 0.09).all()


@real
def test_adjusted_prices_move_as_those_of_an_adjusted_source():
    reliance = read(SHARED_DATA / "daily" / "nse_unadjusted", symbols=["RELIANCE"]).bars["RELIANCE"]
    found = adjust(reliance, derived_actions(), "RELIANCE")
    ours = adjusted(reliance.assign(adjustment=found.factors)).set_index(reliance["open_time"].dt.date)["close"]
    yahoo = read(SHARED_DATA / "daily" / "yahoo_shape", symbols=["RELIANCE"]).bars["RELIANCE"]
    theirs = yahoo.set_index(yahoo["open_time"].dt.date)["close"]

    ratio = (ours / theirs).dropna()
    ratio = ratio / ratio.median()

    assert len(ratio) > 5000
    assert ratio.between(0.97, 1.03).mean() > 0.99
    for step in found.steps:
        around = ratio[(ratio.index >= step.ex_date - pd.Timedelta(days=10)) & (ratio.index <= step.ex_date)]
        assert around.max() / around.min() < 1.03


@real
def test_prices_that_the_broker_adjusted_already_are_left_alone():
    world = read(SHARED_DATA / "daily" / "broker_adjusted")

    steps = [step for symbol, bars in world.bars.items() for step in adjust(bars, derived_actions(), symbol).steps]

    # The broker took 4.9 % of RELIANCE's demerger out of its prices, the other source 8.3 %, the price fell by 9.7 %:
    # what is left of the step is nearer to the listed ratio than to none
    assert {(step.symbol, str(step.ex_date)): step.applied for step in steps} == {
        ("RELIANCE", "2023-07-20"): 1.0834,
        ("TATASTEEL", "2022-07-28"): 1.0,
    }


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("TCS,2018-05-31,bonus,2\n", "line 2: fewer fields than the header has"),
        ("TCS,2018-05-31,bonus,2,2018-04-19,late\n", "line 2: more fields than the header has"),
        ('"TCS,2018-05-31,bonus,2,2018-04-19\nTCS,2019-05-31,bonus,2,\n', "unexpected end of data"),
        ("TCS,2018-05-31,bonus,1e999999999,\n", "line 2: ratio 1e999999999"),
        ("TCS,2018-05-31,bonus,2,9999-12-31T23:59:59-12:00\n", "line 2: known_at 9999"),
        ("", "has a header and no rows"),
    ],
)
def test_a_cut_or_swallowed_row_is_never_read_as_one_that_was_known_earlier(tmp_path, rows, words):
    path = tmp_path / "actions.csv"
    path.write_text(f"symbol,ex_date,kind,ratio,known_at\n{rows}", encoding="utf-8")

    with pytest.raises(BadInput, match=words):
        read_dated_table(path, path.name)
