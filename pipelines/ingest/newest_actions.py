"""Corporate actions for a session that is about to begin: those of the run, and what collectors have learnt since."""

from collections.abc import Collection
from datetime import datetime

import pandas as pd

from pipelines.domain.listings import current_symbol
from pipelines.ingest.from_lake import of_all_sources
from pipelines.ingest.kinds import IDENTITY, empty, known_times, known_until
from pipelines.ingest.lake import Lake
from pipelines.ingest.manifest import FILE
from pipelines.ingest.shares import renamed
from pipelines.params import IngestParams
from pipelines.paths import Paths
from pipelines.tables import read_table


def newest_actions(params: IngestParams, paths: Paths, symbols: Collection[str], at: datetime) -> pd.DataFrame:
    """All that was announced of some instruments by a moment, each action once; ACTION_COLUMNS.

    Where both tell of an action the lake's figures count, unless only the run's tell a ratio. It is known from when
    the first of them knew it.

    Raises
    ------
    BadInput, AlreadyRunning : if there is a lake and it cannot be read, see `Lake.pin`.
    """
    pinned = read_table(paths.raw_actions) if paths.raw_actions.exists() else empty("actions")
    learnt = empty("actions")
    if (paths.lake / FILE).exists():
        names = {current_symbol(symbol): symbol for symbol in symbols}
        learnt = renamed(of_all_sources(Lake(paths.lake).pin(), "actions", params.priority), names)
    moment = pd.Timestamp(at)
    pinned, learnt = (known_until(rows, "actions", moment) for rows in (pinned, learnt))
    figured = learnt["ratio"].notna() | learnt["amount_inr"].notna()
    told = [rows for rows in (learnt[figured], pinned, learnt[~figured]) if len(rows)]
    if not told:
        return pinned
    rows = pd.concat(told, ignore_index=True)
    rows = rows[rows["symbol"].isin(list(symbols))].reset_index(drop=True)
    about = list(IDENTITY["actions"])
    rows["known_at"] = known_times(rows, "actions").groupby([rows[name] for name in about]).transform("min")
    first = rows.drop_duplicates(about)
    return first.sort_values(["ex_date", "symbol", "kind"], ignore_index=True)
