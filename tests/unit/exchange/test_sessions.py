import hashlib
from datetime import datetime, timedelta

import pytest

from pipelines.domain.bars import IST
from serving.exchange import sessions as module
from serving.exchange.refusals import KiteError
from serving.exchange.sessions import MAX_REQUEST_TOKENS, Keys, Sessions, next_morning

KEYS = Keys("paperkey", "papersecret", "admintoken")


class Clock:
    def __init__(self, moment: datetime):
        self.moment = moment

    def __call__(self) -> datetime:
        return self.moment


def checksum(request_token: str, secret: str = "papersecret") -> str:
    return hashlib.sha256(f"paperkey{request_token}{secret}".encode()).hexdigest()


def logged_in(sessions: Sessions) -> str:
    token = sessions.log_in("paperkey")
    return sessions.exchange("paperkey", token, checksum(token))


@pytest.mark.parametrize(
    ("moment", "morning"),
    [
        (datetime(2026, 10, 29, 9, 15, tzinfo=IST), datetime(2026, 10, 30, 6, tzinfo=IST)),
        (datetime(2026, 10, 29, 23, 59, tzinfo=IST), datetime(2026, 10, 30, 6, tzinfo=IST)),
        (datetime(2026, 10, 29, 5, 59, tzinfo=IST), datetime(2026, 10, 29, 6, tzinfo=IST)),
        (datetime(2026, 10, 31, 6, 0, tzinfo=IST), datetime(2026, 11, 1, 6, tzinfo=IST)),
    ],
)
def test_tokens_die_at_six_in_the_morning_in_india(moment, morning):
    assert next_morning(moment) == morning


def test_an_access_token_dies_in_the_morning_of_the_markets_next_day():
    clock = Clock(datetime(2026, 10, 29, 15, 0, tzinfo=IST))
    sessions = Sessions(KEYS, clock)
    token = logged_in(sessions)

    clock.moment = datetime(2026, 10, 30, 5, 59, 59, tzinfo=IST)
    lives = sessions.knows("paperkey", token)
    clock.moment += timedelta(seconds=1)

    assert lives
    assert not sessions.knows("paperkey", token)
    assert sessions.knows("paperkey", logged_in(sessions))


def test_without_expiry_a_token_lives_until_log_out():
    clock = Clock(datetime(2026, 10, 29, 15, 0, tzinfo=IST))
    sessions = Sessions(KEYS, clock, expiring=False)
    token = logged_in(sessions)

    clock.moment += timedelta(days=30)
    lives = sessions.knows("paperkey", token)
    sessions.log_out(token)

    assert lives
    assert not sessions.knows("paperkey", token)


def test_a_request_token_is_used_up_by_the_first_try_even_a_wrong_one():
    sessions = Sessions(KEYS, Clock(datetime(2026, 10, 29, 9, tzinfo=IST)))
    token = sessions.log_in("paperkey")

    with pytest.raises(KiteError, match="checksum"):
        sessions.exchange("paperkey", token, checksum(token, "another"))
    with pytest.raises(KiteError, match="expired"):
        sessions.exchange("paperkey", token, checksum(token))


def test_a_request_token_is_good_for_some_minutes_only(monkeypatch):
    sessions = Sessions(KEYS, Clock(datetime(2026, 10, 29, 9, tzinfo=IST)))
    token = sessions.log_in("paperkey")

    now = module.time.monotonic()
    monkeypatch.setattr(module.time, "monotonic", lambda: now + 301)

    with pytest.raises(KiteError, match="expired"):
        sessions.exchange("paperkey", token, checksum(token))


def test_request_tokens_that_nobody_uses_do_not_pile_up():
    sessions = Sessions(KEYS, Clock(datetime(2026, 10, 29, 9, tzinfo=IST)))
    first = sessions.log_in("paperkey")

    last = [sessions.log_in("paperkey") for _ in range(MAX_REQUEST_TOKENS)][-1]

    assert sessions.exchange("paperkey", last, checksum(last))
    with pytest.raises(KiteError, match="expired"):
        sessions.exchange("paperkey", first, checksum(first))


@pytest.mark.parametrize("api_key", ["", "otherkey", "pap€rkey", "\ud800"])
def test_a_wrong_api_key_gets_no_request_token(api_key):
    sessions = Sessions(KEYS, Clock(datetime(2026, 10, 29, 9, tzinfo=IST)))

    with pytest.raises(KiteError, match="api_key") as caught:
        sessions.log_in(api_key)

    assert (caught.value.error_type, caught.value.http_status) == ("InputException", 400)
