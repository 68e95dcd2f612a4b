"""The part of the report on a paper session: what the executor did, what it cost, what was refused."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from decimal import Decimal
from html import escape
from typing import Any

SHOWN_TRADES = 25
COUNTS = ("decisions", "intents", "orders", "fills", "outcomes", "open_positions")


def session_part(session: Any) -> str:
    """HTML of a session's summary (`reports/session.json`), without the section around it.

    Parameters
    ----------
    session : mapping or dataclass
        `decisions, intents, orders, fills, outcomes, open_positions`, `cash_exchange` and `cash_journal` as text; where
        they are there also `gross_inr, charges_inr, net_inr, exits, trades, refused, alarms, decide_ms`.
    """
    content = asdict(session) if is_dataclass(session) and not isinstance(session, type) else dict(session)
    return _counts(content) + _books(content) + _trades(content.get("trades") or ()) + _troubles(content)


def _counts(content: Mapping[str, Any]) -> str:
    cells = "".join(
        f'<div class="card"><span>{name.replace("_", " ")}</span><b>{content[name]:,}</b></div>' for name in COUNTS
    )
    return f'<div class="cards six">{cells}</div>'


def _books(content: Mapping[str, Any]) -> str:
    exchange, journal = Decimal(content["cash_exchange"]), Decimal(content["cash_journal"])
    agree = (
        f'<span class="pass">✓ cash agrees to the paisa: Rs {exchange:,.2f}</span>'
        if exchange == journal
        else f'<span class="fail">✗ cash differs: exchange Rs {exchange:,.2f}, journal Rs {journal:,.2f}</span>'
    )
    said = [agree]
    if "net_inr" in content:
        gross, charges, net = (Decimal(content[name]) for name in ("gross_inr", "charges_inr", "net_inr"))
        said.append(f"gross Rs {gross:+,.2f}, charges Rs {charges:,.2f}, net Rs {net:+,.2f}")
    if content.get("exits"):
        exits = (f"{reason.replace('_', ' ')} {count}" for reason, count in content["exits"].items())
        said.append("left by " + ", ".join(exits))
    return f"<p>{'; '.join(said)}.</p>"


def _trades(trades: Sequence[Mapping[str, Any]]) -> str:
    if not trades:
        return '<p class="note">No trade: the policy found nothing worth its charges.</p>'
    head = (
        "<tr><th>instrument</th><th>side</th><th class='n'>shares</th><th>entered</th><th class='n'>at</th>"
        "<th>left</th><th class='n'>at</th><th>by</th><th class='n'>net, Rs</th></tr>"
    )
    rows = "".join(_trade(trade) for trade in trades[:SHOWN_TRADES])
    more = f'<p class="note">The first {SHOWN_TRADES} of {len(trades)}.</p>' if len(trades) > SHOWN_TRADES else ""
    return f"<table>{head}{rows}</table>{more}"


def _trade(trade: Mapping[str, Any]) -> str:
    entered, left = (datetime.fromisoformat(trade[name]) for name in ("entered_at", "exited_at"))
    return (
        f"<tr><td>{escape(trade['symbol'])}</td><td>{escape(trade['side'])}</td>"
        f"<td class='n'>{trade['quantity']:,}</td>"
        f"<td>{entered:%d %b %H:%M}</td><td class='n'>{Decimal(trade['entry_price']):,.2f}</td>"
        f"<td>{left:%d %b %H:%M}</td><td class='n'>{Decimal(trade['exit_price']):,.2f}</td>"
        f"<td>{escape(trade['exit_reason'].replace('_', ' '))}</td>"
        f"<td class='n'>{Decimal(trade['net_inr']):+,.2f}</td></tr>"
    )


def _troubles(content: Mapping[str, Any]) -> str:
    said = []
    if content.get("refused"):
        rules = ", ".join(f"{item['rule'].replace('_', ' ')} {item['times']} times" for item in content["refused"])
        said.append(f"Refused by the rules of risk: {rules}.")
    if content.get("alarms"):
        said.append(f"Alarms: {'; '.join(str(alarm) for alarm in content['alarms'])}.")
    return "".join(f'<p class="note">{escape(line)}</p>' for line in said)
