"""Raw bars judged: what is sound, what is set aside, what is told."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd

from pipelines.domain.bars import BAR_COLUMNS, VALIDATED_COLUMNS, Interval
from pipelines.domain.corporate_actions import Step, actions_table, adjust, adjusted
from pipelines.domain.data_rules import Severity, severity_of
from pipelines.domain.errors import DataRejected, TooFewBars
from pipelines.domain.instruments import Kind
from pipelines.params import ValidateParams
from pipelines.validate.completeness import Completeness, completeness
from pipelines.validate.coverage import covered
from pipelines.validate.facts import with_doubts, with_facts
from pipelines.validate.judge import quiet_great_expectations
from pipelines.validate.neighbours import deviations
from pipelines.validate.nights import unexplained_nights
from pipelines.validate.quarantine import GAP_RULE, as_json, set_aside, unreadable
from pipelines.validate.release import Released
from pipelines.validate.sieve import Finding, Kept, Sifted, merged, sift

ROUNDS = 3  #: wild bars in a row that are set aside; more of them are no slip of a source, and the run stops
BARS = Kept("bars", "open_time", BAR_COLUMNS)


@dataclass(frozen=True)
class Raw:
    """What `ingest` wrote of bars."""

    bars: pd.DataFrame  #: of all instruments, in their sources' order
    instruments: pd.DataFrame
    rejected: pd.DataFrame | None  #: rows that `ingest` could make no bar of
    actions: pd.DataFrame = field(default_factory=actions_table)  #: ACTION_COLUMNS, known as of T
    disagreements: pd.DataFrame | None = None  #: of two sources of one series


@dataclass(frozen=True)
class Validated:
    """What later stages may rely on, and what was set aside."""

    bars: Mapping[str, pd.DataFrame]  #: VALIDATED_COLUMNS, sorted by open_time
    instruments: pd.DataFrame
    quarantine: pd.DataFrame  #: QUARANTINE_COLUMNS
    completeness: Mapping[str, Completeness]
    findings: tuple[Finding, ...]
    verdicts: Mapping[str, Any]  #: Great Expectations' own, by suite
    steps: tuple[Step, ...]  #: of known corporate actions, applied or found in the prices already
    rows_in: int
    notes: tuple[str, ...]

    @property
    def rows_out(self) -> int:
        return sum(len(bars) for bars in self.bars.values())


def validated(raw: Raw, interval: Interval, params: ValidateParams, released: Released | None = None) -> Validated:
    """Judge, set aside, drop, and judge again what remains.

    Raises
    ------
    DataRejected : if a rule that stops is broken, too many rows of an instrument are faulty, or nothing that can be
        traded remains.
    TooFewBars : if no stock has `min_bars` sound bars.
    """
    quiet_great_expectations()
    from expectations import raw_bars

    _refuse_only_indices(raw.instruments)
    released = released or Released()
    chosen = params.severity
    bars, steps = with_adjustment(raw.bars, raw.actions)
    facts = with_doubts(with_facts(bars, interval, raw.instruments), raw.instruments, raw.disagreements)
    suite = raw_bars.suite(intraday=interval.intraday, chosen=chosen)
    sifted = sift(facts, suite, BARS, released, own=list(bars))
    sound, more = _without_wild(sifted.sound, raw.instruments, interval, chosen, released)
    faulty = pd.concat([sifted.aside, *(one.aside for one in more)]).sort_index(kind="stable")
    _refuse_too_many(raw, faulty, params.max_quarantined)
    sound, cut, gap_findings = _without_nights(sound, raw.instruments, params, released)

    kept, dropped = _long_enough(sound, raw.instruments, params.min_bars)
    tables = _by_symbol(kept)
    found = {symbol: completeness(table, interval, params.min_completeness) for symbol, table in tables.items()}
    cover = covered(found, params.min_completeness, chosen)
    tables = {symbol: table for symbol, table in tables.items() if symbol not in cover.dropped}
    _refuse_no_stock(tables, raw.instruments, cover.dropped)
    kept = kept[kept["symbol"].isin(tables)] if cover.dropped else kept
    remains = _refuse_remains(kept, interval, raw.instruments, params, released)

    text = unreadable(raw.rejected)
    return Validated(
        bars=tables,
        instruments=raw.instruments[raw.instruments["symbol"].isin(tables)].reset_index(drop=True),
        quarantine=pd.concat([text, faulty, cut], ignore_index=True),
        completeness={symbol: found[symbol] for symbol in tables},
        findings=(
            *_unreadable_findings(text),
            *merged([*sifted.findings, *(found for one in more for found in one.findings)]),
            *gap_findings,
            *cover.findings,
        ),
        verdicts={"raw_bars": sifted.verdict, "instruments": cover.verdict, "validated_bars": remains},
        steps=steps,
        rows_in=len(raw.bars) + len(text),
        notes=(
            *_quarantine_notes(text, faulty, cut, sifted.released),
            *_warning_notes(sifted.findings),
            *_action_notes(steps),
            *dropped,
            *cover.notes,
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
        found = adjust(own, actions, symbol)
        column.loc[own.index] = found.factors
        steps += found.steps
    return bars.assign(adjustment=column), tuple(steps)


def _without_wild(
    bars: pd.DataFrame,
    instruments: pd.DataFrame,
    interval: Interval,
    chosen: Mapping[str, Severity],
    released: Released,
) -> tuple[pd.DataFrame, list[Sifted]]:
    """Bars without the wild ones that were near a wild bar just before them, and what was sifted out in each round.

    A bar stands out from the bars before it; once those are set aside it may stand out that did not before.
    """
    from expectations import raw_bars

    indices = instruments.loc[instruments["kind"] == Kind.INDEX.value, "symbol"]
    suite = raw_bars.outlier_suite(intraday=interval.intraday, chosen=chosen)
    found: list[Sifted] = []
    for _ in range(ROUNDS if severity_of("price_outlier", chosen) is not Severity.WARN else 0):
        off = deviations(adjusted(bars), daily=not interval.intraday)
        deviation = np.where(bars["symbol"].isin(indices), 0.0, off)
        if not (deviation > raw_bars.OUTLIER[interval.intraday]).any():
            break
        sifted = sift(bars.assign(deviation=deviation), suite, BARS, released, own=list(bars))
        if not len(sifted.aside):
            break
        found.append(sifted)
        bars = sifted.sound
    return bars, found


def _without_nights(
    bars: pd.DataFrame, instruments: pd.DataFrame, params: ValidateParams, released: Released
) -> tuple[pd.DataFrame, pd.DataFrame, list[Finding]]:
    """Bars with the sessions set aside that follow an unexplained night, those sessions, and what is told of it."""

    def explained(row: pd.Series) -> bool:
        line = as_json(bars.loc[[row.name]], BAR_COLUMNS)
        return released.holds([row["symbol"]], [GAP_RULE], line)[0]

    indices = instruments.loc[instruments["kind"] == Kind.INDEX.value, "symbol"]
    found = unexplained_nights(bars[~bars["symbol"].isin(indices)], params.max_overnight_gap, explained)
    if not found.aside:
        return bars, set_aside(bars.iloc[:0], BARS.table, BARS.time, BAR_COLUMNS, [], []), []
    labels = [label for night in found.aside for label in night.rows]
    reasons = [night.reason for night in found.aside for _ in night.rows]
    cut = set_aside(bars.loc[labels], BARS.table, BARS.time, BAR_COLUMNS, [GAP_RULE] * len(labels), reasons)
    severity = severity_of(GAP_RULE, params.severity)
    examples = tuple(f"{night.symbol}: {night.reason}" for night in found.aside[:3])
    if severity is Severity.STOP:
        raise DataRejected(
            f"{examples[0]}, on which a run stops (validate.severity); add the action or release the night"
        )
    told = Finding(BARS.table, GAP_RULE, severity, len(cut), cut["symbol"].nunique(), examples)
    adjustment = bars["adjustment"] * found.factors.reindex(bars.index, fill_value=1.0)
    return bars.assign(adjustment=adjustment).drop(index=cut.index), cut, [told]


def _by_symbol(bars: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Tables of VALIDATED_COLUMNS, each sorted by time."""
    columns = bars[list(VALIDATED_COLUMNS)]
    return {
        str(symbol): own.sort_values("open_time", kind="stable", ignore_index=True)
        for symbol, own in columns.groupby("symbol", sort=True)
    }


