import pytest

from pipelines.credentials import credential
from pipelines.domain.errors import BadParams


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("TRADESAGE_STATE", str(tmp_path))
    monkeypatch.delenv("TRADESAGE_POLICY_TOKEN", raising=False)
    return tmp_path


def test_a_secret_is_made_once_and_only_its_owner_may_read_it(own_state):
    first = credential("policy_token")

    second = credential("policy_token")

    path = own_state / "credentials" / "policy_token"
    assert first == second
    assert len(first) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in path.parent.iterdir()] == ["policy_token"]


def test_the_environment_wins(monkeypatch):
    monkeypatch.setenv("TRADESAGE_POLICY_TOKEN", "from-the-environment")

    assert credential("policy_token") == "from-the-environment"


def test_a_file_that_others_may_read_is_refused(own_state):
    credential("policy_token")
    (own_state / "credentials" / "policy_token").chmod(0o644)

    with pytest.raises(BadParams, match="chmod 600"):
        credential("policy_token")
