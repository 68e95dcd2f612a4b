"""What a person does about rows that were set aside: look, let out, take back."""

from collections.abc import Callable
from datetime import datetime

import pandas as pd

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput
from pipelines.paths import Paths
from pipelines.tables import read_table
from pipelines.validate.release import Release, read_released, releases_of, write_released

Say = Callable[[str], None]
SHOWN = 20  #: rows at most that `show` spells out

THEN = "Run `dvc repro` to let it count, and commit expectations/released.csv."


def listed(paths: Paths, say: Say, symbol: str | None = None, rule: str | None = None) -> None:
    """Say how many rows lie in the quarantine of the last run, by rule and instrument."""
    rows = _chosen(read_table(paths.quarantine), symbol, None, rule)
    if not len(rows):
        say("nothing lies in the quarantine" if symbol is rule is None else "no such row lies in the quarantine")
    for (table, name, of), own in rows.groupby(["table", "rule", "symbol"], sort=True):
        times = own.loc[own["time"] != "", "time"]
        span = "" if times.empty else f", {times.min()[:10]} to {times.max()[:10]}"
        say(f"{table} {name} {of or '(no symbol)'}: {len(own):,} rows{span}; first: {own['reason'].iloc[0]}")
    released = read_released(paths.released).releases
    if released:
        say(f"released by hand: {len(released)} rows, in {paths.released.relative_to(paths.root)}")


def shown(paths: Paths, say: Say, symbol: str, time: str | None, rule: str | None = None) -> None:
    """Spell out rows: why they lie there, where they came from, what they hold."""
    rows = _found(read_table(paths.quarantine), symbol, time, rule)
    for row in rows.head(SHOWN).to_dict("records"):
        say(f"{row['table']} {row['symbol']} {row['time'] or '(no time)'} {row['rule']}: {row['reason']}\n"
            f"  {row['source']} row {row['source_row']}: {row['row']}")  # fmt: skip
    if len(rows) > SHOWN:
        say(f"and {len(rows) - SHOWN:,} more; give a time to see them")


def release(paths: Paths, say: Say, symbol: str, time: str, rule: str, who: str, why: str) -> None:
    """Let rows pass one rule in later runs, as long as they hold what they hold now.

    Raises
    ------
    BadInput : if there is no such row, nothing can be released from the rule, or no reason is given.
    """
    if not why.strip():
        raise BadInput("a release needs a reason that others understand; give --reason")
    rows = _found(read_table(paths.quarantine), symbol, time, rule)
    now = datetime.now(IST).isoformat(timespec="seconds")
    fresh = releases_of(rows, who, now, why)
    known = read_released(paths.released).releases
    before = {one.key for one in known}
    added = [one for one in fresh if one.key not in before]
    write_released([*known, *added], paths.released)
    say(f"released from {rule}: {len(added)} rows of {symbol}, {len(fresh) - len(added)} were already. {THEN}")


def hold(paths: Paths, say: Say, symbol: str, time: str, rule: str) -> None:
    """Take releases back: the rows are judged again by the rule.

    Raises
    ------
    BadInput : if no such row is released.
    """
    known = read_released(paths.released).releases
    kept = [one for one in known if not _is(one, symbol, time, rule)]
    if len(kept) == len(known):
        raise BadInput(f"no row of {symbol} at {time} is released from {rule}; see {paths.released}")
    write_released(kept, paths.released)
    say(f"held again by {rule}: {len(known) - len(kept)} rows of {symbol}. {THEN}")


def _is(release: Release, symbol: str, time: str, rule: str) -> bool:
    return release.symbol == symbol and release.time.startswith(time) and release.rule == rule


def _chosen(rows: pd.DataFrame, symbol: str | None, time: str | None, rule: str | None) -> pd.DataFrame:
    for column, wanted in (("symbol", symbol), ("rule", rule)):
        rows = rows if wanted is None else rows[rows[column] == wanted]
    return rows if time is None else rows[rows["time"].str.startswith(time)]


def _found(rows: pd.DataFrame, symbol: str, time: str | None, rule: str | None) -> pd.DataFrame:
    found = _chosen(rows, symbol, time, rule)
    if not len(found):
        asked = " ".join(part for part in (symbol, time, rule) if part)
        raise BadInput(f"no row in the quarantine is {asked}; `tradesage quarantine list` tells what is there")
    return found
