"""The report's part on data: what was found in it, how complete it is, where the whole of it stands."""

import os
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

SHOWN_SENTENCES = 30  #: of what `ingest` told
SHOWN_INSTRUMENTS = 8  #: the least complete ones; the others are told in one figure


def data_note(findings: Sequence[Mapping[str, Any]], completeness: Mapping[str, Mapping[str, Any]]) -> str:
    """One sentence on the run's data: `findings.json` and `completeness.json` of `02_validated`."""
    aside = sum(one["rows"] for one in findings if one["severity"] == "quarantine" and _of_rows(one))
    odd = sum(one["rows"] for one in findings if one["severity"] == "warn" and _of_rows(one))
    bars = sum(one["bars"] for one in completeness.values())
    return f"{bars:,} bars of {len(completeness)} instruments; rows set aside: {aside:,}, odd rows kept: {odd:,}."


def _of_rows(finding: Mapping[str, Any]) -> bool:
    """Whether it counts rows, not instruments or columns."""
    return finding["table"] != "instruments" and finding["rule"] != "drift"


def data_part(
    findings: Sequence[Mapping[str, Any]],
    completeness: Mapping[str, Mapping[str, Any]],
    docs: Path,
    out: Path,
    ingested: Sequence[str] = (),
) -> str:
    """Tables of findings and completeness, what `ingest` told, and the way from the report `out` to the Data Docs."""
    way = way_to(docs, out, "Data Docs", "every expectation of every suite")
    return f"{_findings(findings)}{_completeness(completeness)}{_ingested(ingested)}{way}"


def _ingested(told: Sequence[str]) -> str:
    """What of the source was not used, or read otherwise than it stands there."""
    if not told:
        return ""
    rows = "".join(f"<li>{escape(sentence)}</li>" for sentence in told[:SHOWN_SENTENCES])
    rest = len(told) - SHOWN_SENTENCES
    more = f"<p class='note'>and {rest:,} more, in the Data Docs</p>" if rest > 0 else ""
    return f"<p>Told when the source was read:</p><ul>{rows}</ul>{more}"


def way_to(page: Path, out: Path, name: str, what: str) -> str:
    """A line that leads from the report `out` to another file of the run, wherever the two lie."""
    href = escape(Path(os.path.relpath(page, out.parent)).as_posix(), quote=True)
    return f"<p class='note'><a href='{href}'>{escape(name)}</a>: {escape(what)}.</p>"


def _findings(findings: Sequence[Mapping[str, Any]]) -> str:
    if not findings:
        return "<p>No rule was broken.</p>"
    rows = "".join(
        f"<tr><td>{escape(one['rule'])}</td><td>{escape(one['table'])}</td><td>{escape(one['severity'])}</td>"
        f"<td class='n'>{one['rows']:,}</td><td class='n'>{one['instruments']:,}</td>"
        f"<td>{escape(one['examples'][0]) if one['examples'] else ''}</td></tr>"
        for one in findings
    )
    head = "<tr><th>rule</th><th>table</th><th>severity</th><th class='n'>rows</th><th class='n'>instruments</th>"
    return f"<table>{head}<th>first of them</th></tr>{rows}</table>"


def _completeness(completeness: Mapping[str, Mapping[str, Any]]) -> str:
    worst = sorted(completeness.items(), key=lambda item: (item[1]["completeness"], item[0]))
    rows = "".join(
        f"<tr><td>{escape(symbol)}</td><td class='n'>{one['bars']:,}</td><td class='n'>{one['quarantined']:,}</td>"
        f"<td class='n'>{one['missing_sessions']:,}</td><td class='n'>{100 * one['completeness']:.1f} %</td></tr>"
        for symbol, one in worst[:SHOWN_INSTRUMENTS]
    )
    left = worst[SHOWN_INSTRUMENTS:]
    if left:
        rows += (
            f"<tr><td>{len(left)} others</td><td class='n'>{sum(one['bars'] for _, one in left):,}</td>"
            f"<td class='n'>{sum(one['quarantined'] for _, one in left):,}</td>"
            f"<td class='n'>{sum(one['missing_sessions'] for _, one in left):,}</td>"
            f"<td class='n'>from {100 * left[0][1]['completeness']:.1f} %</td></tr>"
        )
    head = "<tr><th>instrument</th><th class='n'>bars</th><th class='n'>set aside</th><th class='n'>empty sessions</th>"
    return f"<table>{head}<th class='n'>complete</th></tr>{rows}</table>"
