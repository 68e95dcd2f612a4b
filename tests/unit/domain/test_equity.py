from datetime import datetime, timedelta
from decimal import Decimal

import pytest

from pipelines.domain.bars import IST
from pipelines.domain.equity import first_day

NOON = datetime(2026, 10, 30, 12, 0, tzinfo=IST)


def test_a_drawdown_is_measured_from_the_peak_of_all_days():
    friday = first_day(Decimal(100), NOON).marked(Decimal(120), NOON)

    monday = friday.marked(Decimal(108), NOON + timedelta(days=3))

    assert (monday.peak, monday.opening) == (Decimal(120), Decimal(120))
    assert monday.drawdown == pytest.approx(0.10)
    assert monday.loss_today == pytest.approx(0.10), "a gap over the weekend is a loss of Monday"


def test_the_first_days_loss_is_measured_from_its_first_look():
    day = first_day(Decimal(100), NOON).marked(Decimal(97), NOON + timedelta(minutes=1))

    assert day.loss_today == pytest.approx(0.03)


def test_an_accepted_drawdown_is_measured_from_where_it_was_accepted():
    day = first_day(Decimal(100), NOON).marked(Decimal(85), NOON).accepted()

    assert day.drawdown == 0.0
    assert day.marked(Decimal("76.5"), NOON).drawdown == pytest.approx(0.10)


def test_an_account_without_money_has_lost_all():
    assert first_day(Decimal(0), NOON).drawdown == 1.0
