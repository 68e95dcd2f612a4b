"""Corporate actions as NSE announces them: the `bc` file of the daily bundle, whose purposes are written for people.

What a purpose says is turned into shares and rupees here; `pipelines/domain/corporate_actions.py` applies it. An
action is known from the evening of the first file that lists it. Spellings beyond those of the recorded file are as
public readers of these files have met them since 2010.
"""

import csv
import re
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from io import StringIO
from math import isnan

import pandas as pd

from pipelines.domain.bars import IST
from pipelines.domain.corporate_actions import ActionKind, actions_table
from pipelines.domain.errors import BadInput
from pipelines.domain.symbols import checked_symbol
from pipelines.ingest.names import canonical
from pipelines.ingest.sources.bhavcopy import SERIES

_NUMBER = r"(\d{1,9}(?:\.\d{1,9})?)"
_RUPEES = r"(?:R[SE]\.?\s*)?"
#: The ratio must follow the word: bonus debentures and preference shares (BONUS NCRPS 4:1) leave the shares as they are
_BONUS = re.compile(r"\bBON(?:US)?(?: ISSUE| SHARES)?(?: IN THE RATIO OF)?[\s-]*(\d{1,9})\s*:\s*(\d{1,9})")
_SPLIT = re.compile(
    rf"(?:F\.?V\.?|FACE VALUE|STOCK|SUB-?\s?DIVISION|CONSOLIDATION)?[\s/-]*(?:SPLI?T?|SUB-?\s?DIVISION|CONSOLIDATION)"
    rf"[^\d:]*?{_RUPEES}{_NUMBER}[^\d:]*?TO[^\d:]*?{_RUPEES}{_NUMBER}"
)
_RIGHTS = re.compile(r"\bR(?:IG)?HTS?\b[\s-]*(?:ISSUE)?[\s-]*(\d+)\s*:\s*(\d+)")
_DIVIDEND = re.compile(rf"(?:DIV(?:IDEND)?|\bSPL)(?:\s*\d+\s*)?[^\d/%:]*?R[SE]\.?\s*{_NUMBER}")
_DEMERGER = re.compile(r"\bDE-?MERGE")
_COLUMNS = ("SERIES", "SYMBOL", "EX_DT", "PURPOSE")
_FAR = timedelta(days=366)  #: announcements come weeks before
_MOST_RATIO = 1_000  #: shares after for one before: a face value of 1,000 rupees split to one
_MOST_INR = 10_000.0  #: rupees a share; a share of NSE pays a few hundred at most
_DATES = ("%Y-%m-%d", "%d/%m/%Y", "%d-%b-%Y")


@dataclass(frozen=True, slots=True)
class Announced:
    """One thing that a purpose says."""

    kind: ActionKind
    ratio: float = float("nan")  #: shares after for one before, of splits and bonuses; else NaN: only prices will tell
    amount_inr: float = float("nan")  #: rupees a share, of dividends


def announced(purpose: str) -> tuple[Announced, ...]:
    """What a purpose says of the share itself; empty for interest, buy-backs, meetings and the like.

    `BONUS 1:1` is one new share for one held; `FV SPLT FRM RS 10 TO RS 2` makes five of one; both may stand in one
    line. The ratio of rights and demergers cannot be read off: it depends on prices.
    """
    text = re.sub(r"/-", " ", " ".join(purpose.upper().split()))
    found = [
        Announced(ActionKind.BONUS, 1 + int(new) / int(held))
        for new, held in _BONUS.findall(text)
        if int(held) and int(new)
    ]
    found += [
        Announced(ActionKind.SPLIT, float(before) / float(after))
        for before, after in _SPLIT.findall(text)
        if float(after) and float(before) and before != after
    ]
    found += [Announced(ActionKind.RIGHTS) for _ in _RIGHTS.findall(text)]
    found += [Announced(ActionKind.DEMERGER)] if _DEMERGER.search(text) else []
    rest = _SPLIT.sub(" ", text)  # a face value is no dividend
    paid = sum(float(amount) for amount in _DIVIDEND.findall(rest)) if "DIV" in rest else 0.0
    found += [Announced(ActionKind.DIVIDEND, amount_inr=paid)] if paid else []
    return tuple(found)


