"""Name, column and header of a file held against each other."""

from pathlib import Path

import pytest

from pipelines.domain.errors import BadInput
from tests.unit.ingest.test_files import read

DAYS = ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-04"]


def write(
    folder: Path, name: str, symbols: list[str], days: list[str], more: str = "", cells: list[str] | None = None
) -> None:
    head = f"date,symbol,open,high,low,close,volume{more}\n"
    extra = cells or [""] * len(days)
    rows = [f"{day},{symbol},{10 + n},{12 + n},{9 + n},{11 + n},{100 + n}{cell}\n"
            for n, (day, symbol, cell) in enumerate(zip(days, symbols, extra, strict=True))]  # fmt: skip
    (folder / name).write_text(head + "".join(rows), encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "symbol"),
    [
        ("NIFTY50.csv", "BANKNIFTY"),
        ("CIPLA.csv", "SUNPHARMA"),
        ("symbol=INFY/0.csv", "TCS"),
        ("POLYCAB.csv", "HAVELLS"),
    ],
)
def test_a_name_that_contradicts_the_column_is_refused(tmp_path, name, symbol):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    write(tmp_path, name, [symbol] * 4, DAYS)

    with pytest.raises(BadInput, match=r"its name says .*, its rows are of .*; rename the file"):
        read(tmp_path)


def test_a_header_of_yfinance_that_contradicts_the_name_is_refused(tmp_path):
    (tmp_path / "INFY.csv").write_text(
        "Price,Close,High,Low,Open\nTicker,TCS.NS,TCS.NS,TCS.NS,TCS.NS\nDate,,,,\n2024-01-02,10,11,9,10\n",
        encoding="utf-8",
    )

    with pytest.raises(BadInput, match="its name says INFY, its rows are of TCS"):
        read(tmp_path)


def test_a_name_that_is_no_known_symbol_gives_way_and_that_is_told(tmp_path):
    write(tmp_path, "x.csv", ["NSE:CIPLA"] * 4, DAYS)

    world = read(tmp_path)

    assert list(world.bars) == ["CIPLA"]
    assert any("read as CIPLA, as its rows say" in note for note in world.left_out)


def test_companies_that_follow_each_other_are_not_one_share(tmp_path):
    write(tmp_path, "all.csv", ["WIPRO", "WIPRO", "INFY", "INFY"], DAYS)

    world = read(tmp_path)

    assert {symbol: len(bars) for symbol, bars in world.bars.items()} == {"INFY": 2, "WIPRO": 2}
    assert any("WIPRO, INFY follow each other; nothing says they are one share" in note for note in world.left_out)


def test_companies_that_follow_each_other_under_one_name_are_refused(tmp_path):
    write(tmp_path, "INFY.csv", ["WIPRO", "WIPRO", "INFY", "INFY"], DAYS)

    with pytest.raises(BadInput, match="its name says INFY, its rows are of INFY, WIPRO"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("symbols", "more", "cells"),
    [
        (["INFOSYSTCH", "INFOSYSTCH", "INFY", "INFY"], "", None),
        (["SESAGOA", "SESAGOA", "VEDL", "VEDL"], ",isin", [",INE205A01025"] * 4),
        (["SESAGOA", "SESAGOA", "VEDL", "VEDL"], ",Prev Close", [",9", ",11", ",12", ",13"]),
    ],
)
def test_a_renamed_share_is_one_series(tmp_path, symbols, more, cells):
    write(tmp_path, f"{symbols[-1]}.csv", symbols, DAYS, more, cells)

    world = read(tmp_path)

    assert {symbol: len(bars) for symbol, bars in world.bars.items()} == {symbols[-1]: 4}


def test_a_previous_close_of_another_price_makes_no_renamed_share(tmp_path):
    write(
        tmp_path, "all.csv", ["SESAGOA", "SESAGOA", "VEDL", "VEDL"], DAYS, ",Prev Close", [",9", ",11", ",700", ",13"]
    )

    assert list(read(tmp_path).bars) == ["SESAGOA", "VEDL"]


def test_members_in_a_file_named_after_their_index_are_read_each(tmp_path):
    write(tmp_path, "NIFTY50_all.csv", ["INFY", "TCS", "SBIN", "ITC"], DAYS[:1] * 4)

    assert list(read(tmp_path).bars) == ["INFY", "ITC", "SBIN", "TCS"]


@pytest.mark.parametrize("symbol", ["../../../PWN", "/etc/PWN", "A/B", "A" * 300, "A\0B", "Cipla Ltd."], ids=ascii)
def test_a_symbol_in_a_column_that_is_none_is_refused_and_leads_nowhere(tmp_path, symbol):
    write(tmp_path, "x.csv", ["CIPLA", symbol, "CIPLA", "CIPLA"], DAYS)

    with pytest.raises(BadInput, match=r"x.csv(: .*| row 3: .*is no symbol)"):
        read(tmp_path)
