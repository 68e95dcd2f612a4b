"""Corporate actions for a session that is about to begin: those of the run, and what collectors have learnt since."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

import pandas as pd

from pipelines.domain.corporate_actions import actions_table
from pipelines.domain.errors import BadInput
from pipelines.domain.listings import current_symbol
from pipelines.ingest.from_lake import of_all_sources
from pipelines.ingest.kinds import IDENTITY, empty, known_times, known_until
from pipelines.ingest.lake import Lake
from pipelines.ingest.shares import renamed
from pipelines.params import IngestParams
from pipelines.paths import Paths
from pipelines.tables import read_table


@dataclass(frozen=True)
class KnownActions:
    """What was announced by a moment."""

    table: pd.DataFrame = field(default_factory=actions_table)  #: each action once; ACTION_COLUMNS
    lacking: str = ""  #: why what collectors have learnt is not among them; empty if it is


def newest_actions(params: IngestParams, paths: Paths, symbols: Collection[str], at: datetime | None) -> KnownActions:
    """All that was announced of some instruments by a moment; of a lake that cannot be read nothing.

    The run's are those it pinned, and those of the days that it held back to be played. Where run and lake tell of an
    action the lake's figures count, unless only the run's tell a ratio. It is known from when the first of them knew.

    Parameters
    ----------
    at : datetime or None
        None: also what the days to be played will tell, each row with when it is known.
    """
    tables = [read_table(path) for path in (paths.raw_actions, paths.session_actions) if path.exists()]
    filled = [table for table in tables if len(table)]
    of_run = pd.concat(filled, ignore_index=True) if filled else empty("actions")
    pinned = _known(renamed(of_run, {current_symbol(symbol): symbol for symbol in symbols}), symbols, at)
    try:
        learnt = _known(_learnt(params, paths, symbols), symbols, at)
    except BadInput as error:
        return KnownActions(pinned, str(error))
    figured = learnt["ratio"].notna() | learnt["amount_inr"].notna()
    told = [rows for rows in (learnt[figured], pinned, learnt[~figured]) if len(rows)]
    if not told:
        return KnownActions(pinned)
    rows = pd.concat(told, ignore_index=True)
    about = list(IDENTITY["actions"])
    rows["known_at"] = known_times(rows, "actions").groupby([rows[name] for name in about]).transform("min")
    return KnownActions(rows.drop_duplicates(about).sort_values(["ex_date", "symbol", "kind"], ignore_index=True))


def _learnt(params: IngestParams, paths: Paths, symbols: Collection[str]) -> pd.DataFrame:
    """What the lake tells, of whatever symbols a share ever had."""
    pin = Lake(paths.lake).newest()
    if pin is None:
        return empty("actions")
    names = {current_symbol(symbol): symbol for symbol in symbols}
    return renamed(of_all_sources(pin, "actions", params.priority), names)


def _known(rows: pd.DataFrame, symbols: Collection[str], at: datetime | None) -> pd.DataFrame:
    own = rows[rows["symbol"].isin(list(symbols))].reset_index(drop=True)
    return own if at is None else known_until(own, "actions", pd.Timestamp(at))
