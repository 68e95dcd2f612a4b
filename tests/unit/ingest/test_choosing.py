"""Several files of one share, and one share under several names."""

import numpy as np
import pandas as pd
import pytest

from tests.unit.ingest.test_files import HEADER, read

DAYS = pd.bdate_range("2022-01-03", periods=300)


def walk(seed=1, level=500.0):
    closes = level * np.exp(np.cumsum(np.random.default_rng(seed).normal(0, 0.01, len(DAYS))))
    return pd.DataFrame(
        {
            "date": DAYS.strftime("%Y-%m-%d"),
            "open": closes.round(2),
            "high": (closes * 1.01).round(2),
            "low": (closes * 0.99).round(2),
            "close": (closes * 1.001).round(2),
            "volume": 100_000 + np.arange(len(DAYS)),
        }
    )


def put(folder, file, table):
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_csv(path, index=False)


def test_the_longer_file_counts_though_the_short_one_is_cleaner(tmp_path):
    long = walk()
    long.loc[7, "high"] = 1.0
    put(tmp_path, "a/CIPLA.csv", long)
    put(tmp_path, "b/CIPLA.csv", walk().iloc[50:60])

    world = read(tmp_path)

    assert len(world.bars["CIPLA"]) == 300
    assert any("b/CIPLA.csv (10 bars, 0 defective) is left out for a/CIPLA.csv (300 bars, 1 defective)" in note
               for note in world.left_out)  # fmt: skip


def test_a_file_of_mostly_faulty_rows_gives_way(tmp_path):
    long = walk()
    long.loc[::3, "high"] = 1.0
    put(tmp_path, "a/CIPLA.csv", long)
    put(tmp_path, "b/CIPLA.csv", walk().iloc[50:150])

    bars = read(tmp_path).bars["CIPLA"]

    assert (bars["source"] == "b/CIPLA.csv").sum() == 100
    assert (bars["high"] > 1).all()


def test_gaps_are_filled_on_the_same_price_level(tmp_path):
    put(tmp_path, "a/CIPLA.csv", walk().drop(index=range(100, 110)))
    put(tmp_path, "b/CIPLA.csv", walk().iloc[90:130])

    world = read(tmp_path)

    bars = world.bars["CIPLA"]
    assert len(bars) == 300
    assert (bars["source"] == "b/CIPLA.csv").sum() == 10
    assert any("fills 10 gaps of a/CIPLA.csv" in note for note in world.left_out)


def test_no_gap_is_filled_from_another_price_level(tmp_path):
    put(tmp_path, "a/CIPLA.csv", walk().drop(index=range(100, 110)))
    put(tmp_path, "b/CIPLA.csv", walk(level=1000.0).iloc[90:130])

    world = read(tmp_path)

    assert len(world.bars["CIPLA"]) == 290
    assert any("on another price level" in note for note in world.left_out)


def test_the_priority_that_a_person_states_comes_first(tmp_path):
    put(tmp_path, "a/CIPLA.csv", walk())
    put(tmp_path, "b/CIPLA.csv", walk().iloc[90:130])

    bars = read(tmp_path, priority=["b"]).bars["CIPLA"]

    assert (bars["source"] == "b/CIPLA.csv").sum() == 40
    assert len(bars) == 300


def test_years_in_folders_of_their_own_are_one_series(tmp_path):
    put(tmp_path, "year=2022/CIPLA.csv", walk().iloc[:150])
    put(tmp_path, "year=2023/CIPLA.csv", walk().iloc[150:])

    assert len(read(tmp_path).bars["CIPLA"]) == 300


@pytest.mark.parametrize("copy", ["CIPLA (1).csv", "CIPLA - Copy.csv", "CIPLA copy.csv"])
def test_a_copy_of_a_file_is_no_twin_and_is_told(tmp_path, copy):
    put(tmp_path, "CIPLA.csv", walk())
    put(tmp_path, copy, walk())

    world = read(tmp_path)

    assert {symbol: len(bars) for symbol, bars in world.bars.items()} == {"CIPLA": 300}
    assert any("repeats 300 bars" in note and "it adds nothing" in note for note in world.left_out)


@pytest.mark.parametrize("rows", [slice(None), slice(20, 260)])
def test_the_same_bars_under_two_symbols_trade_once(tmp_path, rows):
    put(tmp_path, "CIPLA.csv", walk())
    put(tmp_path, "AAAXYZ.csv", walk().iloc[rows])
    put(tmp_path, "INFY.csv", walk(seed=2))

    world = read(tmp_path)

    assert sorted(world.bars) == ["CIPLA", "INFY"]
    assert any("AAAXYZ tells the same bars as CIPLA" in note for note in world.left_out)


def test_the_same_share_adjusted_under_another_symbol_trades_once(tmp_path):
    put(tmp_path, "CIPLA.csv", walk())
    scaled = walk()
    scaled[["open", "high", "low", "close"]] /= 2
    put(tmp_path, "AAAXYZ.csv", scaled)

    assert sorted(read(tmp_path).bars) == ["CIPLA"]


def test_symbols_that_no_list_knows_are_told(tmp_path):
    put(tmp_path, "CIPLA.csv", walk())
    put(tmp_path, "CIPLLA.csv", walk(seed=2))
    (tmp_path / "instruments.csv").write_text(
        "instrument_token,exchange_token,tradingsymbol,name,last_price,expiry,strike,tick_size,lot_size,instrument_type,"
        "segment,exchange\n177665,694,CIPLA,CIPLA,0,,0,0.05,1,EQ,NSE,NSE\n",
        encoding="utf-8",
    )

    world = read(tmp_path)

    (note,) = [note for note in world.left_out if "not in the list of instruments beside the bars" in note]
    assert note.endswith(": CIPLLA")


def test_two_shares_that_stand_still_together_are_no_twins(tmp_path):
    rows = "".join(f"{day:%Y-%m-%d},1,1,1,1,5\n" for day in DAYS)
    for symbol in ("CIPLA", "INFY"):
        (tmp_path / f"{symbol}.csv").write_text(HEADER + rows, encoding="utf-8")

    assert sorted(read(tmp_path).bars) == ["CIPLA", "INFY"]
