from datetime import date

from pipelines.domain.api_order_rules import below_threshold, rules_on, static_ip_note


def test_since_april_2026_ten_orders_a_second_are_the_threshold():
    assert below_threshold(9, date(2026, 10, 30)).passed
    assert not below_threshold(10, date(2026, 10, 30)).passed


def test_before_the_framework_no_rate_and_no_address_is_asked_for():
    assert below_threshold(50, date(2026, 3, 31)).passed
    assert static_ip_note(date(2026, 3, 31)) is None


def test_the_note_on_the_static_address_says_since_when():
    note = static_ip_note(date(2026, 10, 30))

    assert note is not None
    assert "2026-04-01" in note


def test_every_rule_names_its_source():
    assert rules_on(date(2026, 10, 30)).source
