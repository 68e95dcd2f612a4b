"""A future, and options, on ALPHA of the builders."""

from decimal import Decimal

from pipelines.domain.instruments import Instrument, Kind, OptionType
from tests.unit.exchange.builders import NEXT_DAY

FUTURE = Instrument(
    "ALPHA26OCTFUT", 12_683_010, Kind.FUTURE, Decimal("0.05"), 50, "", True, underlying="ALPHA", expiry=NEXT_DAY
)


def an_option(strike: int, option_type: OptionType, token: int) -> Instrument:
    return Instrument(
        f"ALPHA26OCT{strike}{option_type}", token, Kind.OPTION, Decimal("0.05"), 50, "", True,
        underlying="ALPHA", expiry=NEXT_DAY, strike=Decimal(strike), option_type=option_type,
    )  # fmt: skip


CALL, HIGHER_CALL = an_option(100, OptionType.CALL, 12_700_162), an_option(110, OptionType.CALL, 12_700_418)
PUT = an_option(100, OptionType.PUT, 12_700_674)
