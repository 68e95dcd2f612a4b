"""Connections to PostgreSQL that end by themselves: no call waits longer for an answer than its limit says.

A server that refuses is known at once. One that hangs is not: its host is gone, a lock is held, a process is stopped.
The server is asked to give up by its own clock (locks, statements, idle transactions), which leaves the connection
whole. Where it cannot even do that, the client gives up by its own, and the connection with it.
"""

import select
from dataclasses import dataclass
from math import ceil
from typing import Any

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ, POLL_WRITE, set_wait_callback
from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL, make_url

from pipelines.deadlines import seconds_left


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """Seconds that PostgreSQL may take; each limit is one of the wall clock."""

    lock_s: float  #: for a lock on a table or row that another holds
    call_s: float  #: for one call of the journal that writes, or reads a few rows
    joined_s: float  #: for all calls that are noted in one transaction
    read_s: float  #: for one that reads whole tables, and for what an outage left behind


#: Of programs that only want to get their work done
PATIENT = TimeLimits(lock_s=10.0, call_s=30.0, joined_s=60.0, read_s=120.0)
#: Of the executor: a hang of the journal may not keep shares bare for a second. The first call that meets it takes its
#: limit, all after it are refused at once; the rest of the second is for the order that protects.
PROMPT = TimeLimits(lock_s=0.2, call_s=0.4, joined_s=1.0, read_s=20.0)
IDLE_IN_TRANSACTION_S = 30.0  #: our transactions wait for nothing but the server, and hold locks that others need
#: Of a connection over a network that swallows packets: the peer ends it, and lets its locks go, after so many seconds
KEEPALIVE_IDLE_S, KEEPALIVE_EVERY_S, KEEPALIVE_TRIES = 5, 2, 3
PEER_GONE_MS = 1000 * (KEEPALIVE_IDLE_S + KEEPALIVE_EVERY_S * KEEPALIVE_TRIES)


def engine_at(url: str | URL, limits: TimeLimits = PATIENT, name: str = "tradesage", **named: Any) -> Engine:
    """An engine whose connections are held to `limits`, and to the deadline of the thread that uses them.

    Parameters
    ----------
    url : SQLAlchemy address
    name : of its sessions at the server, at most 63 characters
    named : what else `create_engine` takes
    """
    set_wait_callback(_wait)
    given = str(make_url(url).query.get("options", ""))
    settings = {
        "lock_timeout": ceil(limits.lock_s * 1000),
        "statement_timeout": ceil(limits.read_s * 1000),
        "idle_in_transaction_session_timeout": ceil(IDLE_IN_TRANSACTION_S * 1000),
        "tcp_keepalives_idle": KEEPALIVE_IDLE_S,
        "tcp_keepalives_interval": KEEPALIVE_EVERY_S,
        "tcp_keepalives_count": KEEPALIVE_TRIES,
        "tcp_user_timeout": PEER_GONE_MS,
    }
    asked = {
        "application_name": name,
        "keepalives": 1,
        "keepalives_idle": KEEPALIVE_IDLE_S,
        "keepalives_interval": KEEPALIVE_EVERY_S,
        "keepalives_count": KEEPALIVE_TRIES,
        "tcp_user_timeout": PEER_GONE_MS,
        "options": " ".join([given, *(f"-c {name}={value}" for name, value in settings.items())]).strip(),
    }
    return create_engine(url, pool_pre_ping=True, pool_timeout=limits.call_s, connect_args=asked, **named)


def _wait(connection: Any) -> None:
    """Psycopg2 waits for the server here, for the opening of a connection, too: until the thread's deadline.

    Raises
    ------
    OperationalError : at the deadline; psycopg2 then closes the connection, whose state nobody knows.
    """
    while (state := connection.poll()) != POLL_OK:
        wanted = {POLL_READ: select.POLLIN, POLL_WRITE: select.POLLOUT}.get(state)
        if wanted is None:
            raise psycopg2.OperationalError(f"the connection is in the unknown state {state}")
        left = seconds_left()
        poll = select.poll()
        poll.register(connection.fileno(), wanted)
        if not poll.poll(None if left is None else max(left, 0.0) * 1000):
            raise psycopg2.OperationalError("it took the request and gives no answer in time")
