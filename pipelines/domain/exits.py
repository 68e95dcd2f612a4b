"""How an exit chases the price: limits a little further each time, then a protected market order. Pure."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal

from pipelines.domain.instruments import Instrument
from pipelines.domain.signals import Side


@dataclass(frozen=True, slots=True)
class ExitSchedule:
    """When and at what price an exit is tried, try by try.

    A limit lies beyond the last price, so that it takes what is there, and bounds what a jump may cost. The first one
    should leave room for the half spread and the impact of the order itself.
    """

    first_offset_bps: float  #: of the first limit beyond the last price
    step_bps: float  #: further with every try
    limit_tries: int  #: limits before the protected market order; 0: market at once
    wait: timedelta  #: market time that a try may stay unfilled
    hurried_wait: timedelta  #: the same near the session's end and when everything is to be left

    def limit_price(
        self, tries: int, side: Side, last: Decimal | None, instrument: Instrument, *, hurried: bool = False
    ) -> Decimal | None:
        """Limit of the try after `tries` others, on the tick grid; None for a protected market order.

        In a hurry there is one limit. Without a last price there is nothing to set a limit by.
        """
        most = min(self.limit_tries, 1) if hurried else self.limit_tries
        if last is None or tries >= most:
            return None
        offset = Decimal(str(self.first_offset_bps + self.step_bps * tries)) / 10_000
        rounding = ROUND_CEILING if side is Side.BUY else ROUND_FLOOR
        price = instrument.to_tick(last * (1 + side.sign * offset), rounding)
        return price if price > 0 else None

    def patience(self, *, hurried: bool) -> timedelta:
        return self.hurried_wait if hurried else self.wait
