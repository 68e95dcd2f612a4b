"""The morning's log-in: the redirect that is awaited, the token that is kept, and no word of a secret anywhere."""

import os
import subprocess
import sys
import threading
from datetime import datetime, timedelta
from pathlib import Path

import httpx
import pytest

from pipelines.credentials import without_secrets, write_secret
from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput, BadParams, NotFound, PortTaken, ServiceUnavailable
from serving.executor.access import Access, TokenFile, keep_token, token_file
from serving.executor.kite_client import KITE, client
from serving.executor.login import Token
from serving.morning_login import Redirect, log_in
from serving.process import free_port

KEY, SECRET, TOKEN = "appkey-0123456789", "appsecret-abcdefghij", "accesstoken-zyxwvut"
NOW = datetime(2026, 10, 30, 9, 0, tzinfo=IST)


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("TRADESAGE_STATE", str(tmp_path))
    for name in ("TRADESAGE_KITE_LIVE_API_KEY", "TRADESAGE_KITE_LIVE_API_SECRET"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def a_token(**changes) -> Token:
    return Token(**{"user_id": "AB1234", "access_token": TOKEN, "expires_at": NOW + timedelta(hours=21)} | changes)


def test_the_redirect_of_our_log_in_is_taken_and_any_other_is_refused():
    port = free_port()
    answers = []

    def browser() -> None:
        for query in ("status=success&request_token=evil1", "request_token=evil2&state=other&status=success"):
            answers.append(httpx.get(f"http://127.0.0.1:{port}/?{query}", trust_env=False).status_code)
        good = "action=login&status=success&request_token=good1&state=s1"
        answers.append(httpx.get(f"http://127.0.0.1:{port}/?{good}", trust_env=False).status_code)

    with Redirect(port, "s1") as redirect:
        threading.Thread(target=browser).start()
        found = redirect.wait(10)

    assert found == "good1"
    assert answers[:2] == [400, 400]


def test_a_redirect_that_does_not_come_and_a_port_that_is_taken_are_told_in_a_line():
    with Redirect(free_port(), "s1") as redirect:
        with pytest.raises(ServiceUnavailable, match="run tradesage login once more"):
            redirect.wait(0.01)
        with pytest.raises(PortTaken):
            Redirect(redirect._server.server_address[1], "s1")


def test_a_token_is_kept_for_its_owner_only_and_read_until_it_dies():
    path = token_file(KITE)
    keep_token(path, a_token())

    while_it_lives, after = (
        TokenFile(path, lambda: NOW).token(),
        TokenFile(path, lambda: NOW + timedelta(days=1)).token(),
    )

    assert path.stat().st_mode & 0o777 == 0o600
    assert while_it_lives == a_token()
    assert after is None
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_token_that_others_may_read_or_that_is_none_is_refused_in_a_line():
    path = token_file(KITE)
    keep_token(path, a_token())
    path.chmod(0o640)
    with pytest.raises(BadParams, match="chmod 600"):
        TokenFile(path).token()

    write_secret(path, "not a token")
    with pytest.raises(BadInput, match="run: tradesage login") as refused:
        TokenFile(path).token()

    assert refused.value.__context__ is None


def test_a_token_of_paper_and_one_of_kite_do_not_meet():
    assert token_file(KITE) != token_file("http://127.0.0.1:7070")


def test_a_client_takes_up_the_token_that_a_person_leaves_and_only_a_new_one():
    kite = client(KEY, KITE)
    access = Access(kite, TokenFile(token_file(KITE), lambda: NOW))

    assert not access.renew()
    keep_token(token_file(KITE), a_token())
    assert access.renew()
    assert not access.renew(), "the same one is not new"

    assert kite.access_token == TOKEN


def test_keys_that_are_not_there_are_never_made_up():
    with pytest.raises(NotFound, match="TRADESAGE_KITE_LIVE_API_KEY"):
        log_in(None, None, print, input, print)


def test_a_key_that_its_group_may_read_is_refused(own_state):
    folder = own_state / "credentials"
    folder.mkdir()
    (folder / "kite_live_api_key").write_text(KEY)
    (folder / "kite_live_api_key").chmod(0o640)

    with pytest.raises(BadParams, match="chmod 600"):
        log_in(None, None, print, input, print)


def test_an_exchange_elsewhere_is_refused():
    with pytest.raises(BadInput, match="on this machine"):
        log_in("https://example.com", None, print, input, print)


def test_a_failed_log_in_tells_no_secret(own_state):
    """The command as a person runs it, where Kite cannot be reached."""
    environment = os.environ | {
        "TRADESAGE_KITE_LIVE_API_KEY": KEY,
        "TRADESAGE_KITE_LIVE_API_SECRET": SECRET,
        "TRADESAGE_STATE": str(own_state),
        "HTTPS_PROXY": "http://127.0.0.1:9",
        "BROWSER": "true",
    }
    code = (
        "import serving.commands as commands, serving.morning_login as login, typer\n"
        "typer.prompt = lambda *_, **__: 'requesttoken123'\n"
        "commands.main()"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, "login"], env=environment, capture_output=True, text=True, timeout=60
    )

    told = done.stdout + done.stderr
    assert done.returncode == 1
    assert "ServiceUnavailable: https://api.kite.trade gives no token" in done.stderr
    assert done.stderr.count("\n") == 1, "one line"
    assert SECRET not in told
    assert "requesttoken123" not in told
    assert KEY not in done.stderr
    assert not (own_state / "credentials").exists()


def test_known_secrets_are_taken_out_of_any_text():
    keep_token(token_file(KITE), a_token())

    assert without_secrets(f"wss://ws.kite.trade?access_token={TOKEN}") == "wss://ws.kite.trade?access_token=***"