def read_actions(content: bytes, file: str, known_at: datetime) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """The actions of a `bc` file, and in sentences which purposes are no action that is known here.

    Parameters
    ----------
    content : bytes
    file : its name
    known_at : when it was published, with a zone

    Returns
    -------
    DataFrame of ACTION_COLUMNS, one row for each action of a share (its series are listed one by one), and notes.

    Raises
    ------
    BadInput : if it is not text, holds no rows, lacks a column or part of a row, or a share's row cannot be: no symbol,
        an ex-date that is no day or a year off, a ratio or dividend beyond any that was ever announced.
    """
    rows, unknown = [], set()
    for line in _lines(content, file):
        if line["SERIES"].upper() not in SERIES:
            continue
        if not line["SYMBOL"]:
            raise BadInput(f"{file}: an announcement ({line['PURPOSE'][:80]}) names no symbol; download it again")
        said = announced(line["PURPOSE"])
        _refuse_impossible(said, line, file)
        if not said:
            unknown.add(line["PURPOSE"])
        rows += [
            {
                "symbol": checked_symbol(canonical(line["SYMBOL"]), file),
                "ex_date": pd.Timestamp(_day(line["EX_DT"], line["SYMBOL"], file, known_at.date()), tz=IST),
                "kind": one.kind.value,
                "ratio": one.ratio,
                "amount_inr": one.amount_inr,
                "known_at": known_at,
                "source": file,
            }
            for one in said
        ]
    table = actions_table(rows).drop_duplicates(["symbol", "ex_date", "kind", "ratio", "amount_inr"])
    notes = (f"{file}: no change of the share: {', '.join(sorted(unknown))}",) if unknown else ()
    return table.reset_index(drop=True), notes


def _lines(content: bytes, file: str) -> list[dict[str, str]]:
    """The rows by column, all of them whole."""
    try:
        text = content.decode("utf-8-sig")
        reader = csv.reader(StringIO(text, newline=""), strict=True)  # else an open quote swallows the rest of the file
        header = [name.strip() for name in next(reader, [])]
        rows = [(reader.line_num, row) for row in reader if any(cell.strip() for cell in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise BadInput(f"{file} is no readable CSV ({error}); download it again") from None
    missing = [name for name in _COLUMNS if header.count(name) != 1]
    if missing:
        raise BadInput(f"{file} lacks the columns {', '.join(missing)}; its columns: {', '.join(header)[:200]}")
    odd = next((line for line, row in rows if len(row) != len(header)), None)
    if not rows or odd or "\0" in text:
        where = f"line {odd} has not as many fields as the header" if odd else "it holds no rows, or zero bytes"
        raise BadInput(f"{file}: {where}; download it again")
    return [dict(zip(header, [cell.strip() for cell in row], strict=True)) for _, row in rows]


def _refuse_impossible(said: tuple[Announced, ...], line: dict[str, str], file: str) -> None:
    for one in said:
        if not (1 / _MOST_RATIO <= one.ratio <= _MOST_RATIO or isnan(one.ratio)) or one.amount_inr > _MOST_INR:
            raise BadInput(
                f"{file}: {line['SYMBOL']} announces {line['PURPOSE'][:80]!r}, beyond any ratio or dividend there was; "
                "look it up and mend the file"
            )


def _day(text: str, symbol: str, file: str, told: date) -> date:
    for way in _DATES:
        try:
            day = datetime.strptime(text, way).date()  # noqa: DTZ007  a day has no zone
        except ValueError:
            continue
        if abs(day - told) > _FAR:
            raise BadInput(f"{file}: the ex-date {text} of {symbol} is more than a year from {told}; download it again")
        return day
    raise BadInput(f"{file}: the ex-date {text!r} of {symbol} is no day; download it again")
