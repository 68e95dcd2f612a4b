"""Mistakes at the command line: one clear line, exit code 1, and nothing half-written."""

import socket
from collections.abc import Iterator
from contextlib import suppress

import pytest

from pipelines.domain.verdicts import Verdict
from pipelines.journal import postgres
from pipelines.params import load_params
from pipelines.paths import Paths
from pipelines.tables import write_json
from serving import all_processes, commands, processes
from tests.conftest import ROOT, workspace_at
from tests.integration.calling import Command, Ended, command_in

SANE = Verdict("largest position", True, 0.08, 0.12, "share of equity", ("shadow", "paper"))


@pytest.fixture
def checkout(tmp_path, monkeypatch) -> Paths:
    """A folder with a `params.yaml`, which the commands take for the checkout, and a state folder of its own."""
    paths, _ = workspace_at(tmp_path / "checkout", {})
    monkeypatch.setattr(commands, "ROOT", paths.root)
    monkeypatch.setenv("TRADESAGE_STATE", str(tmp_path / "state"))
    monkeypatch.chdir(paths.root)
    return paths


@pytest.fixture
def tradesage(checkout, monkeypatch, capsys) -> Command:
    """`tradesage <arguments>` in the checkout, without the seconds a new process takes to import."""

    return command_in(checkout.root, monkeypatch, capsys)


@pytest.fixture
def dead_server(monkeypatch) -> str:
    """A database address where nobody listens, with a password that nobody should read."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv("TRADESAGE_DATABASE_URL", f"postgresql://trader:a-secret@{address}/postgres")
    return address


@pytest.fixture
def silent_server(monkeypatch) -> Iterator[str]:
    """A database address where somebody accepts and never says a word."""
    monkeypatch.setattr(postgres, "CONNECT_S", 2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        monkeypatch.setenv("TRADESAGE_DATABASE_URL", f"postgresql://trader:a-secret@{address}/postgres")
        yield address


def a_finished_run(paths: Paths) -> None:
    paths.bundle.mkdir(parents=True)
    write_json({"version": "0123456789ab"}, paths.bundle / "manifest.json")
    write_json({"sharpe": 0.1}, paths.reports / "evaluation.json")
    write_json([SANE.as_dict()], paths.verdicts)
    write_json({"source": "files", "simulated": None, "folder": "inbox", "lake": None}, paths.snapshot)


def files(paths: Paths) -> list[str]:
    """Everything below the checkout and the state folder beside it."""
    return sorted(path.relative_to(paths.root.parent).as_posix() for path in paths.root.parent.rglob("*"))


def assert_refused(ended: Ended, *words: str) -> None:
    lines = ended.err.splitlines()
    assert ended.code == 1
    assert len(lines) == 1, ended.err
    assert lines[0].startswith("tradesage: ")
    assert all(word in lines[0] for word in words), lines[0]
    assert ended.out.strip() == ""
    assert "a-secret" not in lines[0]


@pytest.mark.parametrize("arguments", [("register",), ("demo",), ("up",)])
def test_a_database_that_is_not_there_is_named_before_anything_is_done(tradesage, checkout, dead_server, arguments):
    a_finished_run(checkout)
    before = files(checkout)

    ended = tradesage(*arguments)

    assert_refused(ended, "ServiceUnavailable", dead_server, "Connection refused", "correct TRADESAGE_DATABASE_URL")
    assert files(checkout) == before


def test_a_database_that_accepts_and_says_nothing_is_not_waited_for_without_end(tradesage, silent_server):
    assert_refused(
        tradesage("demo"), "ServiceUnavailable", silent_server, "no answer in time", "correct TRADESAGE_DATABASE_URL"
    )


@pytest.mark.parametrize("address", ["a-secret", "postgresql://trader:a-secret@host:port/postgres"])
def test_what_is_no_address_of_a_database_is_told_without_repeating_it(tradesage, monkeypatch, address):
    monkeypatch.setenv("TRADESAGE_DATABASE_URL", address)

    assert_refused(tradesage("demo"), "ServiceUnavailable", "not an address", "postgresql://<user>")


def test_up_with_a_taken_port_starts_nothing(tradesage, checkout):
    before = files(checkout)
    port = load_params(checkout.root / "params.yaml").serving.policy_port

    with socket.socket() as taken:
        with suppress(OSError):  # somebody else has it: as good
            taken.bind(("127.0.0.1", port))
            taken.listen()
        ended = tradesage("up")

    assert_refused(ended, "PortTaken", "is taken", "in params.yaml")
    assert files(checkout) == before
    assert all_processes.running_up() is None


def test_every_process_that_listens_has_its_port_checked(own_postgres):
    made = processes.processes(load_params(ROOT / "params.yaml"))

    assert {name: process.port_key for name, process in made.items() if process.port} == {
        name: f"serving.{key}" for name, key in processes.PORTS.items()
    }


@pytest.mark.parametrize("name", ["nowhere", "params.yaml"])
def test_demo_on_what_is_no_folder_says_so(tradesage, checkout, name):
    before = files(checkout)

    ended = tradesage("demo", "--data", name)

    assert_refused(ended, "BadInput", f"{name} is not a folder", "make demo DATA=<folder>")
    assert files(checkout) == before


@pytest.mark.parametrize("arguments", [("register",), ("demo",), ("up",), ("status",)])
def test_an_unknown_key_in_the_parameters_is_named_by_every_command(tradesage, checkout, arguments):
    path = checkout.root / "params.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("deadline_ms:", "deadline:"), encoding="utf-8")
    before = files(checkout)

    ended = tradesage(*arguments)

    assert_refused(ended, "BadParams", "serving.deadline is not a known key", "correct its spelling")
    assert files(checkout) == before


def test_a_process_of_the_procfile_names_an_unknown_key_and_ends(checkout, monkeypatch, capsys):
    path = checkout.root / "params.yaml"
    path.write_text(f"{path.read_text(encoding='utf-8')}\ncolour: red\n", encoding="utf-8")
    monkeypatch.setattr(processes, "ROOT", checkout.root)

    code = processes.main(["policy"])

    assert code == 1
    assert capsys.readouterr().err.splitlines() == [
        f"policy: BadParams: {path}: colour is not a known key; remove it or correct its spelling"
    ]


def test_register_before_the_pipeline_has_run_says_what_to_run_and_starts_no_server(tradesage, checkout):
    before = files(checkout)

    ended = tradesage("register")

    assert_refused(ended, "NotFound", "evaluation.json is not there", "dvc repro")
    assert files(checkout) == before
