"""Instruments after their bars were judged: how much of its sessions each holds, see `completeness.py`."""

from great_expectations import ExpectationSuite
from great_expectations import expectations as gxe

from expectations.rule import Severities, rule, suite_of


def suite(*, min_completeness: float, chosen: Severities | None = None) -> ExpectationSuite:
    wanted = f"{min_completeness:.0%}"
    share = rule("incomplete", f"{{symbol}} holds {{share:.1%}} of its sessions' bars, {wanted} are wanted")
    thin = rule(
        "thin_sessions",
        f"{{symbol}}: {{thin_sessions}} sessions hold less than {wanted} of their bars, first {{first_thin}}",
    )
    missing = rule(
        "missing_sessions", "{symbol}: {missing_sessions} sessions without a sound bar between its first and last day"
    )
    expectations = [
        gxe.ExpectColumnValuesToBeBetween(column="share", min_value=min_completeness, meta=share),
        gxe.ExpectColumnValuesToBeBetween(column="thin_sessions", max_value=0, meta=thin),
        gxe.ExpectColumnValuesToBeBetween(column="missing_sessions", max_value=0, meta=missing),
    ]
    return suite_of("instruments", expectations, chosen or {})
