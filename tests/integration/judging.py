"""What becomes of corrupt files of bars, many at once, held against what becomes of the clean one."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from pipelines.domain.bars import Interval
from pipelines.domain.errors import TradeSageError
from pipelines.ingest.files import read_files
from pipelines.ingest.world import World
from pipelines.params import Params
from pipelines.validate.bars import Raw, Validated, validated
from pipelines.validate.missing import count_absent
from tests.conftest import params_content
from tests.integration.corruption import Mutation

VALUES = ["open", "high", "low", "close", "volume"]


@dataclass
class Ended:
    """How one corrupt file ended."""

    mutation: Mutation
    error: BaseException | None = None
    world: World | None = None
    table: pd.DataFrame | None = None  #: what passed, by open time
    aside: frozenset[int] = frozenset()  #: source rows in quarantine
    told: tuple[str, ...] = ()
    absent: int = 0  #: bars of its sessions without a row, as `absent.parquet` tells them


def params(folder: Path, interval: str = "day") -> Params:
    return Params.model_validate(
        params_content(
            {
                "ingest.source": "files",
                "ingest.folder": str(folder),
                "ingest.interval": interval,
                "validate.min_bars": 20,
                "validate.max_quarantined": 1.0,
                "validate.min_completeness": 0.01,
            }
        )
    )


def read(folder: Path, name: str, content: bytes, interval: str = "day") -> World:
    folder.mkdir()
    (folder / name).write_bytes(content)
    return read_files(params(folder, interval).ingest)


def judge_all(ended: dict[str, Ended], settings: Params) -> None:
    """Validate many files at once, each as an instrument of its own; keys name no other's beginning."""
    for interval in Interval:
        judge(
            {key: one for key, one in ended.items() if one.world and one.world.interval is interval}, interval, settings
        )


def judge(ended: dict[str, Ended], interval: Interval, settings: Params) -> None:
    """As `judge_all`, of one interval; files that stop a run are judged alone."""
    if not ended:
        return
    try:
        found = _validated(ended, interval, settings)
    except TradeSageError as error:
        if len(ended) == 1:
            next(iter(ended.values())).error = error
            return
        keys = list(ended)
        for half in (keys[: len(keys) // 2], keys[len(keys) // 2 :]):
            judge({key: ended[key] for key in half}, interval, settings)
        return
    for key, one in ended.items():
        if key in found.bars:
            one.table = found.bars[key].set_index("open_time")[VALUES]
        aside = found.quarantine[found.quarantine["symbol"] == key]
        one.aside = frozenset(int(row) for row in aside["source_row"])
        one.told = (*(one.world.left_out if one.world else ()), *(note for note in found.notes if key in note))
    lacking = count_absent(found.bars, interval, frozenset())
    for key, own in lacking.groupby("symbol"):
        ended[str(key)].absent = int((own["expected"] - own["held"]).sum())


def _validated(ended: dict[str, Ended], interval: Interval, settings: Params) -> Validated:
    bars, instruments, rejected = [], [], []
    for key, one in ended.items():
        assert one.world is not None
        (frame,) = one.world.bars.values()
        bars.append(frame.assign(symbol=key))
        instruments.append(one.world.instruments.assign(symbol=key))
        if one.world.rejected is not None:
            rejected.append(one.world.rejected.assign(symbol=key))
    raw = Raw(
        bars=pd.concat(bars, ignore_index=True),
        instruments=pd.concat(instruments, ignore_index=True),
        rejected=pd.concat(rejected, ignore_index=True) if rejected else None,
    )
    return validated(raw, interval, settings.validate_)


def silent(ended: Ended, clean: Ended) -> str | None:
    """What went wrong silently or loudly, None if all is well."""
    if ended.error is not None:
        return unclear(ended.error)
    if ended.table is None:
        return None if ended.told or ended.aside else "nothing passed and nothing was told"
    assert clean.table is not None
    rows = source_rows(clean)
    touched = _touched_times(ended.mutation, rows)
    both = clean.table.index.intersection(ended.table.index)
    same = (clean.table.loc[both].to_numpy() == ended.table.loc[both].to_numpy()).all(axis=1)
    changed, gone = both[~same], clean.table.index.difference(ended.table.index)
    new = ended.table.index.difference(clean.table.index)
    aside = _aside_times(ended)
    if ended.mutation.subtle:
        return _unsound(ended.table.loc[changed.union(new)])
    wrong = [time for time in changed if touched is None or time in touched or time not in aside]
    if wrong:
        return f"{len(wrong)} rows passed with other figures: {wrong[:3]}"
    if len(new):
        return f"{len(new)} rows passed that never were: {list(new[:3])}"
    lost = [time for time in gone if time not in aside and (touched is not None and time not in touched)]
    if lost:
        return f"{len(lost)} untouched rows are gone and not in quarantine: {lost[:3]}"
    if len(gone) and not ended.aside and not ended.told and ended.absent <= clean.absent:
        return f"{len(gone)} rows are gone and nothing is told"
    return None


def unclear(error: BaseException) -> str | None:
    if not isinstance(error, TradeSageError):
        return f"{type(error).__name__}: {error}"
    text = str(error)
    if "\n" in text or len(text) < 20 or len(text) > 600:
        return f"no clear line: {text!r}"
    return None


def source_rows(one: Ended) -> pd.Series:
    """Open time of each row of a body, from 0."""
    assert one.world is not None
    (frame,) = one.world.bars.values()
    ordered = frame.sort_values("source_row")
    return pd.Series(ordered["open_time"].to_numpy(), index=(ordered["source_row"] - ordered["source_row"].min()))


def _touched_times(mutation: Mutation, rows: pd.Series) -> set[pd.Timestamp] | None:
    if mutation.touched is None:
        return None
    return {pd.Timestamp(rows[row]) for row in mutation.touched if row in rows.index}


def _aside_times(ended: Ended) -> set[pd.Timestamp]:
    assert ended.world is not None
    (frame,) = ended.world.bars.values()
    return set(frame.loc[frame["source_row"].isin(ended.aside), "open_time"])


def _unsound(rows: pd.DataFrame) -> str | None:
    prices = rows[["open", "high", "low", "close"]].to_numpy()
    o, h, low, c = prices.T
    sound = np.isfinite(prices).all(axis=1) & (low > 0) & (h >= np.maximum(o, c)) & (low <= np.minimum(o, c))
    return None if sound.all() and (rows["volume"] >= 0).all() else f"impossible rows passed: {rows[~sound].head(2)}"
