"""The executor's log: one JSON object a line on standard error, with every known secret taken out.

A state that lasts is told now and then, not at every look: the log of an idle day, or of a neighbour that is away for
one, stays small.
"""

import logging
import math
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, MutableMapping
from typing import Any

import structlog

from pipelines.credentials import without_secrets

REPEATS_S = 60.0  #: between two warnings that say the same
MOST_KNOWN = 1000  #: warnings that are remembered
LONGEST_TEXT = 4000  #: characters; a traceback keeps its beginning and its end


def log_to_stderr() -> None:
    """Set the log up. Secrets are never passed to it; the last processor is the second line of defence."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            Seldom(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            shortened,
            structlog.processors.JSONRenderer(),
            without_secrets_in,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    for name in ("kiteconnect", "urllib3", "autobahn", "twisted"):  # their errors carry addresses with the token
        logging.getLogger(name).setLevel(logging.CRITICAL)


class Seldom:
    """A processor that lets a warning pass once in `every_s`; the next one tells how many were left out.

    Parameters
    ----------
    every_s : seconds between two lines that say the same
    clock : function that measures seconds
    """

    def __init__(self, every_s: float = REPEATS_S, clock: Callable[[], float] = time.monotonic):
        self._every_s, self._clock = every_s, clock
        self._last: OrderedDict[str, tuple[float, int]] = OrderedDict()  # when it passed, how many since; by line

    def __call__(self, logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        if method not in ("warning", "error"):
            return line
        key, now = repr(sorted(line.items(), key=lambda item: item[0])), self._clock()
        passed, left_out = self._last.get(key, (-math.inf, 0))
        if now - passed < self._every_s:
            self._last[key] = (passed, left_out + 1)
            raise structlog.DropEvent
        self._last[key] = (now, 0)
        self._last.move_to_end(key)
        while len(self._last) > MOST_KNOWN:
            self._last.popitem(last=False)
        return {**line, "left_out": left_out} if left_out else line


def shortened(logger: Any, method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """No text is longer than a page: what strangers answer stands in some of them."""
    for name, value in line.items():
        if isinstance(value, str) and len(value) > LONGEST_TEXT:
            line[name] = f"{value[: LONGEST_TEXT // 2]} [...] {value[-LONGEST_TEXT // 2 :]}"
    return line


def without_secrets_in(logger: Any, method: str, line: str | MutableMapping[str, Any]) -> Any:
    """The rendered line without a secret."""
    return without_secrets(line) if isinstance(line, str) else line


def hook_tracebacks() -> None:
    """A traceback that nobody caught goes to standard error without a secret, too."""
    import traceback

    def tell(kind: type[BaseException], error: BaseException, trace: Any) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        print(without_secrets(text), file=sys.stderr, end="")

    sys.excepthook = tell
