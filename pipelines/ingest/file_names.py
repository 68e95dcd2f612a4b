"""Which instrument a file's name and folders speak of: the names that exchanges, brokers, sites and stores give.

docs/file_shapes.md lists them. A name that says nothing (`data.csv`, `2023.csv`, `part-0.parquet`) leaves it to the
folder.
"""

import re
from dataclasses import dataclass
from pathlib import PurePosixPath

from pipelines.domain.errors import BadInput
from pipelines.domain.instruments import Kind
from pipelines.domain.symbols import is_symbol
from pipelines.ingest.names import canonical, kind_of, known_symbols

#: Keys of hive partitions that name an instrument
_PARTITIONS = ("symbol", "ticker", "tradingsymbol", "instrument", "scrip", "stock", "security", "index")
_SUFFIXES = re.compile(
    r"(\.(csv|txt|tsv|tab|psv|dat|jsonl?|ndjson|parquet|parq|pq|feather|arrow|ipc|xlsx|xlsm|xls|gz|bz2|xz|zst|zip|bak))+$",
    re.IGNORECASE,
)
#: What Windows, macOS, browsers and Google Drive put to the name of a second copy
_COPY = re.compile(
    r"^copy of | ?\(\d{1,3}\)$| - copy( ?\(\d+\))?$| copy( \d+)?$|[-_ ](copy|backup|bak|old|new|final|v\d)$",
    re.IGNORECASE,
)
_DAY = r"\d{1,2}-(?:\d{1,2}|[A-Za-z]{3})-\d{4}"
_NAMED = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"quote-equity-(?P<symbol>.+?)(-[A-Z]{{2}})?-{_DAY}(-to)?-{_DAY}",  # NSE's site, shares
        rf"{_DAY}-to-{_DAY}(?P<symbol>.+?)(ALLN|EQN|BEN|ALL|EQ)?",  # NSE's site before 2020
        rf"hist_(?P<symbol>india_vix)_?-?.*|(?P<index>.+?)[-_ ]{_DAY}-to-{_DAY}",  # NSE's site, indices
        r"(?P<symbol>.+)_historical_(pr|tr|pe)_.*",  # niftyindices.com
        r"(NSE|BSE)(_DLY|_EOD)?[_:](?P<symbol>[^,]+?)(, ?\d*[SHDWM]?)?(_[0-9a-f]{5})?",  # TradingView
        r"(?P<symbol>.+?) (historical (data|prices|rates)|(stock|share) price( history)?)",  # investing.com
        r"(?P<symbol>.+?)__EQ__.*",  # Kite's history as published on Kaggle
    )
)  # fmt: skip
#: Words of names that are no instrument
_WORDS = frozenset(
    re.findall(
        r"\w+",
        """
        ALL ARCHIVE ADJUSTED ADJ BACKUP BAR BARS BHAV BHAVCOPY BHAVDATA BOOK BROKER CANDLE CANDLES CASH CHART
        CLEAN CM CSV DAILY DATA DATASET DAY DAYS DEFAULT DIRTY DOWNLOAD DOWNLOADS DUMP EOD EQ EQUITY EXPORT FEED
        FILE FINAL FO FROM FULL GROUP HIST HISTORIC HISTORICAL HISTORY HOUR HOURLY INBOX INDEX INDICES INDEXES
        INTRADAY IST KITE LATEST LONG MARKET MERGED MIN MINUTE MINUTES MONTH MONTHLY NSE OHLC OHLCV OI OUT OUTPUT
        PANEL PARQUET PART PRICE PRICES QUOTE QUOTES RAW RESULT RESULTS SAMPLE SEC SHAPE SHEET SHORT SITE SNAPPY
        SOURCE SPLIT STOCK STOCKS SYMBOLS TABLE TEMP TICK TICKS TMP TO TRADES TRADINGVIEW UNADJUSTED UNTITLED
        UTC VALUES WEEK WEEKLY YAHOO YEAR YEARLY ZERODHA
        """,
    )
)
_MONTH = "(JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC)[A-Z]{0,6}"
_NO_SYMBOL = re.compile(
    rf"\d+|\d*{_MONTH}\d*|(SHEET|BOOK|PART|TABLE|DATA|CHUNK|FILE)\d*|(?=.*\d)[A-F0-9]{{8,}}|H[12]|Q[1-4]|"
    r"(CM|FO)\d.*BHAV.*|"
    r"\d*(MS|S|SEC|SECOND|M|MI|MIN|MINS|MINUTE|MINUTES|T|H|HR|HOUR|D|DAY|W|WEEK|MO|Y)S?|"
    rf"\d{{4}}({_MONTH}|H[12]|Q[1-4]).*"
)


