import pytest

from serving.known_hosts import is_known, known_hosts


@pytest.mark.parametrize("header", ["localhost:3000", "127.0.0.1", "[::1]", "[::1]:3000", None])
def test_this_machine_is_asked_under_its_own_names(header):
    assert is_known(header, known_hosts())


@pytest.mark.parametrize("header", ["evil.com", "[::1].evil.com", "[::1]evil", "localhost.evil.com:80"])
def test_a_name_of_a_strangers_is_refused(header):
    assert not is_known(header, known_hosts())
