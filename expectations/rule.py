"""How an expectation names its rule: in `meta`, with the reason that a row bears and how much it weighs."""

from collections.abc import Iterable, Mapping

from great_expectations import ExpectationSuite
from great_expectations.expectations.expectation import Expectation

from pipelines.domain.data_rules import RULES, Severity, severity_of

#: A person's own choices, by rule
Severities = Mapping[str, Severity]


def rule(name: str, reason: str = "") -> dict[str, str]:
    """The `meta` of an expectation of this rule.

    Parameters
    ----------
    name : one of `pipelines.domain.data_rules.RULES`
    reason : why a row that breaks it is told, filled with the row's values by `str.format_map`
    """
    return {"rule": name, "reason": reason, "severity": RULES[name].severity.value}


def suite_of(name: str, expectations: Iterable[Expectation], chosen: Severities) -> ExpectationSuite:
    """A suite in which each expectation weighs what a person chose for its rule, or what the rule weighs by itself."""
    listed = list(expectations)
    for one in listed:
        assert isinstance(one.meta, dict)
        one.meta["severity"] = severity_of(one.meta["rule"], chosen).value
    return ExpectationSuite(name=name, expectations=listed)
