"""Which failures of a task Airflow tries again."""

import pytest
from airflow.sdk.exceptions import AirflowFailException

from pipelines.domain.errors import AlreadyRunning, BadInput, JournalAway, NotFound, ServiceUnavailable
from serving.task_failures import failure


@pytest.mark.parametrize("kind", [AlreadyRunning, JournalAway, ServiceUnavailable])
def test_a_neighbour_that_does_not_answer_is_asked_again(kind):
    assert not isinstance(failure(kind("away")), AirflowFailException)


@pytest.mark.parametrize("kind", [BadInput, NotFound])
def test_a_refusal_is_final(kind):
    found = failure(kind("no"))

    assert isinstance(found, AirflowFailException)
    assert str(found) == f"{kind.__name__}: no"
