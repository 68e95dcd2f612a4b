"""Surprises, each saying what was wanted, what was found and what to do; every edge prints them as one line."""


class TradeSageError(Exception):
    """Heir of all errors a person is meant to read; the message stands alone, without a traceback."""


class BadParams(TradeSageError):
    """`params.yaml` or a folder given on the command line has an unknown key or an impossible value."""


class BadInput(TradeSageError):
    """A source file cannot be understood; the message names file, row or column and what to do."""


class DataRejected(TradeSageError):
    """So many rows broke the expectations that the run stops."""


class TooFewBars(TradeSageError):
    """A computation has less history than it needs."""

    def __init__(self, needed: int, received: int, what: str = "bars"):
        super().__init__(f"needs {needed} {what}, received {received}; give a longer history")
        self.needed, self.received = needed, received


class FeatureMismatch(TradeSageError):
    """Rows were built from another feature catalogue than the policy was trained on."""


class NotFound(TradeSageError):
    """A table, policy version or alias that should be there is not."""


class ServiceUnavailable(TradeSageError):
    """A process we depend on (PostgreSQL, MLflow, policy service, exchange) does not answer."""


class NotAllowed(TradeSageError):
    """What was asked for needs a switch, a stage or a sign that is not there."""


class JournalAway(ServiceUnavailable):
    """PostgreSQL cannot be written to or read; no new risk is taken until it can."""


class BrokerSilent(ServiceUnavailable):
    """The broker does not answer what is read; no new risk is taken until it does."""


class LoggedOut(BrokerSilent):
    """The broker refuses our token: it died, or somebody logged in elsewhere."""


class PortTaken(TradeSageError):
    """Another process listens on the port."""


class BooksDiffer(TradeSageError):
    """Our journal and the broker's books do not agree; nothing is traded until they do."""


class AlreadyRunning(TradeSageError):
    """Another process does what only one may do."""