def _refuse_only_indices(instruments: pd.DataFrame) -> None:
    if not (instruments["kind"] == Kind.STOCK.value).any():
        raise DataRejected(
            f"only indices found ({', '.join(instruments['symbol'])}), and indices are not traded; "
            "give a folder with at least one stock"
        )


def _refuse_no_stock(tables: Mapping[str, object], instruments: pd.DataFrame, dropped: Mapping[str, float]) -> None:
    stocks = instruments.loc[instruments["kind"] == Kind.STOCK.value, "symbol"]
    if not stocks.isin(tables).any():
        best = max((symbol for symbol in dropped if symbol in set(stocks)), key=lambda symbol: dropped[symbol])
        raise DataRejected(
            f"no stock holds enough of its sessions; {best} holds most, {dropped[best]:.1%}; collect what is missing, "
            "lower validate.min_completeness, or set validate.severity: {incomplete: warn}"
        )


def _refuse_too_many(raw: Raw, faulty: pd.DataFrame, most: float) -> None:
    """Refuse the first instrument of which a larger share than `most` is faulty, unreadable rows included."""
    rows = raw.bars["symbol"].value_counts()
    shares = faulty["symbol"].value_counts() / rows
    rejected = raw.rejected
    if rejected is not None:
        by_symbol = rejected.groupby("symbol")
        shares = shares.add(by_symbol.size() / by_symbol["rows_read"].max(), fill_value=0)
    for symbol in shares[shares > most].sort_index().index:
        found = faulty[faulty["symbol"] == symbol]
        if rejected is not None:
            found = pd.concat([rejected[rejected["symbol"] == symbol], found])
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
    return bars[~bars["symbol"].isin(short.index)] if len(short) else bars, told


