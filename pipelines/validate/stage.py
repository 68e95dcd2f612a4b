"""`validate`: judge what was ingested by `expectations/`, keep what is sound, say what is set aside and why."""

import pandas as pd

from pipelines.domain.bars import Interval
from pipelines.domain.errors import BadInput
from pipelines.params import Params
from pipelines.paths import Paths
from pipelines.stages import StageReport
from pipelines.tables import fresh_folder, read_json, read_table, write_json, write_table
from pipelines.validate.bars import Raw, Validated, validated
from pipelines.validate.release import read_released
from pipelines.validate.sieve import in_order


def run(params: Params, paths: Paths) -> StageReport:
    """Write `data/02_validated` and `reports/validate.json`, or raise and leave both as they were."""
    interval = Interval(read_json(paths.snapshot)["interval"])
    sound = validated(read_raw(paths), interval, params.validate_, read_released(paths.released))
    news = read_table(paths.raw_news)
    news = news[news["symbol"].isin({*sound.bars, ""})].reset_index(drop=True)
    with fresh_folder(paths.validated) as folder:
        for symbol, bars in sound.bars.items():
            write_table(bars, folder / paths.validated_bars.relative_to(paths.validated) / f"{symbol}.parquet")
        write_table(sound.instruments, folder / paths.instruments.relative_to(paths.validated))
        write_table(news, folder / paths.news.relative_to(paths.validated))
        write_table(sound.quarantine, folder / paths.quarantine.relative_to(paths.validated))
        write_json(by_instrument(sound), folder / paths.completeness.relative_to(paths.validated))
        write_json(as_report(sound), paths.reports / "validate.json")
    return StageReport("validate", sound.rows_in, sound.rows_out, sound.notes)


def read_raw(paths: Paths) -> Raw:
    instruments = read_table(paths.raw_instruments)
    tables = [read_table(paths.raw_bars / f"{symbol}.parquet") for symbol in instruments["symbol"]]
    tables = [table for table in tables if len(table)]
    if not tables:
        raise BadInput(f"{paths.raw_bars} holds no bars; run ingest again with fewer session_days or more data")
    return Raw(
        bars=pd.concat(tables, ignore_index=True),
        instruments=instruments,
        rejected=read_table(paths.raw_rejected) if paths.raw_rejected.exists() else None,
        actions=read_table(paths.raw_actions),
        disagreements=read_table(paths.disagreements) if paths.disagreements.exists() else None,
    )


def as_report(sound: Validated) -> dict:
    """The figures that DVC keeps as metrics."""
    by_rule = sound.quarantine["rule"].value_counts().sort_index()
    warned = {one.rule: one.rows for one in in_order(sound.findings) if one.severity == "warn"}
    return {
        "rows_in": sound.rows_in,
        "rows_out": sound.rows_out,
        "quarantined": len(sound.quarantine),
        "by_rule": {str(rule): int(count) for rule, count in by_rule.items()},
        "warnings": dict(sorted(warned.items())),
        "instruments": len(sound.bars),
        "completeness": round(min(found.share for found in sound.completeness.values()), 6),
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
