"""Files from the network, as little trusted as they deserve: https only, no larger than asked for, tried again."""

import os
import socket
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx
from tenacity import RetryCallState, Retrying, retry_if_exception_type, stop_after_attempt

from pipelines.domain.errors import BadInput, NotFound, ServiceUnavailable

ATTEMPTS = 5
LONGEST_PAUSE_S = 60.0  #: that a server may ask us to wait before the next attempt
LONGEST_DOWNLOAD_S = 180.0
REDIRECTS = 3
TIMEOUT = httpx.Timeout(20.0, connect=10.0)
#: NSE's archive leaves callers without a browser's words waiting for ever (recalled, seen in many of its clients)
HEADERS = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) TradeSage",
    "Accept": "*/*",
    "Accept-Language": "en-IN,en;q=0.9",
}
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
#: What zipfile raises on damaged bytes, as found by flipping them: no archive or a wrong checksum; a stream that cannot
#: be unpacked or ends early; an offset before the file's start; a version that nobody wrote yet; a name that is no text
_DAMAGE = (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, ValueError)
_MEMBERS = 200  #: of a zip; the exchange's bundles hold about fifteen


class _Passing(Exception):
    """What another attempt may mend."""

    def __init__(self, said: str, pause_s: float = 0.0):
        super().__init__(said)
        self.pause_s = pause_s


@dataclass(frozen=True)
class Downloads:
    """Fetches one file after the other.

    Parameters
    ----------
    attempts : of each file
    sleep : waits for seconds between attempts
    """

    attempts: int = ATTEMPTS
    sleep: Callable[[float], None] = time.sleep

    def get(self, url: str, most_bytes: int) -> bytes:
        """The file's content.

        Raises
        ------
        NotFound : the server has no such file.
        BadInput : the address is neither https nor on this machine, or the file is larger than `most_bytes`.
        ServiceUnavailable : the server does not answer or refuses, after all attempts.
        """
        checked(url)
        retrying = Retrying(
            retry=retry_if_exception_type(_Passing),
            stop=stop_after_attempt(self.attempts),
            wait=_pause,
            sleep=self.sleep,
            reraise=True,
        )
        try:
            return retrying(_get, url, most_bytes)
        except _Passing as error:
            said = f"{url} cannot be had after {self.attempts} attempts ({error}); try again later"
        raise ServiceUnavailable(said)


def checked(url: str) -> str:
    """The address, if it may be fetched: https, or http on this machine."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        host = None
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and host in _LOOPBACK)):
        raise BadInput(f"{url} is no address that is fetched from; give one that begins with https://")
    if parts.username or parts.password:
        raise BadInput(f"an address at {host} carries a user or password; take them out, they would be logged")
    return url


def member(content: bytes, wanted: Callable[[str], bool], most_bytes: int, name: str) -> tuple[str, bytes]:
    """Name and content of the one file of a zip whose name is `wanted`.

    Raises
    ------
    BadInput : if it is no zip or damaged, names lead elsewhere, no or several files are wanted, or one is too large.
    """
    try:
        with zipfile.ZipFile(BytesIO(content)) as archive:
            listed = archive.infolist()
            if len(listed) > _MEMBERS:
                raise BadInput(f"{name} holds {len(listed)} files, at most {_MEMBERS} are expected; look at it by hand")
            stray = [one.filename for one in listed if _leads_elsewhere(one.filename)]
            if stray:
                raise BadInput(f"{name} names a file outside itself ({stray[0]!r}); do not unpack it")
            found = [one for one in listed if not one.is_dir() and wanted(PurePosixPath(one.filename).name)]
            if len(found) != 1:
                names = ", ".join(one.filename for one in listed[:5]) or "none"
                raise BadInput(f"{name} should hold one file of the wanted name, not {len(found)} (files: {names})")
            if found[0].flag_bits & 1:
                raise BadInput(f"{name} is encrypted; NSE's files are not")
            if found[0].compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise BadInput(f"{name} is packed otherwise than NSE's files are; look at it by hand")
            with archive.open(found[0]) as file:
                unpacked = file.read(most_bytes + 1)  # what the header says of its size may be a lie
    except _DAMAGE as error:
        problem = f"{name} is no readable zip ({' '.join(str(error).split()) or 'cut off'}); download it again"
    else:
        if len(unpacked) > most_bytes:
            raise BadInput(f"{name} unpacks to more than {most_bytes:,} bytes; look at it by hand")
        return PurePosixPath(found[0].filename).name, unpacked
    raise BadInput(problem)


def _leads_elsewhere(name: str) -> bool:
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or ":" in name


def _pause(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    asked = error.pause_s if isinstance(error, _Passing) else 0.0
    return min(max(asked, 1.5 * 2.0 ** (state.attempt_number - 1)), LONGEST_PAUSE_S)


def _get(url: str, most_bytes: int) -> bytes:
    try:
        for _ in range(REDIRECTS + 1):
            local = urlsplit(url).hostname in _LOOPBACK  # proxies of the environment are not for this machine
            with (
                _CutOff(LONGEST_DOWNLOAD_S) as cut_off,
                httpx.Client(timeout=TIMEOUT, headers=HEADERS, trust_env=not local) as client,
                client.stream("GET", url, extensions={"trace": cut_off.watch}) as answer,
            ):
                if answer.has_redirect_location:
                    url = checked(urljoin(url, answer.headers["location"]))
                    continue
                _refuse(answer, url)
                return _body(answer, url, most_bytes)
    except httpx.TransportError as error:
        problem = _Passing(f"{type(error).__name__}: {error}")
    except (httpx.DecodingError, httpx.InvalidURL) as error:
        raise ServiceUnavailable(f"{url} answers what cannot be read ({error}); try again later") from None
    else:
        raise ServiceUnavailable(f"{url} is redirected more than {REDIRECTS} times; look at the address")
    raise problem


class _CutOff:
    """Ends a request's connection after so many seconds: the client's time-outs count from byte to byte."""

    def __init__(self, seconds: float):
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._connections: list[socket.socket] = []

    def __enter__(self) -> "_CutOff":
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        for connection in self._connections:
            connection.close()

    def watch(self, event: str, told: Mapping[str, Any]) -> None:
        """Asked by the client at each step of a request."""
        if event == "connection.connect_tcp.complete":
            connection = told["return_value"].get_extra_info("socket")
            self._connections.append(socket.socket(fileno=os.dup(connection.fileno())))  # TLS takes the first one away

    def _end(self) -> None:
        for connection in self._connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


def _refuse(answer: httpx.Response, url: str) -> None:
    status = answer.status_code
    if status == 404:
        raise NotFound(f"{url} is not there (HTTP 404)")
    if status == 429 or status >= 500:
        asked = answer.headers.get("retry-after", "")
        raise _Passing(f"HTTP {status}", float(asked) if asked.isdigit() else 0.0)
    if status != 200:
        raise ServiceUnavailable(f"{url} is refused (HTTP {status}); look at the address in a browser")


def _body(answer: httpx.Response, url: str, most_bytes: int) -> bytes:
    parts, size, began = [], 0, time.monotonic()
    for part in answer.iter_bytes():
        size += len(part)
        if size > most_bytes:
            raise BadInput(f"{url} is larger than {most_bytes:,} bytes; it is not what was expected")
        if time.monotonic() - began > LONGEST_DOWNLOAD_S:
            raise _Passing(f"slower than {LONGEST_DOWNLOAD_S:.0f} s")
        parts.append(part)
    return b"".join(parts)
