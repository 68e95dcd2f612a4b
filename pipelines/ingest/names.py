"""What a series is called: symbols as NSE and Kite write them, whatever a source writes; kinds and tokens.

| a source writes | it is |
|---|---|
| `NSE:CIPLA`, `CIPLA.NS`, `CIPLA-EQ`, `cipla` | CIPLA |
| `M_M`, `MM`, `M%26M`, `M&amp;M`, `BAJAJ_AUTO` | M&M, BAJAJ-AUTO, by `lists/signed_symbols.csv` |
| `NIFTY`, `Nifty50`, `^NSEI`, `BANKNIFTY`, `CNX IT` | indices under Kite's names, by `lists/indices.csv` |
"""

import csv
import re
import zlib
from collections.abc import Iterable
from functools import cache
from html import unescape
from pathlib import Path
from urllib.parse import unquote

from pipelines.domain.instruments import INDEX_OF, Kind
from pipelines.domain.listings import known_shares
from pipelines.ingest.universe import universe_symbols

_LISTS = Path(__file__).parent / "lists"
#: Names of indices elsewhere, by Kite's; spelling and blanks do not matter
_ALSO = {
    "NIFTY 50": ("NIFTY", "^NSEI", "CNX NIFTY", "S&P CNX NIFTY", "NIFTY INDEX"),
    "NIFTY BANK": ("^NSEBANK", "CNXBANK", "BANK NIFTY"),
    "NIFTY NEXT 50": ("^NSMIDCP", "CNX NIFTY JUNIOR", "NIFTY JUNIOR"),
    "INDIA VIX": ("^INDIAVIX", "NIFTY VIX"),
    "NIFTY FIN SERVICE": ("NIFTY FINANCIAL SERVICES", "^CNXFIN", "CNXFINANCE"),
    "NIFTY MID SELECT": ("NIFTY MIDCAP SELECT",),
    "NIFTY PVT BANK": ("NIFTY PRIVATE BANK",),
    "NIFTY CONSR DURBL": ("NIFTY CONSUMER DURABLES",),
    "NIFTY OIL AND GAS": ("NIFTY OIL & GAS",),
    "NIFTY SMLCAP 100": ("NIFTY SMALLCAP 100",),
    "NIFTY SMLCAP 250": ("NIFTY SMALLCAP 250",),
    "NIFTY INFRA": ("NIFTY INFRASTRUCTURE", "^CNXINFRA"),
    "NIFTY CONSUMPTION": ("NIFTY INDIA CONSUMPTION",),
} | {f"NIFTY {sector}": (f"^CNX{sector}", f"CNX {sector}") for sector in (
    "AUTO", "ENERGY", "FMCG", "IT", "MEDIA", "METAL", "PHARMA", "PSE", "REALTY")}  # fmt: skip
_ELSEWHERE = ("SENSEX", "BANKEX")  #: indices of other exchanges, looked at and never traded
_STOCK_SEGMENT, _INDEX_SEGMENT = 1, 9  # low byte of Kite's tokens
_TOKEN_ROOM = 1 << 22


def canonical(name: str) -> str:
    """The symbol as Kite writes it: upper case, without exchange or series EQ, indices under their own names.

    What is no symbol at all stays what it is, for `checked_symbol` to refuse.
    """
    symbol = re.sub(r"[\s_]+", " ", unescape(unquote(name)).strip()).strip().upper()
    symbol = re.sub(r"^(NSE|BSE) ?: ?", "", symbol)
    symbol = re.sub(r"(\.(NS|BO|NSE|BSE)|[- ]EQ)$", "", symbol)
    index = _index_names().get(_letters(symbol)) if not re.search(r"[^\w\s^&-]", symbol) else None
    return index or _signed().get(re.sub(r"[ &-]", "", symbol), symbol)


def kind_of(symbol: str) -> Kind:
    index = symbol in index_tokens() or symbol in _ELSEWHERE or symbol.startswith("NIFTY ")
    return Kind.INDEX if index else Kind.STOCK


@cache
def known_symbols() -> frozenset[str]:
    """Symbols of which the project itself knows that they are listed: some of NSE's shares and all its indices."""
    return frozenset(index_tokens()) | set(_signed().values()) | set(universe_symbols()) | known_shares()


@cache
def index_tokens() -> dict[str, int]:
    """Kite's token of each index."""
    return {row["symbol"]: int(row["token"]) for row in _rows("indices.csv")}


@cache
def _index_names() -> dict[str, str]:
    names = {_letters(symbol): symbol for symbol in index_tokens()}
    names |= {_letters(alias): symbol for symbol, aliases in _ALSO.items() for alias in aliases}
    return names | {_letters(alias): symbol for alias, symbol in INDEX_OF.items()}


@cache
def _signed() -> dict[str, str]:
    """By their letters alone, under which no other share is listed."""
    return {re.sub(r"[&-]", "", row["symbol"]): row["symbol"] for row in _rows("signed_symbols.csv")}


def _letters(name: str) -> str:
    return re.sub(r"[^A-Z0-9^]", "", name)


def _rows(name: str) -> list[dict[str, str]]:
    with (_LISTS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tokens_for(symbols: Iterable[str]) -> dict[str, int]:
    """Instrument tokens: Kite's for indices, otherwise a number from the symbol, the same in every run."""
    taken: dict[int, str] = {token: symbol for symbol, token in index_tokens().items()}
    tokens = {}
    for symbol in sorted(symbols):
        segment = _INDEX_SEGMENT if kind_of(symbol) is Kind.INDEX else _STOCK_SEGMENT
        number = zlib.crc32(symbol.encode()) % _TOKEN_ROOM
        token = index_tokens().get(symbol, (number or 1) << 8 | segment)
        while taken.get(token, symbol) != symbol:  # two symbols with one number: the later one moves on
            number = (number + 1) % _TOKEN_ROOM
            token = (number or 1) << 8 | segment
        taken[token] = symbol
        tokens[symbol] = token
    return tokens
