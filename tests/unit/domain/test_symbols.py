"""One rule of what a symbol is."""

import re
from decimal import Decimal
from pathlib import Path

import pytest

from pipelines.domain.errors import BadInput
from pipelines.domain.instruments import Instrument, Kind
from pipelines.domain.symbols import checked_symbol, is_symbol
from pipelines.paths import table_of
from tests.conftest import ROOT, SHARED_DATA

LISTED = ["CIPLA", "M&M", "BAJAJ-AUTO", "TCS-BE", "360ONE", "NIFTY 50", "INDIA VIX", "MIDCPNIFTY26NOV13000CE"]
STRANGE = [
    "", " ", "../../../PWN", "/etc/passwd", "A/B", "A\\B", "..", ".", "A" * 300, "A\0B", "CIPLA (1)", "CIPLA.NS",
    "NSE:CIPLA", "MY DATA", "cipla", "CIPLA\n", "~", "%2E", "٣٤٥", "ＡＢＣ", "-A", "A;DROP", "$(id)", "'A'", "NIFTY/50",
    "INE059A01026", "NIFTY  50", "NIFTY 50 ", "\ud800",
]  # fmt: skip


@pytest.mark.parametrize("name", LISTED)
def test_what_nse_and_kite_list_is_a_symbol(name):
    assert is_symbol(name)


@pytest.mark.parametrize("name", STRANGE, ids=ascii)
def test_anything_else_is_refused_in_one_line(name):
    with pytest.raises(BadInput, match="is no symbol that NSE or Kite could list") as told:
        checked_symbol(name, "x.csv row 2")

    assert len(str(told.value).splitlines()) == 1
    assert str(told.value).isascii()


@pytest.mark.parametrize("name", STRANGE, ids=ascii)
def test_no_name_becomes_a_path_or_an_instrument(name):
    with pytest.raises(BadInput):
        table_of(Path("bars"), name)
    with pytest.raises(BadInput):
        Instrument(name, 1, Kind.STOCK, Decimal("0.05"), 1, "", True)


def test_every_table_of_an_instrument_is_named_by_the_one_rule():
    free = re.compile(r"f\"\{(\w+\.)*symbol\}\.parquet\"")
    places = [path for room in ("pipelines", "serving") for path in (ROOT / room).rglob("*.py")]

    assert [path.name for path in places if free.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.skipif(not SHARED_DATA.exists(), reason="the shared data are not here")
def test_every_instrument_of_kites_dump_is_a_symbol():
    rows = (SHARED_DATA / "kite/instruments/nse_instruments.csv").read_text(encoding="utf-8").splitlines()
    place = rows[0].split(",").index("tradingsymbol")

    assert [row for row in rows[1:] if not is_symbol(row.split(",")[place].upper())] == []
