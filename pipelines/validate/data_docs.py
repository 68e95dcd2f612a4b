"""Data Docs of a run: what Great Expectations found in every suite, as pages that need no network.

The verdicts are rendered by Great Expectations' own renderers and views; only the frame around them is ours, since its
frame loads styles, scripts and pictures from half a dozen hosts and bears the time of rendering. The same verdicts give
the same bytes.
"""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from pipelines.domain.data_rules import RULES
from pipelines.tables import fresh_folder, write_text
from pipelines.validate.sieve import Finding, in_order

ABOUT = {
    "raw_bars": "Bars as they were ingested.",
    "instruments": "How much of its sessions each instrument holds.",
    "validated_bars": "Bars that later stages get; a run stops if one of these is broken.",
    "ticks": "Ticks as they arrived.",
    "news": "News as it was ingested.",
    "outcomes": "Closed trades that features look back on.",
    "drift": "How columns are spread against the reference.",
}

SHOWN_SENTENCES = 200  #: of what `ingest` told

STYLE = """
:root { --ink:#1f2933; --soft:#5b6673; --line:#dfe3e8; --blue:#0072B2; --good:#00664b; --bad:#b34700 }
* { box-sizing:border-box } body { margin:0; background:#f3f5f7; color:var(--ink);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif }
main { max-width:1120px; margin:0 auto; padding:28px 24px 48px } a { color:var(--blue) }
header { border-bottom:3px solid var(--blue); padding-bottom:14px; margin-bottom:20px }
h1 { font-size:26px; margin:0 0 4px } h2 { font-size:17px; margin:0 } h5 { font-size:16px; margin:0 }
header p, .note { color:var(--soft); margin:2px 0; font-size:14px }
section, .ge-section { background:#fff; border:1px solid var(--line); border-radius:8px; padding:14px 18px;
  margin-bottom:14px; overflow-x:auto } .rules { float:right; color:var(--soft); font-size:13px; margin:2px 0 }
table { border-collapse:collapse; width:100%; font-size:13.5px; margin-top:8px; font-variant-numeric:tabular-nums }
th { text-align:left; color:var(--soft); font-weight:600; border-bottom:2px solid var(--line); padding:5px 8px }
td { border-bottom:1px solid #edf0f2; padding:5px 8px; vertical-align:top } .n { text-align:right; white-space:nowrap }
.ge-section td:first-child { width:60px } .ge-section td:last-child { width:210px }
.ge-section td table { width:auto } .ge-section td table td { width:auto !important }
.badge { background:#e8edf2; border-radius:4px; padding:1px 6px; font-family:ui-monospace,monospace; font-size:12.5px }
.text-danger, .stop, .quarantine { color:var(--bad) } .text-success, .met { color:var(--good) } .warn { color:#8a6100 }
.stop, .quarantine, .warn, .met { font-weight:600; white-space:nowrap }
i { font-style:normal; font-weight:700 } .fa-check-circle::before { content:"\\2713" }
.fa-times::before { content:"\\2717" } .fa-exclamation-triangle::before { content:"!" }
strong br { display:none } footer { color:var(--soft); font-size:13px }
@media (max-width:820px) { section table { min-width:640px } .rules { float:none } }
"""


def write_data_docs(
    folder: Path,
    verdicts: Mapping[str, Any],
    findings: Sequence[Finding],
    about_run: str,
    quarantined: int,
    ingested: Sequence[str] = (),
) -> None:
    """Put `index.html` and a page a suite in the place of `folder`.

    Parameters
    ----------
    verdicts : Great Expectations' own, by suite; None where a table had no rows
    findings : what was broken, of all tables
    about_run : one line: source, interval, the moment looked from
    quarantined : rows set aside in all
    ingested : what `ingest` told: files and rows not used, and how others were read
    """
    judged = {name: verdict for name, verdict in verdicts.items() if verdict is not None}
    with fresh_folder(folder) as pages:
        write_text(_index(judged, findings, about_run, quarantined, ingested), pages / "index.html")
        for name, verdict in judged.items():
            write_text(_suite_page(name, verdict, about_run), pages / f"{name}.html")


