"""`tradesage ladder`, `rollback`, `retire` and `shadow`: what they record, and that they need no MLflow."""

import time
from datetime import datetime, timedelta

import pytest
from sqlalchemy import create_engine, text

from pipelines.domain.bars import IST
from pipelines.journal import journal_at
from pipelines.journal.postgres import database_url
from pipelines.promotion.ladder import Promotion, Stage, promote
from pipelines.promotion.signatures import signatures
from tests.conftest import workspace_at
from tests.integration.calling import command_in
from tests.unit.promotion.builders import TRACK, Aliases, registered

MODEL = "ladder-commands"
AT = datetime(2026, 11, 20, 18, 0, tzinfo=IST)


class Shelf(Aliases):
    model = MODEL


@pytest.fixture
def journal(own_postgres):
    """A journal in which version 1 was champion before version 2; emptied of its moves for each test."""
    journal = journal_at(database_url("journal"))
    with create_engine(database_url("journal")).begin() as connection:
        connection.execute(text("delete from policy_events where model = :model"), {"model": MODEL})
    for hour, version in enumerate(("1", "2", "3")):
        registered(journal, version, MODEL, at=AT + timedelta(hours=hour))
    for version in ("1", "2"):
        for stage in (Stage.PAPER, Stage.CANARY, Stage.CHAMPION):
            moved = promote(Shelf(), journal, version, stage, "asha", "good", approved_by="asha", track=TRACK)
            assert isinstance(moved, Promotion), str(moved)
    yield journal
    journal.close()


@pytest.fixture
def tradesage(tmp_path, monkeypatch, capsys, journal):
    paths, _ = workspace_at(tmp_path / "checkout", {"promotion.model": MODEL})
    monkeypatch.setenv("COLUMNS", "250")
    return command_in(paths.root, monkeypatch, capsys)


@pytest.fixture
def mlflow_away(own_postgres):
    """MLflow's database refuses every connection."""
    database_url("mlflow")
    server = create_engine(database_url("postgres"), isolation_level="AUTOCOMMIT")

    def allow(word: str) -> None:
        with server.connect() as connection:
            connection.execute(text(f"alter database mlflow allow_connections {word}"))
            connection.execute(text("select pg_terminate_backend(pid) from pg_stat_activity where datname = 'mlflow'"))

    allow("false")
    yield
    allow("true")
    server.dispose()


def stands(journal) -> dict[str, str]:
    found = signatures(journal.policy_events(MODEL))
    return {stage: each.version for stage, each in found.items() if stage != "candidate"}


def test_a_rollback_brings_the_champion_before_back_and_says_who_and_why(tradesage, journal):
    ended = tradesage("rollback", "--reason", "drawdown", "--by", "asha@desk")

    assert ended.code == 0
    assert "version 1 of ladder-commands is champion now; version 2 is retired" in ended.out
    assert stands(journal) == {"champion": "1"}
    last = journal.policy_events(MODEL)[-1]
    assert (last["actor"], last["reason"]) == ("asha@desk", "drawdown")
    assert journal.audit_entries()[-1].actor == "asha@desk"
    assert journal.audit_broken_at() is None


def test_a_second_rollback_is_refused_in_one_line(tradesage, journal):
    tradesage("rollback", "--reason", "drawdown")

    ended = tradesage("rollback", "--reason", "more")

    assert ended.code == 1
    assert "there is no previous champion to go back to" in ended.out
    assert stands(journal) == {"champion": "1"}


def test_mlflow_away_stops_neither_rollback_nor_retirement(tradesage, journal, mlflow_away):
    began = time.monotonic()

    back = tradesage("rollback", "--reason", "drawdown")
    away = tradesage("retire", "1", "--reason", "no more", "--force")

    assert time.monotonic() - began < 10.0, "MLflow itself would try for a minute and a half"
    assert (back.code, away.code) == (0, 0), back.err + away.err
    assert "what is served follows the journal" in back.out
    assert stands(journal) == {}


def test_retiring_takes_a_version_from_every_stage(tradesage, journal):
    tradesage("rollback", "--reason", "drawdown")
    tradesage("shadow", "3", "--reason", "to be watched")

    ended = tradesage("retire", "3", "--reason", "odd trades")

    assert ended.code == 0
    assert stands(journal) == {"champion": "1"}
    assert journal.policy_events(MODEL)[-1]["reason"] == "odd trades"


def test_the_champion_is_retired_only_with_force(tradesage, journal):
    refused = tradesage("retire", "2", "--reason", "old")
    forced = tradesage("retire", "2", "--reason", "old", "--force")

    assert (refused.code, forced.code) == (1, 0)
    assert "promote another or roll back first" in refused.out
    assert "champion" not in stands(journal)


