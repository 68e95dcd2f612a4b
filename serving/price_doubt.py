"""What jumps away is doubted, and believed when four packets in a row tell it: a fault of three is outlived."""

from collections.abc import Mapping

PACKETS = 4  #: in a row that tell a number before it is believed
SAME = 0.02  #: two prices this near each other, as a share, tell of the same market
_ROUNDING = 1e-9  #: of shares, so that a jump of exactly the most is none


class PriceDoubt:
    """The prices of some instruments, by token, each in a unit of its own.

    Parameters
    ----------
    most_gap : share by which the first price of a day may be off the one of the evening, or the previous close
    most_jump : share by which a later one may be off the last
    closes : the previous closes as another source tells them, by token; they count before a packet's own word
    """

    def __init__(self, most_gap: float, most_jump: float, closes: Mapping[int, float] | None = None):
        self._most_gap, self._most_jump = most_gap, most_jump
        self._closes = dict(closes or {})
        self._last: dict[int, float] = {}
        self._doubted: dict[int, tuple[float, int]] = {}  # the last price that was doubted, and how many in a row

    def believes(self, token: int, price: float, close: float) -> bool:
        """Whether a price counts.

        Parameters
        ----------
        close : of the session before, as the packet itself tells it; 0 where it does not. It counts only where no other
            source tells one; where none does at all the first price is believed.
        """
        if price <= 0:
            return False
        last, (doubted, packets) = self._last.get(token), self._doubted.pop(token, (0.0, 0))
        base, most = (self._closes.get(token, close), self._most_gap) if last is None else (last, self._most_jump)
        if base > 0 and abs(price / base - 1.0) > most + _ROUNDING:
            packets = packets + 1 if packets and abs(price / doubted - 1.0) <= SAME else 1
            if packets < PACKETS:
                self._doubted[token] = price, packets
                return False
        self._last[token] = price
        return True

    def begin_anew(self) -> None:
        """A day begins: first prices are held against the last ones of the day before."""
        self._closes |= self._last
        self._last.clear()
        self._doubted.clear()


class SteadyNumber:
    """A number that packets repeat, such as the previous close, by token: another one is believed when four tell it."""

    def __init__(self) -> None:
        self._known: dict[int, int] = {}
        self._doubted: dict[int, tuple[int, int]] = {}

    def take(self, token: int, number: int, *, likely: bool) -> int:
        """The number as believed after a packet that tells `number`; 0 tells nothing, and is given while none is known.

        Parameters
        ----------
        likely : whether it can be so, if it is the first
        """
        known = self._known.get(token, 0)
        if number == known or not number:
            self._doubted.pop(token, None)
            return known
        doubted, packets = self._doubted.pop(token, (0, 0))
        packets = packets + 1 if number == doubted else 1
        if (known or not likely) and packets < PACKETS:
            self._doubted[token] = number, packets
            return known
        self._known[token] = number
        return number

    def begin_anew(self) -> None:
        """A day begins: it may be another one."""
        self._known.clear()
        self._doubted.clear()
