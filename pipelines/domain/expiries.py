"""When index derivatives end, and when the Union Budget is read: dated tables with sources, `facts/`.

`derivative_expiries.csv` says on which weekday a series ends, from a day on: NIFTY's weekly options every week, the
monthly contracts (of stocks, too) on the month's last such day. Where that is a holiday of the derivatives, by
`derivative_holidays.csv`, the weekday before it is the last one. The table is one of its own: a Muhurat hour on a
holiday is a session of the cash market, but no contract ends on it. `budget_days.csv` lists the days of the budgets.

Beyond the days that the table covers no expiry is known.

A closure that was declared late moves the expiry in the table as if it had been known: on such a day, a few in ten
years, the distance told some days before is short by one.
"""

from bisect import bisect_left, bisect_right
from calendar import monthrange
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache, lru_cache

from pipelines.domain.fact_tables import fact_rows, known_until

_SATURDAY = 5
_HOLIDAYS = "derivative_holidays.csv"


@dataclass(frozen=True, slots=True)
class _Rule:
    effective_from: date
    weekday: int  #: Monday is 0


@lru_cache(maxsize=20_000)
def next_weekly_expiry(day: date) -> date | None:
    """Last day of the weekly series that ends next; `day` itself counts. None before there were any, or unknown."""
    monday = day - timedelta(days=day.weekday())
    for week in range(3):
        due = _due_in_week("weekly", monday + timedelta(weeks=week))
        if due is not None and due >= day:  # where it is a holiday the series may have ended before `day`
            expiry = _day_at_or_before(due)
            if expiry is None or expiry >= day:
                return expiry
    return None


@lru_cache(maxsize=20_000)
def next_monthly_expiry(day: date) -> date | None:
    """Last day of the monthly series that ends next; `day` itself counts. None before there were any, or unknown."""
    expiry = _in_month(day.year, day.month)
    if expiry is None or expiry >= day:
        return expiry
    return _in_month(day.year + day.month // 12, day.month % 12 + 1)


def in_last_days_of_month(day: date, count: int) -> bool:
    """Whether the day is the monthly expiry or one of the `count` trading days of derivatives before it."""
    expiry = next_monthly_expiry(day)
    if expiry is None:
        return False
    between = (day + timedelta(days=n) for n in range((expiry - day).days))
    return sum(map(_trades, between)) <= count


@lru_cache(maxsize=20_000)
def last_monthly_expiry(day: date) -> date | None:
    """The monthly expiry that `day` comes after, or falls on. None before there were any, or unknown."""
    if day > known_until(_HOLIDAYS):
        return None
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


def _due_in_week(series: str, monday: date) -> date | None:
    """The day of the week from `monday` on at which a series should end, by the rule that holds on it."""
    for rule in reversed(_rules(series)):
        due = monday + timedelta(days=rule.weekday)
        if due >= rule.effective_from:
            return due
    return None


@cache
def _in_month(year: int, month: int) -> date | None:
    last = date(year, month, monthrange(year, month)[1])
    for rule in reversed(_rules("monthly")):
        due = last - timedelta(days=(last.weekday() - rule.weekday) % 7)
        if due >= rule.effective_from:
            return _day_at_or_before(due)
    return None


def _day_at_or_before(due: date) -> date | None:
    """The last day up to `due` on which derivatives trade; None beyond the days that are known."""
    if due > known_until(_HOLIDAYS):
        return None
    while not _trades(due):
        due -= timedelta(days=1)
    return due


def _trades(day: date) -> bool:
    return day.weekday() < _SATURDAY and day not in _holidays()


@cache
def _holidays() -> frozenset[date]:
    return frozenset(date.fromisoformat(row["day"]) for row in fact_rows(_HOLIDAYS))


@cache
def _rules(series: str) -> tuple[_Rule, ...]:
    rows = (row for row in fact_rows("derivative_expiries.csv") if row["series"] == series)
    rules = (_Rule(date.fromisoformat(row["effective_from"]), int(row["weekday"])) for row in rows)
    return tuple(sorted(rules, key=lambda rule: rule.effective_from))


@cache
def _budget_days() -> tuple[date, ...]:
    return tuple(sorted(date.fromisoformat(row["day"]) for row in fact_rows("budget_days.csv")))