@pytest.mark.parametrize("command", [("rollback",), ("retire", "2"), ("shadow", "3")])
def test_an_empty_reason_moves_nothing(tradesage, journal, command):
    before = journal.policy_events(MODEL)

    ended = tradesage(*command, "--reason", " ")

    assert ended.code == 1
    assert ended.err.startswith("tradesage: BadInput: the reason is empty")
    assert journal.policy_events(MODEL) == before


def test_an_unknown_version_is_refused_in_one_line(tradesage):
    ended = tradesage("retire", "99", "--reason", "old")

    assert ended.code == 1
    assert "the journal has no record of its registration" in ended.out


def test_the_ladder_shows_what_stands_where_what_waits_and_what_was_refused(tradesage, journal):
    no = {"model": MODEL, "version": "2", "asked": "champion", "actor": "reviewer", "at": AT}
    journal.record_policy_refusal(**no, reason="not yet", evidence={"by_hand": True})

    ended = tradesage("ladder")

    assert ended.code == 0
    lines = {line.split()[0]: line for line in ended.out.splitlines() if line.startswith("  ")}
    assert "asha" in lines["champion"]
    assert [lines[stage].split()[2] for stage in ("champion", "previous", "canary")] == ["2,", "1,", "2,"]
    assert lines["shadow"].split() == ["shadow", "–"]
    assert "version 3 waits for shadow, registered 2026-11-20 20:00" in ended.out
    assert "champion refused to version 2 by reviewer: not yet" in ended.out


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_ladder_cuts_no_word_in_a_narrow_terminal(tradesage, journal, monkeypatch, width):
    reason = "slippage beyond what-was-assumed-when-it-was-judged, and unexplainable-trades-in-the-closing-auction"
    promote(Shelf(), journal, "3", Stage.SHADOW, "a.person.with.a.long.name@workstation.example", reason)
    monkeypatch.setenv("COLUMNS", str(width))

    ended = tradesage("ladder")

    words = ended.out.split()
    assert [word for word in reason.split() if word not in words] == []
    assert "a.person.with.a.long.name@workstation.example:" in words
    assert all(len(line) <= width for line in ended.out.splitlines() if len(line.split()) > 1)


@pytest.mark.parametrize("command", [("retire", "3"), ("shadow", "3")])
def test_a_word_that_changes_nothing_says_so_and_notes_nothing(tradesage, journal, command):
    tradesage(*command, "--reason", "once")
    before = journal.policy_events(MODEL)

    ended = tradesage(*command, "--reason", "twice")

    assert ended.code == 0
    assert ended.out.startswith("nothing changed: version 3 of ladder-commands is ")
    assert "nothing was noted" in ended.out
    assert journal.policy_events(MODEL) == before


@pytest.mark.parametrize("version", ["-1", "0", "v3", "3.0", "1e3", "", " 3", "٣", "9" * 40, "--reson"])
def test_what_is_no_version_is_named_in_one_line(tradesage, version):
    for command in ("retire", "shadow"):
        ended = tradesage(command, version, "--reason", "old")

        assert ended.code == 1
        assert ended.err.startswith(f"tradesage: BadInput: {version[:40]!r} is no version")
        assert len(ended.err.splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("rollback",), "Missing option '--reason'; see tradesage rollback --help"),
        (("retire", "3"), "Missing option '--reason'; see tradesage retire --help"),
        (("shadow",), "Missing argument 'version'; see tradesage shadow --help"),
        (("retire", "3", "4", "--reason", "x"), "unexpected extra argument(s) (4); see tradesage retire --help"),
        (("rollback", "--reason"), "Option '--reason' requires an argument; see tradesage --help"),
        (("ladder", "--all"), "No such option: --all; see tradesage ladder --help"),
        (("climb",), "No such command 'climb'; see tradesage --help"),
        (("resume",), "Missing option '--reason'; see tradesage resume --help"),
        (("collect", "--since", "yesterday"), "does not match the formats '%Y-%m-%d'"),
        (("quarantine", "release", "INFY"), "Missing argument 'time'; see tradesage quarantine release --help"),
    ],
)
def test_a_wrong_call_gets_one_line(tradesage, arguments, told):
    ended = tradesage(*arguments)

    assert ended.code == 2
    assert len(ended.err.splitlines()) == 1, ended.err
    assert ended.err.startswith("tradesage: ")
    assert told in ended.err
    assert ended.out == ""
