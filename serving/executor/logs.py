"""The executor's log: one JSON object a line on standard error, with every known secret taken out."""

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from pipelines.credentials import without_secrets


def log_to_stderr() -> None:
    """Set the log up. Secrets are never passed to it; the last processor is the second line of defence."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
            without_secrets_in,
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        cache_logger_on_first_use=True,
    )
    for name in ("kiteconnect", "urllib3", "autobahn", "twisted"):  # their errors carry addresses with the token
        logging.getLogger(name).setLevel(logging.CRITICAL)


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
