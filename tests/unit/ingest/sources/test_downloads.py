"""Downloads are tried again where that helps, and trusted no further than they deserve."""

import gzip
import zipfile
from io import BytesIO

import pytest

from pipelines.domain.errors import BadInput, NotFound, ServiceUnavailable
from pipelines.ingest.sources.downloads import Downloads, checked, member
from tests.unit.ingest.sources.server import Answer, Served, serving


@pytest.fixture(scope="module")
def served():
    with serving() as one:
        yield one


def zipped(*files: tuple[str, bytes]) -> bytes:
    held = BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files:
            archive.writestr(name, content)
    return held.getvalue()


@pytest.mark.parametrize(
    "fault",
    [Answer(status=503), Answer(status=429), Answer(b"half of it", cut=True), Answer(status=500)],
    ids=["503", "429", "cut off", "500"],
)
def test_what_passes_is_tried_again(served: Served, fault):
    served.give("file", fault, fault, b"content")
    slept = []

    assert Downloads(sleep=slept.append).get(f"{served.url}/file", 100) == b"content"
    assert slept == [1.5, 3.0]


def test_a_server_says_how_long_it_wants_to_be_left_alone(served: Served):
    served.give("file", Answer(status=429, headers={"Retry-After": "17"}), b"content")
    slept = []

    Downloads(sleep=slept.append).get(f"{served.url}/file", 100)

    assert slept == [17.0]


def test_what_does_not_pass_ends_in_one_line_after_all_attempts(served: Served):
    served.give("file", Answer(status=502))
    slept = []

    with pytest.raises(ServiceUnavailable, match=r"/file cannot be had after 4 attempts \(HTTP 502\)"):
        Downloads(attempts=4, sleep=slept.append).get(f"{served.url}/file", 100)
    assert len(slept) == 3


def test_a_server_that_nobody_runs_is_unavailable():
    with serving() as gone:
        url = gone.url

    with pytest.raises(ServiceUnavailable, match="ConnectError"):
        Downloads(attempts=2, sleep=lambda seconds: None).get(f"{url}/file", 100)


@pytest.mark.parametrize(("status", "error"), [(404, NotFound), (403, ServiceUnavailable), (401, ServiceUnavailable)])
def test_what_is_refused_is_not_asked_for_again(served: Served, status, error):
    served.give("file", Answer(status=status))
    served.asked.clear()

    with pytest.raises(error, match=str(status)):
        Downloads(sleep=lambda seconds: None).get(f"{served.url}/file", 100)
    assert len(served.asked) == 1


def test_a_file_larger_than_expected_is_refused_though_it_is_small_on_the_way(served: Served):
    served.give("big", b"x" * 101)
    served.give("packed", Answer(gzip.compress(b"0" * 10_000_000), headers={"Content-Encoding": "gzip"}))

    for name in ("big", "packed"):
        with pytest.raises(BadInput, match=f"{name} is larger than 100 bytes"):
            Downloads().get(f"{served.url}/{name}", 100)


def test_a_redirect_is_followed_only_to_where_could_have_been_asked(served: Served):
    served.give("moved", Answer(status=302, headers={"Location": "/file"}))
    served.give("file", b"content")
    served.give("away", Answer(status=302, headers={"Location": "http://example.com/file"}))
    served.give("local", Answer(status=302, headers={"Location": "file:///etc/passwd"}))
    served.give("round", Answer(status=302, headers={"Location": "/round"}))

    assert Downloads().get(f"{served.url}/moved", 100) == b"content"
    for name in ("away", "local"):
        with pytest.raises(BadInput, match="no address that is fetched from"):
            Downloads().get(f"{served.url}/{name}", 100)
    with pytest.raises(ServiceUnavailable, match="redirected more than 3 times"):
        Downloads().get(f"{served.url}/round", 100)


@pytest.mark.parametrize(
    "url", ["http://nsearchives.nseindia.com/x", "ftp://x/y", "file:///etc/passwd", "x", "https://"]
)
def test_only_https_leaves_this_machine(url):
    with pytest.raises(BadInput, match="give one that begins with https://"):
        checked(url)


def test_an_address_with_a_password_is_refused_and_not_repeated():
    with pytest.raises(BadInput) as told:
        checked("https://user:hunter22@example.com/feed")
    assert "hunter22" not in str(told.value)


def test_the_wanted_file_of_a_zip_is_unpacked():
    content = zipped(("readme.txt", b"r"), ("bc161225.csv", b"actions"))

    assert member(content, lambda name: name.startswith("bc"), 100, "PR.zip") == ("bc161225.csv", b"actions")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"<html>busy</html>", "no readable zip"),
        (zipped(("a.csv", b"a" * 5000))[:-30], "no readable zip"),
        (zipped(("../a.csv", b"a")), "names a file outside itself"),
        (zipped(("/etc/a.csv", b"a")), "names a file outside itself"),
        (zipped(("..\\a.csv", b"a")), "names a file outside itself"),
        (zipped(("b.csv", b"a")), "one file of the wanted name, not 0"),
        (zipped(("x/a.csv", b"a"), ("y/a.csv", b"b")), "one file of the wanted name, not 2"),
        (zipped(("a.csv", b"0" * 2_000_000)), "unpacks to more than 1,000 bytes"),
        (zipped(*((f"{n}.csv", b"") for n in range(300))), "holds 300 files"),
    ],
)
def test_a_zip_that_is_no_honest_file_is_refused(content, words):
    with pytest.raises(BadInput, match=words):
        member(content, lambda name: name == "a.csv", 1000, "a.zip")


def test_a_zip_damaged_inside_is_refused():
    content = bytearray(zipped(("a.csv", bytes(range(256)) * 40)))
    content[60:80] = b"\xff" * 20

    with pytest.raises(BadInput, match=r"damaged|no readable zip"):
        member(bytes(content), lambda name: True, 100_000, "a.zip")


def test_a_zip_packed_by_a_method_of_which_damage_breaks_otherwise_is_not_unpacked():
    held = BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.csv", b"x" * 1000)

    with pytest.raises(BadInput, match=r"a.zip is packed otherwise than NSE's files are"):
        member(held.getvalue(), lambda name: True, 100_000, "a.zip")
