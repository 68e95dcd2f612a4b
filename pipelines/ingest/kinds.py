"""The kinds of table that data comes in: columns, types, and from which time on each row may be known.

Times are `TIME_DTYPE`; a day (ex-date, first day in an index) is its midnight in Asia/Kolkata.
"""

from collections.abc import Mapping
from typing import Literal, get_args

import pandas as pd

from pipelines.domain.bars import BAR_COLUMNS, TIME_DTYPE
from pipelines.domain.corporate_actions import ACTION_COLUMNS
from pipelines.domain.errors import BadInput
from pipelines.domain.instruments import INSTRUMENT_COLUMNS
from pipelines.domain.news import NEWS_COLUMNS

DataKind = Literal["bars", "ticks", "news", "actions", "instruments", "membership", "outcomes"]
KINDS: tuple[DataKind, ...] = get_args(DataKind)

#: Columns of a source's bars: where a row came from goes with it, so that quarantine can name it.
RAW_BAR_COLUMNS = (*BAR_COLUMNS, "source", "source_row")
#: quantity: shares since the tick before, NaN where not told; volume: running total of the day, NaN where not told
TICK_COLUMNS = ("symbol", "time", "price", "quantity", "volume")
#: a stock is in the index from the first day to the last, both included; NaT: not ended
MEMBERSHIP_COLUMNS = ("index_name", "symbol", "effective_from", "effective_to", "known_at", "source")
#: Closed trades as features see them, in rupees as float64; exact money stays in the journal.
#: pattern: the head whose view spoke loudest for the trade's side, empty where the journal does not tell
OUTCOME_COLUMNS = (
    "account", "decision_id", "symbol", "side", "pattern", "regime", "policy_version", "quantity", "entered_at",
    "exited_at", "entry_price", "exit_price", "exit_reason", "gross_inr", "charges_inr", "net_inr", "mfe_inr",
    "mae_inr", "hold_bars",
)  # fmt: skip
#: Where two sources of one series differ, of the bar that opened at `open_time`
DISAGREEMENT_COLUMNS = ("symbol", "open_time", "field", "source", "value", "other_source", "other_value")

_TYPES = {
    "open_time": TIME_DTYPE, "close_time": TIME_DTYPE, "time": TIME_DTYPE, "known_at": TIME_DTYPE,
    "ex_date": TIME_DTYPE, "effective_from": TIME_DTYPE, "effective_to": TIME_DTYPE,
    "entered_at": TIME_DTYPE, "exited_at": TIME_DTYPE,
    "source_row": "int64", "token": "int64", "lot_size": "int64", "has_volume": "bool", "hold_bars": "int64",
}  # fmt: skip
_FLOATS = {
    "open", "high", "low", "close", "price", "ratio", "amount_inr", "sentiment", "entry_price", "exit_price",
    "gross_inr", "charges_inr", "net_inr", "mfe_inr", "mae_inr", "value", "other_value",
}  # fmt: skip
_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "bars": RAW_BAR_COLUMNS,
    "ticks": TICK_COLUMNS,
    "news": NEWS_COLUMNS,
    "actions": ACTION_COLUMNS,
    "instruments": INSTRUMENT_COLUMNS,
    "membership": MEMBERSHIP_COLUMNS,
    "outcomes": OUTCOME_COLUMNS,
    "disagreements": DISAGREEMENT_COLUMNS,
}
#: The time a row is about, by which the lake divides its files; instruments are about no time
STAMPS: Mapping[DataKind, str] = {
    "bars": "open_time", "ticks": "time", "news": "time", "actions": "ex_date", "membership": "effective_from",
    "outcomes": "exited_at",
}  # fmt: skip
#: Rows alike in these say the same thing anew: what a source said last counts (of news, what was said first)
IDENTITY: Mapping[DataKind, tuple[str, ...]] = {
    "bars": ("symbol", "open_time"),
    "ticks": ("symbol", "time"),
    "news": ("symbol", "headline"),
    "actions": ("symbol", "ex_date", "kind"),
    "instruments": ("symbol",),
    "membership": ("index_name", "symbol", "effective_from"),
    "outcomes": ("account", "decision_id", "symbol", "entered_at"),
}
#: Where and when a row was told, which makes it no other row
PROVENANCE = ("source", "source_row", "known_at")
_COUNTS = {"bars": {"volume": "int64"}, "ticks": {"volume": "float64", "quantity": "float64"}}


def types_of(kind: str) -> dict[str, str]:
    """Type of each column of a kind, in the table's order."""
    own = _COUNTS.get(kind, {"quantity": "int64"})
    return {
        name: own.get(name) or _TYPES.get(name) or ("float64" if name in _FLOATS else "str") for name in _COLUMNS[kind]
    }


def typed(frame: pd.DataFrame, kind: str) -> pd.DataFrame:
    """The columns of the kind, in order and type; others are left out.

    Raises
    ------
    BadInput : a column is missing or a value does not fit its type.
    """
    types = types_of(kind)
    missing = [name for name in types if name not in frame]
    if missing:
        raise BadInput(f"a table of {kind} lacks {', '.join(missing)}; wanted: {', '.join(types)}")
    try:
        return frame[list(types)].astype(types).reset_index(drop=True)
    except (ValueError, TypeError) as error:
        raise BadInput(f"a table of {kind} has a value that does not fit: {' '.join(str(error).split())}") from None


def empty(kind: str) -> pd.DataFrame:
    """A table of the kind without rows, with the right types."""
    return pd.DataFrame({name: pd.Series(dtype=dtype) for name, dtype in types_of(kind).items()})


def known_times(frame: pd.DataFrame, kind: str) -> pd.Series:
    """For each row the time from which it may be known; NaT where the row has no readable time.

    A bar from its close, a trade from its exit, an action from its announcement or, where nobody noted that, from
    midnight of its ex-date; a membership likewise. Instruments carry no time and are not asked for here.
    """
    if kind in ("actions", "membership"):
        return frame["known_at"].fillna(frame["ex_date" if kind == "actions" else "effective_from"])
    return frame[{"bars": "close_time", "outcomes": "exited_at", "disagreements": "open_time"}.get(kind, "time")]


def known_until(frame: pd.DataFrame, kind: str, moment: pd.Timestamp) -> pd.DataFrame:
    """The rows that could be known at `moment`; rows without a time are not."""
    return frame[(known_times(frame, kind) <= moment).to_numpy(dtype=bool)].reset_index(drop=True)
