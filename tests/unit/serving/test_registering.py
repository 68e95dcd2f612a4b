"""What `tradesage register` says of the version that it registered."""

from datetime import timedelta

import pytest

from pipelines.domain.errors import ServiceUnavailable
from pipelines.journal.memory import MemoryJournal
from pipelines.promotion.ladder import Promotion, Stage, promote
from serving.registering import missing_in_mlflow, registered_in_words
from tests.unit.promotion.builders import AT, MODEL, Aliases, registered

LATER = AT + timedelta(days=1)


class Shelf:
    """MLflow with these versions; None does not answer."""

    def __init__(self, versions: tuple[str, ...] | None) -> None:
        self._versions = versions

    def versions(self) -> tuple[str, ...]:
        if self._versions is None:
            raise ServiceUnavailable("MLflow's database does not answer")
        return self._versions


@pytest.fixture
def journal() -> MemoryJournal:
    journal = MemoryJournal()
    registered(journal)
    return journal


def move(journal: MemoryJournal, stage: Stage) -> None:
    done = promote(Aliases(), journal, "3", stage, "asha", "odd trades", at=LATER)
    assert isinstance(done, Promotion), str(done)


def words(journal: MemoryJournal, began=LATER) -> str:
    return registered_in_words(journal.policy_events(MODEL), "3", began)


def test_a_new_version_is_registered_and_nothing_else(journal):
    assert words(journal, began=AT - timedelta(seconds=1)) == "registered version 3"


def test_a_known_version_says_so(journal):
    assert words(journal) == "registered version 3, known since 2026-10-30 16:00: it stands at no stage"


def test_a_known_version_says_where_it_stands(journal):
    move(journal, Stage.SHADOW)
    move(journal, Stage.PAPER)

    assert words(journal).endswith("it stands at shadow, paper")


@pytest.mark.parametrize("again", [False, True])
def test_a_retired_version_says_who_retired_it_and_why(journal, again):
    move(journal, Stage.PAPER)
    move(journal, Stage.RETIRED)
    if again:
        registered(journal)

    told = words(journal)

    assert "it was retired 2026-10-31 16:00 by asha (odd trades)" in told
    assert told.endswith("climbs only by a person's word: tradesage shadow 3")


def test_a_version_that_came_back_is_not_called_retired(journal):
    move(journal, Stage.RETIRED)
    move(journal, Stage.SHADOW)

    assert words(journal).endswith("it stands at shadow")


@pytest.mark.parametrize(
    ("versions", "told"),
    [
        (("1", "2"), "MLflow does not show version 3: it was deleted there, or MLflow's tables were lost"),
        ((), "MLflow does not show version 3"),
        (None, "whether MLflow shows it is not known: MLflow's database does not answer"),
    ],
)
def test_what_mlflow_lost_is_told(versions, told):
    assert str(missing_in_mlflow(Shelf(versions), "3")).startswith(told)


def test_what_mlflow_shows_is_not_worth_a_word():
    assert missing_in_mlflow(Shelf(("3",)), "3") is None
