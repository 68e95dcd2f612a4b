"""`ingest`: take a source's market, hold back the days to be played, pin the rest as what was known at T.

T (`as_of`) is the close of the last bar kept. What came later lies in `data/00_world`, where no stage looks.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipelines.domain.bars import BAR_COLUMNS, IST, PRICE_COLUMNS, Interval
from pipelines.domain.errors import BadInput
from pipelines.domain.instruments import Kind
from pipelines.domain.market_calendar import KNOWN_FROM, KNOWN_TO, hours_of_bars, is_known, may_trade
from pipelines.domain.session_grid import shifted
from pipelines.ingest.kinds import RAW_BAR_COLUMNS, known_times, known_until
from pipelines.ingest.members import members_only
from pipelines.ingest.world import World
from pipelines.params import IngestParams, Params
from pipelines.paths import Paths, table_of
from pipelines.stages import StageReport
from pipelines.tables import fresh_folder, write_json, write_table

DAYS_OF_DAILY_BARS = 20  #: about a month: twice the time barrier of a trade on daily bars


def run(params: Params, paths: Paths) -> StageReport:
    """Read the source named in `params.ingest` and write `data/00_world` and `data/01_raw`, both or neither."""
    world = members_only(read_world(params.ingest, paths), params.ingest.members_of)
    split = hold_back(world, days_to_play(params.ingest.session_days, world.interval))
    snapshot = _snapshot(params.ingest, world, split)
    with fresh_folder(paths.world) as held_back, fresh_folder(paths.raw) as raw:
        _write_world(world, split, paths, held_back)
        _write_raw(world, split, snapshot, paths, raw)
    return StageReport(
        stage="ingest",
        rows_in=sum(len(bars) for bars in world.bars.values()),
        rows_out=sum(len(bars) for bars in split.raw.values()),
        notes=_notes(world, split),
    )


def read_world(params: IngestParams, paths: Paths) -> World:
    """What the source knows of the symbols asked for; sources are imported only when they are asked for."""
    if params.source == "simulated":
        from pipelines.ingest.simulated import simulate

        return only(simulate(params.simulated, params.interval), params.symbols)
    if params.source == "lake":
        from pipelines.ingest.from_lake import read_lake

        return read_lake(params, paths.lake)
    from pipelines.ingest.files import read_files

    return read_files(params, datetime.now(IST))


def only(world: World, symbols: tuple[str, ...]) -> World:
    """The world of these symbols; all of it if none are named.

    Raises
    ------
    BadInput : if a symbol is not among those the source has.
    """
    if not symbols:
        return world
    unknown = [symbol for symbol in symbols if symbol not in world.bars]
    if unknown:
        raise BadInput(
            f"ingest.symbols: {', '.join(unknown)} not found; the source has {', '.join(sorted(world.bars))}; "
            "correct the spelling or take the symbol out"
        )
    tables: dict[str, pd.DataFrame] = {
        name: table[table["symbol"].isin(symbols)].reset_index(drop=True)
        for name in ("instruments", "news", "actions", "membership", "outcomes", "disagreements", "truth")
        if (table := getattr(world, name)) is not None
    }
    return replace(
        world,
        bars={symbol: bars for symbol, bars in world.bars.items() if symbol in symbols},
        ticks={symbol: ticks for symbol, ticks in world.ticks.items() if symbol in symbols},
        **tables,  # type: ignore[arg-type]
    )


def days_to_play(session_days: int | Literal["auto"], interval: Interval) -> int:
    """Trading days to hold back; `auto` is one, or a month of daily bars, on which a trade lasts for weeks."""
    if session_days != "auto":
        return session_days
    return 1 if interval.intraday else DAYS_OF_DAILY_BARS


@dataclass(frozen=True)
class Split:
    """A world cut at T."""

    raw: Mapping[str, pd.DataFrame]  #: what was known at T, faults and all
    session: Mapping[str, pd.DataFrame]  #: what came later and can be played; symbols without bars are not in it
    as_of: pd.Timestamp  #: T, the close of the last bar kept
    session_days: tuple[date, ...]
    unplayable: int  #: later rows that no exchange could have shown: off session, repeated, or with impossible prices


def hold_back(world: World, session_days: int) -> Split:
    """Split off the last `session_days` trading days found in the data.

    A day counts if the market traded on it, as far as the calendar knows, and a stock has bars (an index alone cannot
    be played). Stray rows of other days are kept before T and left out after it. Rows without a readable time stay, so
    that validation can name them.

    Raises
    ------
    BadInput : if there are no bars, or no days would be left.
    """
    days = _trading_days(world)
    if not days:
        raise BadInput("the source holds no bar on a trading day; look at the folder's dates or name another one")
    if session_days >= len(days):
        raise BadInput(
            f"ingest.session_days = {session_days} would leave no history: the source holds {len(days)} trading days; "
            "hold back fewer or give a longer history"
        )
    kept_until, played = days[-session_days - 1], tuple(days[len(days) - session_days :])
    raw, session, unplayable = {}, {}, 0
    for symbol, bars in world.bars.items():
        later = (bars["open_time"].dt.date > kept_until).fillna(False).to_numpy(dtype=bool)
        raw[symbol] = bars.loc[~later, list(RAW_BAR_COLUMNS)].reset_index(drop=True)
        playable = _playable(bars[later], played)
        unplayable += int(later.sum()) - len(playable)
        if len(playable):
            session[symbol] = playable
    as_of = max(bars["close_time"].max() for bars in raw.values() if bars["close_time"].notna().any())
    return Split(raw, session, as_of, played, unplayable)


def _trading_days(world: World) -> list[date]:
    """Days that may trade and on which a stock has bars; of indices only where the source holds no stock."""
    stocks = set(world.instruments.loc[world.instruments["kind"] == Kind.STOCK.value, "symbol"])
    bars = [frame for symbol, frame in world.bars.items() if symbol in stocks or not stocks]
    days = {day for frame in bars for day in frame["open_time"].dropna().dt.date.unique()}
    return sorted(day for day in days if may_trade(day))


def _playable(bars: pd.DataFrame, days: tuple[date, ...]) -> pd.DataFrame:
    """Rows an exchange could have shown: inside a session of `days`, the first of each time, prices that can be."""
    prices = bars[list(PRICE_COLUMNS)].to_numpy(dtype=float)
    volume = bars["volume"].to_numpy(dtype=float, na_value=np.nan)
    o, h, low, c = prices.T
    sound = np.isfinite(prices).all(axis=1) & (low > 0) & (h >= np.maximum(o, c)) & (low <= np.minimum(o, c))
    inside = _in_sessions(bars, days)
    sound &= (volume >= 0) & inside & ~shifted(bars["open_time"], np.zeros(len(bars)), ~inside)
    rows = bars.loc[sound, list(BAR_COLUMNS)].drop_duplicates("open_time").sort_values("open_time", ignore_index=True)
    return rows.astype({"volume": "int64"})


def _in_sessions(bars: pd.DataFrame, days: tuple[date, ...]) -> npt.NDArray[np.bool_]:
    inside = np.zeros(len(bars), dtype=bool)
    for opened, _, ended in map(hours_of_bars, days):
        inside |= ((bars["open_time"] >= opened) & (bars["close_time"] <= ended)).to_numpy()
    return inside


def _write_world(world: World, split: Split, paths: Paths, folder: Path) -> None:
    session_bars = folder / paths.session_bars.relative_to(paths.world)
    session_bars.mkdir()
    for symbol, bars in split.session.items():
        write_table(bars, table_of(session_bars, symbol))
    write_table(_news_after(world.news, split), folder / paths.session_news.relative_to(paths.world))
    later = known_times(world.actions, "actions") > split.as_of
    write_table(world.actions[later].reset_index(drop=True), folder / paths.session_actions.relative_to(paths.world))
    if world.truth is not None:
        write_table(world.truth, folder / paths.truth.relative_to(paths.world))


def _write_raw(world: World, split: Split, snapshot: dict, paths: Paths, folder: Path) -> None:
    for symbol, bars in split.raw.items():
        write_table(bars, table_of(folder / paths.raw_bars.relative_to(paths.raw), symbol))
    write_table(world.instruments, folder / paths.raw_instruments.relative_to(paths.raw))
    for symbol, ticks in world.ticks.items():
        write_table(
            known_until(ticks, "ticks", split.as_of),
            table_of(folder / paths.raw_ticks.relative_to(paths.raw), symbol),
        )
    for kind, table, path in (
        ("news", world.news, paths.raw_news),
        ("actions", world.actions, paths.raw_actions),
        ("membership", world.membership, paths.raw_membership),
        ("outcomes", world.outcomes, paths.raw_outcomes),
        ("disagreements", world.disagreements, paths.disagreements),
    ):
        write_table(known_until(table, kind, split.as_of), folder / path.relative_to(paths.raw))
    if world.rejected is not None and len(world.rejected):
        write_table(world.rejected, folder / paths.raw_rejected.relative_to(paths.raw))
    write_json(snapshot, folder / paths.snapshot.relative_to(paths.raw))


def _news_after(news: pd.DataFrame, split: Split) -> pd.DataFrame:
    return news[news["time"] > split.as_of].reset_index(drop=True)


def _snapshot(params: IngestParams, world: World, split: Split) -> dict:
    """What was pinned; nothing of it depends on where or when the stage ran."""
    return {
        "source": params.source,
        "folder": "/".join(params.folder.parts[-2:]) if params.source == "files" else None,
        "simulated": params.simulated.model_dump(mode="json") if params.source == "simulated" else None,
        "lake": world.pinned,
        "interval": world.interval.value,
        "as_of": split.as_of.isoformat(),
        "session_days": [day.isoformat() for day in split.session_days],
        "counts": {
            "instruments": len(world.instruments),
            "bars": sum(len(bars) for bars in split.raw.values()),
            "news": len(known_until(world.news, "news", split.as_of)),
            "session_bars": sum(len(bars) for bars in split.session.values()),
            "session_news": len(_news_after(world.news, split)),
        },
        "files": dict(sorted(world.files.items())),
        "left_out": list(world.left_out),
    }


def _notes(world: World, split: Split) -> tuple[str, ...]:
    notes = [f"{world.interval} bars of {len(world.bars)} instruments, known as of {split.as_of:%Y-%m-%d %H:%M}"]
    if split.session_days:
        first, last = split.session_days[0], split.session_days[-1]
        span = f"{first}" if first == last else f"{first} to {last}"
        notes.append(f"held back: {len(split.session_days)} sessions ({span}) of {len(split.session)} instruments")
    if split.unplayable:
        notes.append(
            f"{split.unplayable} rows after T cannot be played (off session, repeated or impossible): left out"
        )
    if not is_known(split.as_of.date()):
        notes.append(f"the calendar covers {KNOWN_FROM} to {KNOWN_TO}; outside, a day's session is what its bars tell")
    return (*notes, *world.left_out)
