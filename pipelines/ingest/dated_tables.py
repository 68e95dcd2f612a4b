"""Tables that may lie beside bars: corporate actions and index membership in our own columns, Kite's instrument dump.

A CSV file is known by its header, whatever its name. Only what every row must have is asked for:

- actions: `symbol, ex_date, kind, ratio`, and if there are any `amount_inr, known_at, source`; kinds and what a ratio
  is stand in `pipelines/domain/corporate_actions.py`; 4/3 is a ratio, too
- membership: `index_name, symbol, effective_from`, and `effective_to, known_at, source`; both days included
- instruments: as Kite writes it; rows of shares and indices of NSE are taken
"""

import csv
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from math import inf
from pathlib import Path
from typing import Literal

import pandas as pd

from pipelines.domain.bars import IST
from pipelines.domain.corporate_actions import ActionKind, actions_table
from pipelines.domain.errors import BadInput
from pipelines.domain.symbols import checked_symbol
from pipelines.ingest.kinds import empty, typed
from pipelines.ingest.names import canonical

TableKind = Literal["actions", "membership", "instruments"]
_MARKS: Mapping[TableKind, frozenset[str]] = {
    "actions": frozenset({"symbol", "ex_date", "kind", "ratio"}),
    "membership": frozenset({"index_name", "symbol", "effective_from"}),
    "instruments": frozenset({"instrument_token", "tradingsymbol", "tick_size", "lot_size", "segment"}),
}


FIRST_YEAR, LAST_YEAR = 1900, 2199  #: a day before or after is a slip of the pen
_MOST_RATIO = 1_000  #: shares after for one before: a face value of 1,000 rupees split to one


@dataclass(frozen=True)
class DatedTable:
    kind: TableKind
    table: pd.DataFrame  #: columns of the kind; of instruments `symbol, token, tick_size, lot_size`


def read_dated_table(path: Path, file: str) -> DatedTable | None:
    """The table that a CSV file holds, None if it holds none of these kinds.

    Raises
    ------
    BadInput : if a row cannot be understood; the message names file, line, what was wanted and found.
    """
    if path.suffix.lower() != ".csv":
        return None
    kind = None
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, strict=True)  # else an open quote swallows the rest of the file
            named = {str(name).strip().lower() for name in reader.fieldnames or ()}
            kind = next((kind for kind, marks in _MARKS.items() if marks <= named), None)
            if kind is None:
                return None
            found = []
            for row in reader:
                where = f"{file} line {reader.line_num}"
                found.append(_rows(kind)(_trimmed(row, where), where, file))
    except OSError:
        return None
    except (UnicodeDecodeError, csv.Error) as error:
        if kind is not None:
            raise BadInput(f"{file} line {reader.line_num}: {error}; mend the line or save the file as UTF-8") from None
        return None  # what else it may be is for the reader of bars to say
    if not found:
        raise BadInput(f"{file} has a header and no rows; delete it or export it again")
    rows = [row for row in found if row is not None]
    if kind == "instruments":
        return DatedTable(kind, pd.DataFrame(rows, columns=["symbol", "token", "tick_size", "lot_size"]))
    if kind == "actions":
        return DatedTable(kind, actions_table(rows))
    return DatedTable(kind, typed(pd.DataFrame(rows), kind) if rows else empty(kind))


def _rows(kind: TableKind) -> Callable[[dict[str, str], str, str], dict[str, object] | None]:
    return {"actions": _action, "membership": _member, "instruments": _instrument}[kind]


def _trimmed(row: Mapping[str | None, str | None], where: str) -> dict[str, str]:
    if None in row or None in row.values():
        raise BadInput(f"{where}: {'more' if None in row else 'fewer'} fields than the header has; mend the line")
    return {name.strip().lower(): (value or "").strip() for name, value in row.items() if isinstance(name, str)}


