"""Which instruments a headline speaks of, by a table of how their names are spelt."""

import csv
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path

from pipelines.domain.errors import BadInput
from pipelines.domain.symbols import is_symbol
from pipelines.ingest.names import canonical

#: Spellings up to this length are read as they are written: `ITC` is a company, `itc` is not
_SHORT = 4
_LETTERS = 3  #: a spelling needs so many letters or digits; fewer are met everywhere


class Entities:
    """Finds symbols in text.

    Parameters
    ----------
    spellings : mapping of symbols to the ways their names are spelt; one that two symbols share names neither.
        What is no symbol is left out, see `no_symbols`
    """

    def __init__(self, spellings: Mapping[str, Iterable[str]]):
        self.no_symbols = sorted(symbol for symbol in spellings if not is_symbol(canonical(symbol)))
        meant: dict[str, set[str]] = defaultdict(set)
        for symbol, names in spellings.items():
            for name in {symbol, *names}:
                plain = _plain(name)
                if sum(letter.isalnum() for letter in plain) >= _LETTERS:
                    meant[plain if _exact(plain) else plain.lower()].add(canonical(symbol))
        self._meant = {name: next(iter(symbols)) for name, symbols in meant.items() if len(symbols) == 1}
        self._meant = {name: symbol for name, symbol in self._meant.items() if is_symbol(symbol)}
        self.ambiguous = sorted(name for name, symbols in meant.items() if len(symbols) > 1)
        self._exact = _pattern(name for name in self._meant if _exact(name))
        self._free = _pattern(name for name in self._meant if not _exact(name))

    def symbol_of(self, name: str) -> str | None:
        """The symbol that a whole name stands for."""
        plain = _plain(name)
        return self._meant.get(plain) or self._meant.get(plain.lower())

    def symbols_in(self, text: str) -> tuple[str, ...]:
        """The symbols that a text names, in the order of the alphabet; of overlapping names the longest counts."""
        plain = _plain(text)
        found = [(match.span(), self._meant[match.group()]) for match in self._free.finditer(plain.lower())]
        found += [(match.span(), self._meant[match.group()]) for match in self._exact.finditer(plain)]
        spans = [span for span, _ in found]
        whole = [symbol for span, symbol in found if not any(_inside(span, other) for other in spans)]
        return tuple(sorted(set(whole)))


def read_entities(path: Path) -> Entities:
    """Spellings from a CSV with the columns Symbol and Entity (spellings by comma).

    Raises
    ------
    BadInput : if it is not there, no text, or lacks a column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            named = {(name or "").strip().lower(): name for name in reader.fieldnames or ()}
            if not {"symbol", "entity"} <= set(named):
                raise BadInput(f"{path.name} lacks the columns Symbol and Entity; found: {', '.join(named)[:200]}")
            rows = [((row[named["symbol"]] or "").strip(), row[named["entity"]] or "") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{path} cannot be read ({error}); name a CSV with the columns Symbol and Entity") from None
    return Entities({symbol: spelt.split(",") for symbol, spelt in rows if symbol})


def _plain(text: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"['’`]s\b", "", text)).strip()


def _exact(name: str) -> bool:
    return len(name) <= _SHORT or (name.isupper() and " " not in name)


def _pattern(names: Iterable[str]) -> re.Pattern[str]:
    longest_first = sorted(names, key=lambda name: (-len(name), name))
    return re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first)) or '(?!)'})(?!\w)")


def _inside(span: tuple[int, int], other: tuple[int, int]) -> bool:
    return span != other and other[0] <= span[0] and span[1] <= other[1]
