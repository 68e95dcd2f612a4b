"""The evaluation as one HTML file that needs no network: headline, figures, charts, gates, trades."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from pipelines.domain.origin import origin_of
from pipelines.evaluation import charts, importance_part
from pipelines.evaluation.data_part import data_note, data_part, way_to
from pipelines.evaluation.session_part import session_part
from pipelines.paths import Paths
from pipelines.tables import read_json, read_table, write_text

SHOWN_TRADES = 15

STYLE = """
:root { --ink:#1f2933; --soft:#5b6673; --line:#dfe3e8; --blue:#0072B2; --bad:#b34700; }
* { box-sizing:border-box } body { margin:0; background:#f3f5f7; color:var(--ink);
  font:15px/1.5 system-ui,-apple-system,"Segoe UI",Helvetica,Arial,sans-serif }
main { max-width:1120px; margin:0 auto; padding:28px 24px 48px }
header { border-bottom:3px solid var(--blue); padding-bottom:14px; margin-bottom:20px }
h1 { font-size:26px; margin:0 0 4px; letter-spacing:-.01em } h2 { font-size:17px; margin:0 0 2px }
header p, .note { color:var(--soft); margin:2px 0; font-size:14px }
.tag { display:inline-block; background:#fff4d6; border:1px solid #e6b54a; border-radius:4px; padding:2px 9px;
  color:#5c4300; font-weight:600; font-size:13.5px; margin-top:8px }
.cards { display:grid; grid-template-columns:repeat(4,1fr); gap:12px; margin-bottom:18px }
.card, section { background:#fff; border:1px solid var(--line); border-radius:8px }
.cards.six { grid-template-columns:repeat(6,1fr); margin:10px 0 4px } .card { padding:12px 14px }
.card b { display:block; font-size:22px; line-height:1.25; font-variant-numeric:tabular-nums }
.card span { color:var(--soft); font-size:12.5px } section { padding:16px 18px; margin-bottom:18px; overflow-x:auto }
.pair { display:grid; grid-template-columns:1fr 1fr; gap:18px } .pair section { margin-bottom:18px; min-width:0 }
table { border-collapse:collapse; width:100%; font-size:13.5px; font-variant-numeric:tabular-nums; margin-top:8px }
th { text-align:left; color:var(--soft); font-weight:600; border-bottom:2px solid var(--line); padding:5px 8px;
  white-space:nowrap }
td { border-bottom:1px solid #edf0f2; padding:5px 8px; vertical-align:top } .n { text-align:right; white-space:nowrap }
.pass, .fail { color:#00664b; font-weight:600; white-space:nowrap } .fail { color:var(--bad) }
footer { color:var(--soft); font-size:13px } .plotly-graph-div { width:100% !important }
@media (max-width:820px) { .cards, .cards.six { grid-template-columns:repeat(2,1fr) }
  .pair { grid-template-columns:1fr } table { min-width:760px } }
@media print { body { background:#fff } main { max-width:none; padding:0 } section, .card { break-inside:avoid } }
"""


def evaluation_report(
    paths: Paths,
    out: Path,
    session: Any = None,
    *,
    with_gates: bool = True,
    regime_accuracy: Mapping[str, Any] | None = None,
    standing: str = "",
) -> None:
    """Write the report of a finished workspace.

    Parameters
    ----------
    paths : Paths
        A workspace in which the evaluation has run; what other stages wrote is shown where it is there.
    out : Path
        The HTML file. The same workspace gives the same bytes.
    session : mapping or dataclass, optional
        Summary of a paper session: decisions, intents, orders, fills, outcomes, open_positions, cash_exchange,
        cash_journal, and what else it says.
    with_gates : bool
        False while the gates have not judged this evaluation yet.
    regime_accuracy : mapping, optional
        Of a simulated market, whose truth only the demo may look at: as `pipelines.regimes.accuracy` measures it.
    standing : str
        What keeps the policy from the next stage, by what was registered: the gates alone do not tell.
    """
    figures = read_json(paths.reports / "evaluation.json")
    summary = read_json(paths.evaluation / "summary.json")
    equity = read_table(paths.evaluation / "equity.parquet")
    trades = read_table(paths.evaluation / "trades.parquet")
    opening = opening_equity(figures)
    verdicts = read_json(paths.verdicts) if with_gates and paths.verdicts.exists() else None
    parts = [
        _header(figures, read_json(paths.snapshot) if paths.snapshot.exists() else {}),
        _cards(figures),
        _section(
            "Equity and drawdown",
            "Walk-forward: every day was judged by a policy trained only on days before it. "
            "After charges, slippage and stops.",
            charts.as_html(charts.equity_chart(equity), "equity"),
        ),
        _gates(verdicts, standing),
        _session(session),
        _pair(
            _section("Returns by month", "", charts.as_html(charts.monthly_chart(equity, opening), "months")),
            _section(
                "Charges", _charges_note(figures), charts.as_html(charts.charges_chart(summary["charges"]), "charges")
            ),
        ),
        _regimes(paths, regime_accuracy),
        _data(paths, out),
        _pair(
            _section(
                "Views of the heads",
                "Mean over all instruments, day by day; blue is up, red is down.",
                charts.as_html(charts.views_chart(read_table(paths.evaluation / "views.parquet")), "views"),
            ),
            _section(
                "What the views were worth",
                "On days not learnt from, before charges.",
                charts.as_html(charts.heads_chart(summary["heads"]), "heads"),
            ),
        ),
        _features(paths, out),
        _trades(trades, summary),
        _footer(figures),
    ]
    write_text(_page(parts), out)


def opening_equity(figures: Mapping[str, Any]) -> float:
    return float(figures["opening_equity_inr"])


def _page(parts: Sequence[str]) -> str:
    from plotly.offline import get_plotlyjs

    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>TradeSage evaluation</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style><script>{get_plotlyjs()}</script></head><body><main>"
        + "\n".join(part for part in parts if part)
        + "</main></body></html>\n"
    )


def _header(figures: Mapping[str, Any], snapshot: Mapping[str, Any]) -> str:
    interval = snapshot.get("interval", "")
    tag = f'<div class="tag">{escape(headline(snapshot))}</div>' if snapshot else ""
    return (
        "<header><h1>TradeSage: what the policy would have earned</h1>"
        f"<p>Tested {_day(figures['first_day'])} to {_day(figures['last_day'])}, {figures['days']} trading days, "
        f"{escape(str(interval))} bars. Policy {escape(str(figures.get('policy_version', '')))}.</p>{tag}</header>"
    )


def headline(snapshot: Mapping[str, Any]) -> str:
    """Where the data came from, in words that cannot be mistaken for a real result where it is simulated."""
    return f"Source: {origin_of(snapshot).bars}"


def _cards(figures: Mapping[str, Any]) -> str:
    low, high = figures["sharpe_ci"]
    between = f"95 % between {_number(low)} and {_number(high)}" if low is not None else "no interval"
    cards = [
        ("Sharpe ratio, a year", _number(figures["sharpe"]), between),
        ("Net result", f"Rs {figures['net_inr']:,.0f}", f"{_percent(figures['return_total'])} of opening equity"),
        ("Charges paid", f"Rs {figures['charges_inr']:,.0f}", f"gross Rs {figures['gross_inr']:,.0f}"),
        ("Maximum drawdown", _percent(figures["max_drawdown"]), f"exposure {_percent(figures['exposure'])}"),
        ("Trades", f"{figures['trades']:,}", f"won {_percent(figures['win_rate'])}"),
        ("Profit factor", _number(figures["profit_factor"]), "won over lost, after charges"),
        ("Deflated Sharpe", _number(figures["deflated_sharpe"]), f"{figures['trials']} trials counted"),
        ("Own days", _percent(figures["timing_percentile"]), "of its decisions on other days are beaten"),
    ]
    body = "".join(
        f'<div class="card"><span>{escape(title)}</span><b>{escape(value)}</b><span>{escape(note)}</span></div>'
        for title, value, note in cards
    )
    return f'<div class="cards">{body}</div>'


def _gates(verdicts: Sequence[Mapping[str, Any]] | None, standing: str) -> str:
    if verdicts is None:
        return ""
    rows = []
    for verdict in verdicts:
        word, style = ("passed", "pass") if verdict["passed"] else ("✗ refused", "fail")
        word = "✓ passed" if verdict["passed"] else word
        rows.append(
            f'<tr><td>{escape(verdict["gate"])}</td><td class="{style}">{word}</td>'
            f'<td class="n">{_measured(verdict["measured"])}</td><td class="n">{_measured(verdict["limit"])}</td>'
            f"<td>{escape(', '.join(verdict['protects']))}</td><td>{escape(verdict['evidence'])}</td></tr>"
        )
    failed = [verdict for verdict in verdicts if not verdict["passed"]]
    refused = [
        stage for stage in ("shadow", "paper", "canary", "champion") if any(stage in v["protects"] for v in failed)
    ]
    said = f"{len(verdicts) - len(failed)} of {len(verdicts)} passed. "
    said += f"Not admitted to: {', '.join(refused)}. " if refused else ""
    said += standing or "Whether it may climb is judged when it is registered."
    head = "<tr><th>gate</th><th>verdict</th><th class='n'>measured</th><th class='n'>limit</th><th>protects</th>"
    return _section("Gates", said, f"<table>{head}<th>evidence</th></tr>{''.join(rows)}</table>")


def _session(session: Any) -> str:
    if session is None:
        return ""
    note = "The days held back from the pipeline, played by the executor against the paper exchange."
    return _section("Paper session", note, session_part(session))


def _data(paths: Paths, out: Path) -> str:
    if not paths.findings.exists():
        return ""
    findings, completeness = read_json(paths.findings), read_json(paths.completeness)
    ingested = read_json(paths.snapshot)["left_out"] if paths.snapshot.exists() else []
    part = data_part(findings, completeness, paths.data_docs / "index.html", out, ingested)
    return _section("Data", data_note(findings, completeness), part)


def _regimes(paths: Paths, accuracy: Mapping[str, Any] | None) -> str:
    if not paths.regimes.exists():
        return ""
    table = read_table(paths.regimes)
    note = "Filtered forward: each close knows only closes before it. A flag is of one close; none is a forecast."
    if accuracy and accuracy["accuracy"] is not None:
        delay = _number(accuracy["delay_bars_median"], 0)
        note += (
            f" Against the simulated truth: {_percent(accuracy['accuracy'])} of the closes told rightly, "
            f"{accuracy['found']} of {accuracy['changes']} changes found, after {delay} bars in the median."
        )
    return _section("Regimes of the market", note, charts.as_html(charts.regime_chart(table), "regimes"))


def _features(paths: Paths, out: Path) -> str:
    importance = read_table(paths.evaluation / "importance.parquet")
    if importance.empty:
        return ""
    selection = paths.reports / "selection.json"
    summary = read_json(selection)
    parts = [
        _section("Features over time", importance_part.note(summary), importance_part.heat_map(importance)),
        _section(
            "What the trade model would miss",
            "Shuffled on rows held out of each fold; the features that cost most in the mean.",
            importance_part.lines(importance),
        ),
    ]
    if summary["proposed_for_dropping"]:
        table = importance_part.proposals_table(summary["proposed_for_dropping"])
        table += way_to(selection, out, "selection.json", "every proposal, and what each fit selected")
        parts.append(_section("Features proposed for dropping", importance_part.proposals_note(summary), table))
    return "".join(parts)


def _trades(trades: pd.DataFrame, summary: Mapping[str, Any]) -> str:
    if trades.empty:
        return _section("Trades", "The policy found no signal worth its charges, so it did not trade.", "")
    head = (
        "<tr><th>instrument</th><th>side</th><th class='n'>shares</th><th>entered</th><th class='n'>at</th>"
        "<th>exited</th><th class='n'>at</th><th>by</th><th class='n'>gross</th><th class='n'>charges</th>"
        "<th class='n'>net, Rs</th></tr>"
    )
    rows = "".join(_trade_row(row) for row in trades.tail(SHOWN_TRADES).iloc[::-1].to_dict("records"))
    exits = ", ".join(f"{reason.replace('_', ' ')} {count}" for reason, count in summary["exits"].items())
    note = f"The last {min(SHOWN_TRADES, len(trades))} of {len(trades):,}. Exits: {exits}."
    return _section("Trades", note, f"<table>{head}{rows}</table>")


def _trade_row(row: Mapping[Any, Any]) -> str:
    return (
        f"<tr><td>{escape(row['symbol'])}</td><td>{row['side']}</td><td class='n'>{row['quantity']:,}</td>"
        f"<td>{row['entered_at']:%d %b %y %H:%M}</td><td class='n'>{row['entry_price']:,.2f}</td>"
        f"<td>{row['exited_at']:%d %b %y %H:%M}</td><td class='n'>{row['exit_price']:,.2f}</td>"
        f"<td>{row['exit_reason'].replace('_', ' ')}</td><td class='n'>{row['gross_inr']:,.2f}</td>"
        f"<td class='n'>{row['charges_inr']:,.2f}</td><td class='n'>{row['net_inr']:+,.2f}</td></tr>"
    )


def _charges_note(figures: Mapping[str, Any]) -> str:
    charges, all_costs = (_number(figures[name]) for name in ("double_cost_sharpe", "double_friction_sharpe"))
    return (
        f"Rs {figures['charges_inr']:,.0f} over the test. Sharpe ratio with twice the charges {charges}, "
        f"with twice the slippage too {all_costs}."
    )


def _footer(figures: Mapping[str, Any]) -> str:
    return (
        f"<footer>Sharpe of buy and hold over the same days: {_number(figures['buy_and_hold_sharpe'])}. "
        "Intervals by circular block bootstrap; deflated Sharpe after Bailey and Lopez de Prado (2014). "
        "Past results, simulated or real, say little about the future.</footer>"
    )


def _section(title: str, note: str, body: str) -> str:
    said = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{said}{body}</section>"


def _pair(left: str, right: str) -> str:
    return f'<div class="pair">{left}{right}</div>'


def _number(value: float | None, places: int = 2) -> str:
    return "–" if value is None else f"{value:,.{places}f}"


def _measured(value: float | None) -> str:
    """A gate's figure: a count without decimals, anything else with three."""
    return _number(value, 0 if value is not None and value == round(value) else 3)


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _day(text: str | None) -> str:
    return "–" if text is None else f"{pd.Timestamp(text):%d %b %Y}"
