"""Columns of the run against a reference, see `pipelines/validate/drift.py`: one row a column."""

from great_expectations import ExpectationSuite
from great_expectations import expectations as gxe

from expectations.rule import Severities, rule, suite_of

PSI = 0.25  #: population stability index from which a shift counts as large, by the usage of credit scoring


def suite(chosen: Severities | None = None) -> ExpectationSuite:
    meta = rule("drift", "{column} is spread unlike {reference} (population stability index {psi:.2f})")
    expectations = [gxe.ExpectColumnValuesToBeBetween(column="psi", max_value=PSI, meta=meta)]
    return suite_of("drift", expectations, chosen or {})
