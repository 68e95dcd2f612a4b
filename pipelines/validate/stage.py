"""`validate`: judge the raw bars by `expectations/`, keep what is sound, say what is set aside and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from pipelines.domain.bars import VALIDATED_COLUMNS, Interval
from pipelines.domain.corporate_actions import Step, actions_table, adjust, adjusted, ratios_by_day
from pipelines.domain.errors import BadInput, DataRejected, TooFewBars
from pipelines.domain.instruments import Kind
from pipelines.params import Params, ValidateParams
from pipelines.paths import Paths
from pipelines.stages import StageReport
from pipelines.tables import fresh_folder, read_json, read_table, write_json, write_table
from pipelines.validate.completeness import Completeness, completeness
from pipelines.validate.facts import overnight_gaps, with_facts
from pipelines.validate.judge import Broken, judge, quiet_great_expectations
from pipelines.validate.quarantine import GAP_RULE, QUARANTINE_COLUMNS, before_gaps, broken_rows


def run(params: Params, paths: Paths) -> StageReport:
    """Write `data/02_validated` and `reports/validate.json`, or raise and leave both as they were."""
    interval = Interval(read_json(paths.snapshot)["interval"])
    raw = read_raw(paths)
    sound = validated(raw, interval, params.validate_)
    news = raw.news[raw.news["symbol"].isin({*sound.bars, ""})].reset_index(drop=True)
    with fresh_folder(paths.validated) as folder:
        for symbol, bars in sound.bars.items():
            write_table(bars, folder / paths.validated_bars.relative_to(paths.validated) / f"{symbol}.parquet")
        write_table(sound.instruments, folder / paths.instruments.relative_to(paths.validated))
        write_table(news, folder / paths.news.relative_to(paths.validated))
        write_table(sound.quarantine, folder / paths.quarantine.relative_to(paths.validated))
        write_json(sound.by_instrument(), folder / paths.completeness.relative_to(paths.validated))
        write_json(sound.as_report(), paths.reports / "validate.json")
    return StageReport("validate", sound.rows_in, sound.rows_out, sound.notes)


@dataclass(frozen=True)
class Raw:
    """What `ingest` wrote."""

    bars: pd.DataFrame  #: of all instruments, in their sources' order
    instruments: pd.DataFrame
    news: pd.DataFrame
    rejected: pd.DataFrame | None  #: rows that `ingest` could make no bar of
    actions: pd.DataFrame = field(default_factory=actions_table)  #: ACTION_COLUMNS, known as of T


@dataclass(frozen=True)
class Validated:
    """What later stages may rely on, and what was set aside."""

    bars: Mapping[str, pd.DataFrame]  #: VALIDATED_COLUMNS, sorted by open_time
    instruments: pd.DataFrame
    quarantine: pd.DataFrame  #: QUARANTINE_COLUMNS
    completeness: Mapping[str, Completeness]
    steps: tuple[Step, ...]  #: of known corporate actions, applied or found in the prices already
    rows_in: int
    notes: tuple[str, ...]

    @property
    def rows_out(self) -> int:
        return sum(len(bars) for bars in self.bars.values())

    def as_report(self) -> dict:
        by_rule = self.quarantine["rule"].value_counts().sort_index()
        return {
            "rows_in": self.rows_in,
            "rows_out": self.rows_out,
            "quarantined": len(self.quarantine),
            "by_rule": {str(rule): int(count) for rule, count in by_rule.items()},
            "instruments": len(self.bars),
            "completeness": round(min(found.share for found in self.completeness.values()), 6),
        }

    def by_instrument(self) -> dict[str, dict]:
        by_symbol = self.quarantine["symbol"].value_counts()
        return {
            symbol: {
                "bars": len(bars),
                "quarantined": int(by_symbol.get(symbol, 0)),
                "completeness": round(self.completeness[symbol].share, 6),
                "missing_sessions": self.completeness[symbol].missing_sessions,
            }
            for symbol, bars in self.bars.items()
        }


def read_raw(paths: Paths) -> Raw:
    instruments = read_table(paths.raw_instruments)
    tables = [read_table(paths.raw_bars / f"{symbol}.parquet") for symbol in instruments["symbol"]]
    tables = [table for table in tables if len(table)]
    if not tables:
        raise BadInput(f"{paths.raw_bars} holds no bars; run ingest again with fewer session_days or more data")
    rejected = read_table(paths.raw_rejected) if paths.raw_rejected.exists() else None
    actions = read_table(paths.raw_actions)
    return Raw(pd.concat(tables, ignore_index=True), instruments, read_table(paths.raw_news), rejected, actions)


def validated(raw: Raw, interval: Interval, params: ValidateParams) -> Validated:
    """Judge, set aside, cut off, drop, and judge again what remains.

    Raises
    ------
    DataRejected : if too many rows of an instrument are faulty, or nothing that can be traded remains.
    TooFewBars : if no stock has `min_bars` sound bars.
    """
    quiet_great_expectations()
    from expectations import raw_bars, validated_bars

    _refuse_only_indices(raw.instruments)
    indices = frozenset(raw.instruments.loc[raw.instruments["kind"] == Kind.INDEX.value, "symbol"])
    adjusted_bars, steps = with_adjustment(raw.bars, raw.actions)
    bars = _facts(adjusted_bars, interval, indices)
    broken = judge(bars, raw_bars.suite(intraday=interval.intraday))
    _refuse_wrong_tables(broken)
    faulty = broken_rows(bars, broken)
    _refuse_too_many(raw, faulty, params.max_quarantined)

    sound = bars.drop(index=faulty.index)
    gaps = pd.concat([overnight_gaps(adjusted(own)) for _, own in sound.groupby("symbol", sort=True)])
    cut = before_gaps(sound, gaps.where(~sound["symbol"].isin(indices)), params.max_overnight_gap)
    sound = sound.drop(index=cut.index)
    kept, dropped = _long_enough(sound, raw.instruments, params.min_bars)
    tables = {symbol: _table(kept, symbol) for symbol in sorted(kept["symbol"].unique())}
    _refuse_remains(tables, interval, indices, validated_bars.suite(
        intraday=interval.intraday, max_overnight_gap=params.max_overnight_gap
    ))  # fmt: skip

    found = {symbol: completeness(table, interval, params.min_completeness) for symbol, table in tables.items()}
    unreadable = raw.rejected[list(QUARANTINE_COLUMNS)] if raw.rejected is not None else None
    quarantine = pd.concat([faulty, cut] if unreadable is None else [unreadable, faulty, cut], ignore_index=True)
    return Validated(
        bars=tables,
        instruments=raw.instruments[raw.instruments["symbol"].isin(tables)].reset_index(drop=True),
        quarantine=quarantine,
        completeness=found,
        steps=steps,
        rows_in=len(raw.bars) + (0 if unreadable is None else len(unreadable)),
        notes=(
            *_quarantine_notes(quarantine, cut),
            *_action_notes(steps),
            *dropped,
            *_completeness_notes(found, params.min_completeness),
        ),
    )


def with_adjustment(bars: pd.DataFrame, actions: pd.DataFrame) -> tuple[pd.DataFrame, tuple[Step, ...]]:
    """Bars of all instruments with the column `adjustment`, and the steps that fall into them.

    Factors rise within the day that a step belongs to and with nothing later; rows without a readable time get 1.0.
    """
    column = pd.Series(1.0, index=bars.index)
    steps: list[Step] = []
    for symbol in sorted(set(actions["symbol"]) & set(bars["symbol"].unique())):
        own = bars[bars["symbol"] == symbol]
        found = adjust(own, ratios_by_day(actions, symbol))
        column.loc[own.index] = found.factors
        steps += found.steps
    return bars.assign(adjustment=column), tuple(steps)


def _facts(bars: pd.DataFrame, interval: Interval, indices: frozenset[str]) -> pd.DataFrame:
    parts = [with_facts(own, interval, indices) for _, own in bars.groupby("symbol", sort=True)]
    return pd.concat(parts, ignore_index=True)


def _table(bars: pd.DataFrame, symbol: str) -> pd.DataFrame:
    own = bars.loc[bars["symbol"] == symbol, list(VALIDATED_COLUMNS)]
    return own.sort_values("open_time", kind="stable", ignore_index=True)


def _refuse_only_indices(instruments: pd.DataFrame) -> None:
    if not (instruments["kind"] == Kind.STOCK.value).any():
        raise DataRejected(
            f"only indices found ({', '.join(instruments['symbol'])}), and indices are not traded; "
            "give a folder with at least one stock"
        )


def _refuse_wrong_tables(broken: list[Broken]) -> None:
    for one in broken:
        if not one.rows:
            raise DataRejected(f"the raw bars break the rule {one.rule} ({one.told}); run ingest again")


def _refuse_too_many(raw: Raw, faulty: pd.DataFrame, most: float) -> None:
    """Refuse the first instrument of which a larger share than `most` is faulty, unreadable rows included."""
    rows = raw.bars["symbol"].value_counts()
    shares = faulty["symbol"].value_counts() / rows
    unreadable = raw.rejected
    if unreadable is not None:
        by_symbol = unreadable.groupby("symbol")
        shares = shares.add(by_symbol.size() / by_symbol["rows_read"].max(), fill_value=0)
    for symbol in shares[shares > most].sort_index().index:
        found = faulty[faulty["symbol"] == symbol]
        if unreadable is not None:
            found = pd.concat([unreadable[unreadable["symbol"] == symbol], found])
        counts = found["rule"].value_counts()
        worst = found[found["rule"] == counts.index[0]].iloc[0]
        others = "".join(f", {rule} {count}" for rule, count in counts.iloc[1:].items())
        raise DataRejected(
            f"{symbol}: {shares[symbol]:.1%} of its rows are faulty, {most:.1%} are allowed "
            f"(validate.max_quarantined); {worst['rule']} {counts.iloc[0]}{others}; "
            f"first: {worst['source']} row {worst['source_row']}: {worst['reason']}; mend or leave out the file"
        )


def _long_enough(bars: pd.DataFrame, instruments: pd.DataFrame, least: int) -> tuple[pd.DataFrame, list[str]]:
    """Bars of the instruments with at least `least` of them, and a sentence on those without."""
    counts = bars["symbol"].value_counts().reindex(instruments["symbol"], fill_value=0)
    short = counts[counts < least]
    stocks = instruments.loc[instruments["kind"] == Kind.STOCK.value, "symbol"]
    if counts[stocks].max() < least:
        raise TooFewBars(least, int(counts[stocks].max()), f"sound bars of a stock, {counts[stocks].idxmax()} has most")
    told = [f"{symbol} is dropped: {count} sound bars, {least} are needed" for symbol, count in short.items()]
    return bars[~bars["symbol"].isin(short.index)], told


def _refuse_remains(
    tables: Mapping[str, pd.DataFrame], interval: Interval, indices: frozenset[str], suite: object
) -> None:
    """The last guard: what remains must meet the suite of validated bars wholly."""
    facts = [with_facts(table.assign(source="", source_row=0), interval, indices) for table in tables.values()]
    broken = judge(pd.concat(facts, ignore_index=True), suite)  # type: ignore[arg-type]
    if broken:
        first, table = broken[0], pd.concat(facts, ignore_index=True)
        where = (
            "" if not first.rows else f", first {table['symbol'][first.rows[0]]} {table['open_time'][first.rows[0]]}"
        )
        raise DataRejected(
            f"after quarantine the bars still break {first.rule} ({first.told}{where}); mend the files of that time"
        )


def _quarantine_notes(quarantine: pd.DataFrame, cut: pd.DataFrame) -> list[str]:
    notes = []
    faults = quarantine.loc[quarantine["rule"] != GAP_RULE, "rule"].value_counts()
    if len(faults):
        kinds = ", ".join(f"{rule} {count}" for rule, count in faults.items())
        notes.append(f"quarantined {int(faults.sum()):,} rows: {kinds}")
    if len(cut):
        by_symbol = ", ".join(f"{symbol} {count:,}" for symbol, count in cut.groupby("symbol").size().items())
        notes.append(f"history before an unexplained overnight gap is set aside: {by_symbol}")
    return notes


def _action_notes(steps: tuple[Step, ...]) -> list[str]:
    applied = [f"{step.symbol} {step.ex_date} ({step.applied:.6g})" for step in steps if step.applied != 1]
    carried = [f"{step.symbol} {step.ex_date} ({step.known / step.applied:.6g})" for step in steps
               if step.applied != step.known]  # fmt: skip
    told = [f"adjusted for corporate actions: {', '.join(applied)}"] if applied else []
    return [*told, f"prices carry these actions already, not applied again: {', '.join(carried)}"] if carried else told


def _completeness_notes(found: Mapping[str, Completeness], least: float) -> list[str]:
    notes = []
    for symbol, one in found.items():
        if one.thin_sessions:
            notes.append(f"{symbol}: {one.thin_sessions} sessions hold less than {least:.0%} of their bars, "
                         f"first {one.first_thin}")  # fmt: skip
        if one.missing_sessions:
            notes.append(f"{symbol}: {one.missing_sessions} sessions without a bar between its first and last day")
    return notes
