"""One day of an account's equity, as the journal keeps it: losses and drawdowns outlive a daemon."""

from dataclasses import dataclass, replace
from datetime import date, datetime
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class EquityDay:
    day: date
    opening: Decimal  #: equity at the end of the day before, else at the first look, rupees
    peak: Decimal  #: highest equity since the account began, or since a person accepted a drawdown, rupees
    last: Decimal  #: at the last look, rupees
    at: datetime  #: market time of the last look

    def marked(self, equity: Decimal, at: datetime) -> "EquityDay":
        """The record with one more look at the equity."""
        day = self.turned(at)
        return replace(day, peak=max(day.peak, equity), last=equity, at=at)

    def turned(self, at: datetime) -> "EquityDay":
        """The record of the day of `at`: a new day opens with what the last one ended with, and inherits its peak."""
        if at.date() == self.day:
            return self
        return EquityDay(at.date(), self.last, self.peak, self.last, at)

    def accepted(self) -> "EquityDay":
        """A person knows of the drawdown and goes on: it is measured from here."""
        return replace(self, peak=self.last)

    @property
    def drawdown(self) -> float:
        """Share of the peak that is lost; 1.0 if nothing was ever there."""
        return float(1 - self.last / self.peak) if self.peak > 0 else 1.0

    @property
    def loss_today(self) -> float:
        """Share of the day's opening equity that is lost, below zero after a gain."""
        return float(1 - self.last / self.opening) if self.opening > 0 else 1.0


def first_day(equity: Decimal, at: datetime) -> EquityDay:
    return EquityDay(at.date(), equity, equity, equity, at)
