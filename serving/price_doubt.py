"""A price that jumps away alone is doubted; the second packet that tells it is believed."""

SAME = 0.02  #: two prices this near each other, as a share, tell of the same market
_ROUNDING = 1e-9  #: of shares, so that a jump of exactly the most is none


class PriceDoubt:
    """The prices of some instruments, by token, each in a unit of its own.

    Parameters
    ----------
    most_gap : share by which the first price may be off the previous close
    most_jump : share by which a later one may be off the last
    """

    def __init__(self, most_gap: float, most_jump: float):
        self._most_gap, self._most_jump = most_gap, most_jump
        self._last: dict[int, float] = {}
        self._doubted: dict[int, float] = {}

    def believes(self, token: int, price: float, close: float) -> bool:
        """Whether a price counts.

        Parameters
        ----------
        close : of the session before; 0 where it is not told, then the first price is believed
        """
        if price <= 0:
            return False
        last, doubted = self._last.get(token), self._doubted.pop(token, None)
        base, most = (close, self._most_gap) if last is None else (last, self._most_jump)
        far = base > 0 and abs(price / base - 1.0) > most + _ROUNDING
        if far and (doubted is None or abs(price / doubted - 1.0) > SAME):
            self._doubted[token] = price
            return False
        self._last[token] = price
        return True

    def begin_anew(self) -> None:
        """A day begins: first prices are held against the previous close again."""
        self._last.clear()
        self._doubted.clear()
