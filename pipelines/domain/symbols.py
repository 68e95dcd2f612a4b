"""What a symbol is: the one rule for everything that becomes a path, a key of a table, or an order.

A symbol is what NSE and Kite could list: capital letters, digits, `&` and `-` (`M&M`, `BAJAJ-AUTO`, `TCS-BE`,
`BANKNIFTY26NOVFUT`). Only names of indices hold blanks (`NIFTY 50`, `INDIA VIX`).
"""

import re

from pipelines.domain.errors import BadInput

LONGEST = 40  #: letters; Kite's longest are 13 for shares, some 25 for options, 29 for indices
_ONE_WORD = re.compile(r"[A-Z0-9][A-Z0-9&-]*", re.ASCII)
_WORDS = re.compile(r"[A-Z0-9&-]+( [A-Z0-9&-]+)*", re.ASCII)
_ISIN = re.compile(r"IN[A-Z0-9]{9}\d", re.ASCII)  #: names a security everywhere, but nobody trades under it
#: How names of indices begin that hold blanks, as in Kite's dump of December 2025
_INDEX_WORDS = ("NIFTY", "INDIA VIX", "HANGSENG BEES")


def is_symbol(name: object) -> bool:
    """Whether NSE or Kite could list an instrument under this name."""
    if not isinstance(name, str) or not 0 < len(name) <= LONGEST or _ISIN.fullmatch(name):
        return False
    return bool(_ONE_WORD.fullmatch(name)) or (name.startswith(_INDEX_WORDS) and bool(_WORDS.fullmatch(name)))


def checked_symbol(name: str, where: str = "") -> str:
    """The name itself.

    Parameters
    ----------
    where : what holds it, for the message, e.g. "prices.csv row 7"

    Raises
    ------
    BadInput : if it is no symbol.
    """
    if is_symbol(name):
        return name
    shown = ascii(name[:60] if isinstance(name, str) else name)
    raise BadInput(
        f"{where}{': ' if where else ''}{shown} is no symbol that NSE or Kite could list (capital letters, digits, & "
        f"and -, at most {LONGEST}, blanks in indices only); correct it"
    )