def _index(
    verdicts: Mapping[str, Any],
    findings: Sequence[Finding],
    about_run: str,
    quarantined: int,
    ingested: Sequence[str],
) -> str:
    rows = "".join(
        f"<tr><td>{escape(one.rule)}</td><td>{escape(one.table)}</td><td class='{one.severity}'>{one.severity}</td>"
        f"<td class='n'>{one.rows:,}</td><td class='n'>{one.instruments}</td>"
        f"<td>{'<br>'.join(map(escape, one.examples))}</td><td>{escape(RULES[one.rule].remedy)}</td></tr>"
        for one in in_order(findings)
    )
    head = ("<tr><th>rule</th><th>table</th><th>severity</th><th class='n'>rows</th><th class='n'>instruments</th>"
            "<th>first of them</th><th>what to do</th></tr>")  # fmt: skip
    said = f"{quarantined:,} rows lie in the quarantine: tradesage quarantine list."
    broken = f"<table>{head}{rows}</table>" if findings else "<p class='met'>✓ nothing was found</p>"
    suites = "".join(_suite_row(name, verdict) for name, verdict in verdicts.items())
    table = f"<table><tr><th>suite</th><th>of</th><th class='n'>met</th><th class='n'>broken</th></tr>{suites}</table>"
    return _page("Data Docs", about_run, [
        f"<section><h2>What was found</h2><p class='note'>{said}</p>{broken}</section>",
        *([f"<section><h2>What ingest told</h2>{ingest_list(ingested)}</section>"] if ingested else []),
        f"<section><h2>Suites</h2>{table}</section>",
    ])  # fmt: skip


def ingest_list(ingested: Sequence[str]) -> str:
    """What `ingest` told, as a list; a long one is cut, and says where the whole of it stands."""
    shown = "".join(f"<li>{escape(sentence)}</li>" for sentence in ingested[:SHOWN_SENTENCES])
    rest = len(ingested) - SHOWN_SENTENCES
    more = f"<p class='note'>and {rest:,} more: left_out in data/01_raw/snapshot.json</p>" if rest > 0 else ""
    return f"<ul>{shown}</ul>{more}"


def _suite_row(name: str, verdict: Any) -> str:
    met = sum(result.success for result in verdict.results)
    broken = len(verdict.results) - met
    style = "quarantine" if broken else "met"
    return (
        f"<tr><td><a href='{name}.html'>{name.replace('_', ' ')}</a></td><td>{ABOUT[name]}</td>"
        f"<td class='n'>{met}</td><td class='n {style}'>{broken}</td></tr>"
    )


def _suite_page(name: str, verdict: Any, about_run: str) -> str:
    """One section a column, as Great Expectations renders it, broken ones first."""
    from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
    from great_expectations.render.view.view import DefaultJinjaSectionView

    view = DefaultJinjaSectionView()
    rendered = ValidationResultsPageRenderer().render(verdict).to_json_dict()["sections"][1:]  # without the run's times
    by_section: dict[str, list[Any]] = {}
    for result in verdict.results:
        by_section.setdefault(result.expectation_config.kwargs.get("column", "Table-Level Expectations"), []).append(
            result
        )
    rendered.sort(key=lambda section: all(result.success for result in by_section.get(section["section_name"], ())))
    parts = []
    for place, section in enumerate(rendered, start=1):
        html = view.render({"section": section, "section_loop": {"index": place}})
        rules = {_weighed(result) for result in by_section.get(section["section_name"], ())}
        parts.append(html.replace('<div class="row" >', f'<p class="rules">{", ".join(sorted(rules))}</p><div>', 1))
    back = "<p class='note'><a href='index.html'>all suites</a></p>"
    return _page(name.replace("_", " "), f"{ABOUT[name]} {about_run}", [back, *parts])


def _weighed(result: Any) -> str:
    meta = result.expectation_config.meta
    return f"{meta['rule']} <span class='{meta['severity']}'>{meta['severity']}</span>"


def _page(title: str, note: str, parts: Sequence[str]) -> str:
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><main><header><h1>{escape(title)}</h1><p>{escape(note)}</p></header>"
        f"{''.join(parts)}<footer>Judged and rendered by Great Expectations; every rule is explained in "
        "docs/validation.md.</footer></main></body></html>\n"
    )
