"""`validate`: judge what was ingested by `expectations/`, keep what is sound, say what is set aside and why."""

from dataclasses import asdict, dataclass, replace
from typing import Any

import pandas as pd

from pipelines.domain.bars import Interval
from pipelines.domain.data_rules import RULES, Severity
from pipelines.domain.errors import BadInput
from pipelines.domain.instruments import Kind
from pipelines.params import Params, ValidateParams
from pipelines.paths import Paths, table_of
from pipelines.stages import StageReport
from pipelines.tables import fresh_folder, read_json, read_table, write_json, write_table
from pipelines.validate.bars import Raw, Validated, validated
from pipelines.validate.data_docs import write_data_docs
from pipelines.validate.drift import Drift, drift
from pipelines.validate.events import sift_news, sift_outcomes
from pipelines.validate.missing import count_absent
from pipelines.validate.release import Released, read_released
from pipelines.validate.sieve import Finding, Sifted, in_order, nothing_sifted
from pipelines.validate.ticks import sift_ticks


def run(params: Params, paths: Paths) -> StageReport:
    """Write `data/02_validated`, `reports/validate.json` and Data Docs, or raise and leave them as they were."""
    snapshot = read_json(paths.snapshot)
    judged = judge_all(paths, params.validate_, snapshot)
    bars = judged.bars
    with fresh_folder(paths.validated) as folder:
        for symbol, table in bars.bars.items():
            write_table(table, table_of(folder / paths.validated_bars.relative_to(paths.validated), symbol))
        for symbol, ticks in judged.ticks.sound.groupby("symbol", sort=True):
            write_table(ticks, table_of(folder / paths.ticks.relative_to(paths.validated), str(symbol)))
        write_table(bars.instruments, folder / paths.instruments.relative_to(paths.validated))
        write_table(judged.news.sound, folder / paths.news.relative_to(paths.validated))
        write_table(judged.outcomes.sound, folder / paths.outcomes.relative_to(paths.validated))
        write_table(judged.quarantine, folder / paths.quarantine.relative_to(paths.validated))
        write_table(absent(bars, snapshot), folder / paths.absent.relative_to(paths.validated))
        write_json(by_instrument(bars), folder / paths.completeness.relative_to(paths.validated))
        write_json(judged.told(), folder / paths.findings.relative_to(paths.validated))
        write_json(judged.drift.profile, folder / paths.profile.relative_to(paths.validated))
        as_of = pd.Timestamp(snapshot["as_of"])
        about = f"{snapshot['source']}, {snapshot['interval']} bars, known as of {as_of:%Y-%m-%d %H:%M}"
        write_data_docs(
            paths.data_docs, judged.verdicts, judged.findings, about, len(judged.quarantine), snapshot["left_out"]
        )
        write_json(as_report(judged), paths.reports / "validate.json")
    return StageReport("validate", bars.rows_in, bars.rows_out, judged.notes)


@dataclass(frozen=True)
class Judged:
    """All tables of a run; those of ticks, news and outcomes may be empty."""

    bars: Validated
    ticks: Sifted
    news: Sifted
    outcomes: Sifted
    drift: Drift

    @property
    def quarantine(self) -> pd.DataFrame:
        others = [table.aside for table in (self.ticks, self.news, self.outcomes)]
        return pd.concat([self.bars.quarantine, *others], ignore_index=True)

    @property
    def findings(self) -> list[Finding]:
        others = [one for table in (self.ticks, self.news, self.outcomes) for one in table.findings]
        return in_order([*self.bars.findings, *others, *self.drift.findings])

    @property
    def verdicts(self) -> dict[str, Any]:
        own = {"ticks": self.ticks, "news": self.news, "outcomes": self.outcomes}
        others = {name: table.verdict for name, table in own.items()}
        return {**self.bars.verdicts, **others, "drift": self.drift.verdict}

    @property
    def notes(self) -> tuple[str, ...]:
        tables = {"ticks": self.ticks, "news": self.news, "outcomes": self.outcomes}
        told = [
            f"{name}: {severity} {', '.join(f'{one.rule} {one.rows:,}' for one in some)}"
            for name, table in tables.items()
            for severity in (Severity.QUARANTINE, Severity.WARN)
            if (some := [one for one in table.findings if one.severity is severity])
        ]
        return (*self.bars.notes, *told, *self.drift.notes)

    def told(self) -> list[dict]:
        """The findings as `findings.json` holds them."""
        return [asdict(one) | {"remedy": RULES[one.rule].remedy} for one in self.findings]


