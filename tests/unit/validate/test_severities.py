"""Every rule weighs something, and a person may choose as far as later stages allow."""

import pytest

from expectations import drift, features, instruments, news, outcomes, raw_bars, ticks, validated_bars
from pipelines.domain.bars import Interval
from pipelines.domain.data_rules import RULES, Severity, check_choices
from pipelines.domain.errors import BadParams, DataRejected
from pipelines.params import params_from
from pipelines.validate.bars import validated
from tests.conftest import ROOT, params_content
from tests.unit.validate.builders import a_raw_market, some_bars, validation

DAY = Interval.DAY


def off_its_ticks():
    bars = some_bars()
    bars.loc[50, "close"] += 0.013
    return bars


def judged(bars, **severity):
    return validated(a_raw_market(bars), DAY, validation(severity=severity))


def test_a_warning_is_told_and_its_row_stays():
    found = judged(off_its_ticks())

    finding = next(one for one in found.findings if one.rule == "tick_size")
    assert (finding.severity, finding.rows, finding.instruments) == (Severity.WARN, 1, 1)
    assert finding.examples == ("ABC.csv row 52: a price is off the tick of 2023-03-15",)
    assert len(found.bars["ABC"]) == len(some_bars())
    assert any("tick_size 1 in 1" in note for note in found.notes)


def test_what_a_person_makes_a_quarantine_is_set_aside():
    found = judged(off_its_ticks(), tick_size="quarantine")

    assert found.quarantine["rule"].tolist() == ["tick_size"]
    assert len(found.bars["ABC"]) == len(some_bars()) - 1


def test_what_a_person_makes_a_stop_ends_the_run_with_the_first_row_and_what_to_do():
    with pytest.raises(DataRejected, match=r"break tick_size in 1 rows.*ABC, ABC\.csv row 52: a price is off.*look"):
        judged(off_its_ticks(), tick_size="stop")


def test_a_fault_may_stop_a_run_but_never_be_a_warning():
    bars = some_bars()
    bars.loc[50, "low"] = -1.0

    with pytest.raises(DataRejected, match=r"not_positive in 1 rows"):
        judged(bars, not_positive="stop")
    with pytest.raises(BadParams, match=r"not_positive cannot be warn, only quarantine or stop"):
        params_from(params_content({"validate.severity": {"not_positive": "warn"}}), "params.yaml")


def test_an_unknown_rule_is_refused_with_those_there_are():
    with pytest.raises(BadParams, match=r"validate\.severity.*no rule is called tick; the rules are .*tick_size"):
        params_from(params_content({"validate.severity": {"tick": "warn"}}), "params.yaml")


@pytest.mark.parametrize(("weight", "left"), [("warn", ["ABC", "DEF"]), ("quarantine", ["DEF"])])
def test_an_instrument_that_lacks_bars_is_told_or_dropped(weight, left):
    holed = some_bars().drop(index=range(60, 90)).reset_index(drop=True)

    found = validated(
        a_raw_market(holed, some_bars("DEF")), DAY, validation(min_completeness=0.95, severity={"incomplete": weight})
    )

    assert list(found.bars) == left
    assert any(note.startswith("ABC holds 87.8% of its sessions' bars, 95% are wanted") for note in found.notes)


def test_no_stock_that_holds_enough_stops_the_run():
    holed = some_bars().drop(index=range(60, 90)).reset_index(drop=True)

    with pytest.raises(DataRejected, match=r"no stock holds enough of its sessions; ABC holds most, 87\.8%"):
        validated(a_raw_market(holed), DAY, validation(min_completeness=0.95, severity={"incomplete": "quarantine"}))


def test_every_rule_is_held_by_a_suite_or_by_ingest_and_may_weigh_what_it_weighs_by_itself():
    suites = [
        raw_bars.suite(intraday=True),
        validated_bars.suite(intraday=True, max_overnight_gap=0.15),
        instruments.suite(min_completeness=0.95),
        *(table.suite() for table in (ticks, features, news, outcomes, drift)),
    ]

    used = {one.meta["rule"] for suite in suites for one in suite.expectations}

    assert used | {"unreadable_time", "unreadable_number"} == set(RULES)
    assert check_choices({name: rule.severity for name, rule in RULES.items()})


def test_every_rule_is_explained_with_its_weight():
    page = (ROOT / "docs" / "validation.md").read_text(encoding="utf-8").splitlines()

    for rule in RULES.values():
        choices = ", ".join(f"**{one}**" if one is rule.severity else one for one in rule.choices)
        assert f"| `{rule.name}` | {choices} | {rule.broken_when} | {rule.remedy} |" in page