def _action(row: dict[str, str], where: str, file: str) -> dict[str, object]:
    try:
        kind = ActionKind(row["kind"].lower())
    except ValueError:
        raise BadInput(f"{where}: kind {row['kind'] or 'is empty'}; wanted {', '.join(ActionKind)}") from None
    ratio = _ratio(row["ratio"], where)
    if ratio is None and kind.changes_shares:
        raise BadInput(f"{where}: a {kind} without a ratio; wanted shares after for one share before, e.g. 2 or 4/3")
    return {
        "symbol": _symbol(row, where),
        "ex_date": _day(row, "ex_date", where),
        "kind": kind.value,
        "ratio": ratio,
        "amount_inr": _number(row.get("amount_inr", ""), where),
        "known_at": _moment(row.get("known_at", ""), where),
        "source": row.get("source") or file,
    }


def _member(row: dict[str, str], where: str, file: str) -> dict[str, object]:
    first, last = _day(row, "effective_from", where), None
    if row.get("effective_to"):
        last = _day(row, "effective_to", where)
        if last < first:
            raise BadInput(f"{where}: effective_to {last:%Y-%m-%d} is before effective_from {first:%Y-%m-%d}")
    if not row["index_name"]:
        raise BadInput(f"{where}: index_name is empty; wanted the index, e.g. NIFTY 50")
    return {
        "index_name": checked_symbol(canonical(row["index_name"]), where),
        "symbol": _symbol(row, where),
        "effective_from": first,
        "effective_to": last,
        "known_at": _moment(row.get("known_at", ""), where),
        "source": row.get("source") or file,
    }


def _instrument(row: dict[str, str], where: str, file: str) -> dict[str, object] | None:
    if row.get("exchange", "NSE") != "NSE" or row["segment"] not in ("NSE", "INDICES"):
        return None
    try:
        token, lot = int(row["instrument_token"]), int(row["lot_size"])
        float(row["tick_size"])
    except ValueError as error:
        raise BadInput(f"{where}: {error}; wanted a row of Kite's instrument dump") from None
    symbol = checked_symbol(canonical(row["tradingsymbol"]), where)
    return {"symbol": symbol, "token": token, "tick_size": row["tick_size"], "lot_size": lot}


def _symbol(row: dict[str, str], where: str) -> str:
    if not row["symbol"]:
        raise BadInput(f"{where}: symbol is empty; wanted NSE's symbol, e.g. RELIANCE")
    return checked_symbol(canonical(row["symbol"]), where)


def _ratio(text: str, where: str) -> float | None:
    if not text:
        return None
    ratio = Fraction(0)
    if re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12}|/0*[1-9][0-9]{0,11})?", text):  # 1e9999 would take for ever
        ratio = Fraction(text)
    if not Fraction(1, _MOST_RATIO) <= ratio <= _MOST_RATIO:
        raise BadInput(
            f"{where}: ratio {text[:40]}; wanted a number above zero or a fraction, {_MOST_RATIO}-fold at most, "
            "e.g. 10, 1.5 or 4/3"
        )
    return float(ratio)


def _number(text: str, where: str) -> float | None:
    try:
        number = float(text) if text else None
    except ValueError:
        number = inf
    if number is not None and not 0 <= number < inf:
        raise BadInput(f"{where}: amount_inr {text}; wanted rupees a share")
    return number


def _day(row: dict[str, str], name: str, where: str) -> datetime:
    try:
        day = _in_reach(datetime.fromisoformat(row[name]))
    except ValueError:
        raise BadInput(f"{where}: {name} {row[name] or 'is empty'}; wanted a day, e.g. 2024-10-28") from None
    return day.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=IST)


def _moment(text: str, where: str) -> datetime | None:
    """A time without a zone is Indian time."""
    if not text:
        return None
    try:
        moment = _in_reach(datetime.fromisoformat(text))
    except ValueError:
        raise BadInput(f"{where}: known_at {text}; wanted a time, e.g. 2024-09-05T18:00:00+05:30") from None
    return moment.astimezone(IST) if moment.tzinfo else moment.replace(tzinfo=IST)


def _in_reach(moment: datetime) -> datetime:
    if not FIRST_YEAR <= moment.year <= LAST_YEAR:
        raise ValueError(f"the year {moment.year}")
    return moment
