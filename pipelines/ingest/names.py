"""What a series is called: NSE symbols from columns and file names, indices under Kite's names, tokens."""

import re
import zlib
from collections.abc import Iterable
from pathlib import PurePath

from pipelines.domain.instruments import Kind

#: Kite's names and tokens of the indices that files spell in many ways.
_INDICES = {
    "NIFTY 50": ("NIFTY", "NIFTY50", "NIFTY 50", "^NSEI"),
    "NIFTY BANK": ("BANKNIFTY", "NIFTYBANK", "NIFTY BANK", "BANK NIFTY", "^NSEBANK"),
    "INDIA VIX": ("INDIAVIX", "INDIA VIX", "^INDIAVIX"),
}
_ALIASES = {alias: name for name, aliases in _INDICES.items() for alias in aliases}
_TOKENS = {"NIFTY 50": 256265, "NIFTY BANK": 260105, "INDIA VIX": 264969}
_STOCK_SEGMENT, _INDEX_SEGMENT = 1, 9  # low byte of Kite's tokens
_TOKEN_ROOM = 1 << 22


def canonical(name: str) -> str:
    """The symbol as Kite writes it: upper case, without exchange suffix, indices under their own names."""
    symbol = re.sub(r"\.(NS|BO)$", "", re.sub(r"[\s_]+", " ", name).strip().upper())
    return _ALIASES.get(symbol, symbol)


def symbol_of_file(file: str) -> str:
    """The symbol a file name starts with: SBIN_2023AprMay.csv is SBIN, `NIFTY 50.csv` is NIFTY 50."""
    stem = PurePath(file).stem
    whole = canonical(stem)
    return whole if whole in _INDICES else canonical(stem.split("_")[0])


def kind_of(symbol: str) -> Kind:
    return Kind.INDEX if symbol in _INDICES or symbol.startswith("NIFTY ") else Kind.STOCK


def tokens_for(symbols: Iterable[str]) -> dict[str, int]:
    """Instrument tokens: Kite's for the great indices, otherwise a number from the symbol, the same in every run."""
    taken: dict[int, str] = {token: symbol for symbol, token in _TOKENS.items()}
    tokens = {}
    for symbol in sorted(symbols):
        segment = _INDEX_SEGMENT if kind_of(symbol) is Kind.INDEX else _STOCK_SEGMENT
        number = zlib.crc32(symbol.encode()) % _TOKEN_ROOM
        token = _TOKENS.get(symbol, (number or 1) << 8 | segment)
        while taken.get(token, symbol) != symbol:  # two symbols with one number: the later one moves on
            number = (number + 1) % _TOKEN_ROOM
            token = (number or 1) << 8 | segment
        taken[token] = symbol
        tokens[symbol] = token
    return tokens