def _refuse_remains(
    bars: pd.DataFrame, interval: Interval, instruments: pd.DataFrame, params: ValidateParams, released: Released
) -> Any:
    """The last guard: what remains must meet the suite of validated bars wholly, but for what a person released."""
    from expectations import validated_bars

    facts = with_facts(bars, interval, instruments)
    suite = validated_bars.suite(
        intraday=interval.intraday, max_overnight_gap=params.max_overnight_gap, chosen=params.severity
    )
    left = sift(facts, suite, replace(BARS, table="validated bars"), released, own=[])
    if left.findings:
        first = left.findings[0]
        raise DataRejected(
            f"after quarantine the bars still break {first.rule} ({first.examples[0]}); mend the files of that time"
        )
    return left.verdict


def _unreadable_findings(text: pd.DataFrame) -> list[Finding]:
    return [
        Finding("bars", str(rule), Severity.QUARANTINE, len(own), own["symbol"].nunique(),
                tuple(f"{row.source} row {row.source_row}: {row.reason}" for row in own.head(3).itertuples()))
        for rule, own in text.groupby("rule")
    ]  # fmt: skip


def _quarantine_notes(text: pd.DataFrame, faulty: pd.DataFrame, cut: pd.DataFrame, released: int) -> list[str]:
    notes = []
    faults = pd.concat([text["rule"], faulty["rule"]]).value_counts()
    if len(faults):
        kinds = ", ".join(f"{rule} {count}" for rule, count in faults.items())
        notes.append(f"quarantined {int(faults.sum()):,} rows: {kinds}")
    if len(cut):
        nights = cut.drop_duplicates("reason").groupby("symbol").size()
        by_symbol = ", ".join(f"{symbol} {count}" for symbol, count in nights.items())
        notes.append(f"sessions after a night that no corporate action explains are set aside: {by_symbol}")
    if released:
        notes.append(f"released by hand: {released} rows")
    return notes


def _warning_notes(findings: tuple[Finding, ...]) -> list[str]:
    told = [one for one in findings if one.severity is Severity.WARN]
    odd = ", ".join(f"{one.rule} {one.rows:,} in {one.instruments}" for one in told)
    return [f"odd, but kept (rows in instruments): {odd}"] if told else []


def _action_notes(steps: tuple[Step, ...]) -> list[str]:
    applied = [f"{step.symbol} {step.ex_date} ({step.applied:.6g})" for step in steps if step.applied != 1]
    carried = [f"{step.symbol} {step.ex_date} ({step.known / step.applied:.6g})" for step in steps
               if step.applied != step.known]  # fmt: skip
    told = [f"adjusted for corporate actions: {', '.join(applied)}"] if applied else []
    return [*told, f"prices carry these actions already, not applied again: {', '.join(carried)}"] if carried else told
