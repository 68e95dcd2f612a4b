"""How a task of Airflow fails: for good where the answer is no, to be tried again where a neighbour did not answer."""

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from pipelines.domain.errors import AlreadyRunning, JournalAway, ServiceUnavailable, TradeSageError

PASSING = (AlreadyRunning, JournalAway, ServiceUnavailable)  #: what may be over in a minute


def failure(error: TradeSageError) -> AirflowException:
    """The exception by which Airflow tries the task again if it has tries left, or by which it does not."""
    kind = AirflowException if isinstance(error, PASSING) else AirflowFailException
    return kind(f"{type(error).__name__}: {error}")