@dataclass(frozen=True)
class FileName:
    """What a file's place says of its instrument."""

    symbol: str | None  #: None: nothing
    sure: bool = False  #: whether it must be meant: a known symbol, a partition's, or a name in capitals

    @property
    def kind(self) -> Kind | None:
        return kind_of(self.symbol) if self.symbol else None


def named_by(file: str) -> FileName:
    """What the name relative to the folder read says, else the folders above it, the nearest first.

    A sheet of a workbook or a member of an archive is named `<file>/<sheet>`.
    """
    parts = PurePosixPath(file).parts
    for part in reversed(parts):
        key, equals, value = part.partition("=")
        if equals and key.strip().lower() in _PARTITIONS:
            symbol = canonical(value)
            return FileName(symbol if is_symbol(symbol) else None, sure=True)
    for part in reversed(parts):
        found = _of_stem(part)
        if found.symbol is not None:
            return found
    return FileName(None)


def symbol_of_file(file: str) -> str | None:
    """The symbol that a file's place names: `NSE_M_M, 1D.csv` is M&M; None if it names none."""
    return named_by(file).symbol


def symbol_for(file: str) -> str:
    """As `symbol_of_file`.

    Raises
    ------
    BadInput : if the file's place names none.
    """
    symbol = symbol_of_file(file)
    if symbol is None:
        raise BadInput(
            f"{file}: neither a column nor its name or folder says which instrument it is of; name it after the "
            "symbol, e.g. SBIN.csv, or add a column symbol"
        )
    return symbol


def _of_stem(name: str) -> FileName:
    if "=" in name:  # a partition by something else, such as year=2023
        return FileName(None)
    stem = _SUFFIXES.sub("", name).strip()
    before = ""
    while stem != before:
        before, stem = stem, _COPY.sub("", stem).strip()
    if (whole := canonical(stem)) in known_symbols():
        return FileName(whole, sure=True)
    for pattern in _NAMED:
        if match := pattern.fullmatch(stem):
            stem = next(value for value in match.groupdict().values() if value).strip(" -_")
            if is_symbol(canonical(stem)) and not _says_nothing(stem):
                return FileName(canonical(stem), sure=True)
            break
    return _by_words(stem)


def _by_words(stem: str) -> FileName:
    """The longest beginning that is a known symbol; else the one word that could be one, or the one before a `_`."""
    words = [word for word in re.split(r"[\s_.,+()\[\]]+", stem) if word]
    while words and _says_nothing(words[0]):
        words.pop(0)
    for count in range(len(words), 0, -1):
        rest = stem[stem.index(words[count - 1]) + len(words[count - 1]) :]
        if not (rest.startswith("_") or all(map(_says_nothing, words[count:]))):
            continue  # HDFC Bank is not HDFC
        for symbol in (canonical(" ".join(words[:count])), canonical("".join(words[:count]))):
            if symbol in known_symbols():
                return FileName(symbol, sure=True)
    kept = [word for word in words if not _says_nothing(word)]
    if not kept or (len(kept) > 1 and not re.match(rf"{re.escape(kept[0])}_", stem.lstrip("_ "))):
        return FileName(None)
    symbol = canonical(re.sub(r"-(\d{4}.*|\d+|[A-Za-z]*)$", lambda m: "" if _says_nothing(m[1]) else m[0], kept[0]))
    if not is_symbol(symbol) or " " in symbol:
        return FileName(None)
    return FileName(symbol, sure=symbol in known_symbols() or (len(symbol) > 2 and stem == symbol))


def _says_nothing(word: str) -> bool:
    pieces = [piece for piece in re.split(r"[-~]", word.upper()) if piece]
    return all(piece in _WORDS or _NO_SYMBOL.fullmatch(piece) for piece in pieces)