def judge_all(paths: Paths, params: ValidateParams, snapshot: dict) -> Judged:
    """Read what `ingest` wrote and judge every table of it."""
    released = read_released(paths.released)
    bars = validated(read_raw(paths), Interval(snapshot["interval"]), params, released)
    as_of = pd.Timestamp(snapshot["as_of"])
    known = set(read_table(paths.raw_instruments)["symbol"])
    news = sift_news(read_table(paths.raw_news), known, as_of, params.severity, released)
    outcomes = sift_outcomes(read_table(paths.raw_outcomes), known, as_of, params.severity, released)
    stocks = bars.instruments.loc[bars.instruments["kind"] == Kind.STOCK.value, "symbol"]
    together = pd.concat([bars.bars[symbol] for symbol in stocks], ignore_index=True)
    return Judged(
        bars=bars,
        ticks=_ticks(paths, params, released),
        news=_of_run(news, bars),
        outcomes=_of_run(outcomes, bars),
        drift=drift(together, params.reference, params.severity),
    )


def read_raw(paths: Paths) -> Raw:
    instruments = read_table(paths.raw_instruments)
    tables = [read_table(table_of(paths.raw_bars, symbol)) for symbol in instruments["symbol"]]
    tables = [table for table in tables if len(table)]
    if not tables:
        raise BadInput(f"{paths.raw_bars} holds no bars; run ingest again with fewer session_days or more data")
    return Raw(
        bars=pd.concat(tables, ignore_index=True),
        instruments=instruments,
        rejected=read_table(paths.raw_rejected) if paths.raw_rejected.exists() else None,
        actions=read_table(paths.raw_actions),
        disagreements=read_table(paths.disagreements),
    )


def absent(bars: Validated, snapshot: dict) -> pd.DataFrame:
    """Bars without a row, counted by instrument and session; COUNT_COLUMNS of `missing.py`."""
    kinds = bars.instruments.set_index("symbol")["kind"]
    return count_absent(bars.bars, Interval(snapshot["interval"]), frozenset(kinds.index[kinds == Kind.INDEX.value]))


def _ticks(paths: Paths, params: ValidateParams, released: Released) -> Sifted:
    files = sorted(paths.raw_ticks.glob("*.parquet"))
    tables = [table for table in map(read_table, files) if len(table)]
    if not tables:
        return nothing_sifted(pd.DataFrame({"symbol": pd.Series(dtype="str")}))
    return sift_ticks(pd.concat(tables, ignore_index=True), params.severity, released)


def _of_run(table: Sifted, bars: Validated) -> Sifted:
    """Without the rows of instruments that left the run; what is about no instrument stays."""
    rows = table.sound
    return replace(table, sound=rows[rows["symbol"].isin({*bars.bars, ""})].reset_index(drop=True))


def as_report(judged: Judged) -> dict:
    """The figures that DVC keeps as metrics."""
    bars = judged.bars
    by_rule = judged.quarantine["rule"].value_counts().sort_index()
    warned = {one.rule: one.rows for one in judged.findings if one.severity is Severity.WARN}
    return {
        "rows_in": bars.rows_in,
        "rows_out": bars.rows_out,
        "quarantined": len(judged.quarantine),
        "by_rule": {str(rule): int(count) for rule, count in by_rule.items()},
        "warnings": dict(sorted(warned.items())),
        "instruments": len(bars.bars),
        "completeness": round(min(found.share for found in bars.completeness.values()), 6),
    }


def by_instrument(sound: Validated) -> dict[str, dict]:
    by_symbol = sound.quarantine["symbol"].value_counts()
    return {
        symbol: {
            "bars": len(bars),
            "quarantined": int(by_symbol.get(symbol, 0)),
            "completeness": round(sound.completeness[symbol].share, 6),
            "missing_sessions": sound.completeness[symbol].missing_sessions,
        }
        for symbol, bars in sound.bars.items()
    }
