"""When index derivatives end, and when the Union Budget is read: dated tables with sources, `facts/`.

`derivative_expiries.csv` says on which weekday a series ends, from a day on: NIFTY's weekly options every week, the
monthly contracts (of stocks, too) on the month's last such day. Where the market is closed that day, the session
before it is the last one. `budget_days.csv` lists the days of the budgets.

A closure that was declared late moves the expiry in the table as if it had been known: on such a day, a few in ten
years, the distance told some days before is short by one.
"""

import csv
from bisect import bisect_left, bisect_right
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, lru_cache
from pathlib import Path

from pipelines.domain.market_calendar import trading_days_before

_FACTS = Path(__file__).with_name("facts")


@dataclass(frozen=True, slots=True)
class _Rule:
    effective_from: date
    weekday: int  #: Monday is 0


@lru_cache(maxsize=20_000)
def next_weekly_expiry(day: date) -> date | None:
    """Last day of the weekly series that ends next; `day` itself counts. None before there were any."""
    monday = day - timedelta(days=day.weekday())
    for week in range(3):
        expiry = _in_week("weekly", monday + timedelta(weeks=week))
        if expiry is not None and expiry >= day:
            return expiry
    return None


@lru_cache(maxsize=20_000)
def next_monthly_expiry(day: date) -> date | None:
    """Last day of the monthly series that ends next; `day` itself counts. None before there were any."""
    expiry = _in_month(day.year, day.month)
    if expiry is None or expiry >= day:
        return expiry
    return _in_month(day.year + day.month // 12, day.month % 12 + 1)


@lru_cache(maxsize=20_000)
def last_monthly_expiry(day: date) -> date | None:
    """The monthly expiry that `day` comes after, or falls on. None before there were any."""
    expiry = _in_month(day.year, day.month)
    if expiry is not None and expiry <= day:
        return expiry
    before = day.replace(day=1) - timedelta(days=1)
    return _in_month(before.year, before.month)


def last_budget(day: date) -> date | None:
    """The budget that `day` comes after, or falls on. None before the table begins."""
    days = _budget_days()
    at = bisect_right(days, day)
    return days[at - 1] if at else None


def is_budget_day(day: date) -> bool:
    days = _budget_days()
    at = bisect_left(days, day)
    return at < len(days) and days[at] == day


def _in_week(series: str, monday: date) -> date | None:
    """The series' last session in the week from `monday` on, by the rule that holds on the day it should end."""
    for rule in reversed(_rules(series)):
        due = monday + timedelta(days=rule.weekday)
        if due >= rule.effective_from:
            return _session_at_or_before(due)
    return None


@cache
def _in_month(year: int, month: int) -> date | None:
    last = date(year, month, monthrange(year, month)[1])
    for rule in reversed(_rules("monthly")):
        due = last - timedelta(days=(last.weekday() - rule.weekday) % 7)
        if due >= rule.effective_from:
            return _session_at_or_before(due)
    return None


def _session_at_or_before(day: date) -> date:
    return trading_days_before(day, 1)[0].day


@cache
def _rules(series: str) -> tuple[_Rule, ...]:
    rows = (row for row in _rows("derivative_expiries.csv") if row["series"] == series)
    rules = (_Rule(date.fromisoformat(row["effective_from"]), int(row["weekday"])) for row in rows)
    return tuple(sorted(rules, key=lambda rule: rule.effective_from))


@cache
def _budget_days() -> tuple[date, ...]:
    return tuple(sorted(date.fromisoformat(row["day"]) for row in _rows("budget_days.csv")))


def _rows(name: str) -> list[dict[str, str]]:
    with (_FACTS / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
