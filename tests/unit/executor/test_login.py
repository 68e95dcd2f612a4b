"""From the broker's redirect to a day's token, without a word of a secret."""

from datetime import datetime

import pytest

from pipelines.domain.bars import IST
from pipelines.domain.errors import BadInput, ServiceUnavailable
from serving.executor.kite_client import KITE
from serving.executor.login import Token, expiry, login_page, paper_log_in, request_token_from


@pytest.mark.parametrize(
    ("made", "dies"),
    [
        ("2026-10-30T08:55:00+05:30", "2026-10-31T06:00:00+05:30"),
        ("2026-10-30T05:59:59+05:30", "2026-10-30T06:00:00+05:30"),
        ("2026-10-30T06:00:00+05:30", "2026-10-31T06:00:00+05:30"),
        ("2026-10-30T20:00:00+00:00", "2026-10-31T06:00:00+05:30"),  # already the 31st in India
    ],
)
def test_a_token_dies_at_the_next_six_in_the_morning(made, dies):
    assert expiry(datetime.fromisoformat(made)) == datetime.fromisoformat(dies)


def test_the_request_token_is_read_from_what_a_person_pastes():
    redirect = "https://127.0.0.1/done?action=login&type=login&status=success&request_token=abc123&state=s1"

    assert request_token_from(f"  {redirect}\n", "s1") == "abc123"
    assert request_token_from("abc123", "s1") == "abc123"


@pytest.mark.parametrize(
    ("told", "why"),
    [
        ("https://127.0.0.1/done?status=success&request_token=abc123&state=other", "another log-in"),
        ("https://127.0.0.1/done?status=cancelled", "did not succeed"),
        ("https://127.0.0.1/done?status=success", "no request token"),
        ("rm -rf", "no request token"),
    ],
)
def test_what_is_no_log_in_of_ours_is_refused(told, why):
    with pytest.raises(BadInput, match=why):
        request_token_from(told, "s1")


def test_the_page_is_kites_own_and_carries_the_state():
    page = login_page(KITE, "key1", "s1")

    assert page == "https://kite.zerodha.com/connect/login?v=3&api_key=key1&redirect_params=state%3Ds1"


def test_no_secret_stands_in_a_token_or_in_a_failed_log_in():
    token = Token("AB1234", "very-secret", datetime(2026, 10, 31, 6, 0, tzinfo=IST))

    with pytest.raises(ServiceUnavailable) as failed:
        paper_log_in("http://127.0.0.1:1", "key-secret", "secret-secret", datetime.now(IST))

    assert "secret" not in f"{token!r} {token}"
    assert "secret" not in str(failed.value).replace("credentials", "")
    assert failed.value.__cause__ is None
    assert failed.value.__context__ is None
