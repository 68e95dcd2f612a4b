"""The log: JSON lines that tell what happened, and never a secret, whoever passed it in."""

import json
import subprocess
import sys
from contextlib import suppress

import structlog

from pipelines.credentials import note_secret
from serving.executor.logs import Seldom, shortened, without_secrets_in


def test_a_known_secret_is_taken_out_of_a_line_wherever_it_stands():
    note_secret("token-0123456789")

    line = without_secrets_in(None, "info", json.dumps({"event": "x", "url": "wss://a?access_token=token-0123456789"}))

    assert json.loads(line) == {"event": "x", "url": "wss://a?access_token=***"}


def test_neither_log_nor_traceback_of_a_process_shows_a_secret():
    code = """
import structlog
from pipelines.credentials import note_secret
from serving.executor.logs import hook_tracebacks, log_to_stderr
log_to_stderr(); hook_tracebacks()
secret = note_secret("token-0123456789")
log = structlog.get_logger("executor")
try:
    raise ValueError(f"no answer from https://broker/?access_token={secret}")
except ValueError:
    log.exception("it failed", header=f"token key:{secret}")
raise RuntimeError(secret)
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert done.returncode == 1
    assert "token-0123456789" not in done.stdout + done.stderr
    first = json.loads(done.stderr.splitlines()[0])
    assert (first["event"], first["header"], first["level"]) == ("it failed", "token key:***", "error")
    assert "RuntimeError: ***" in done.stderr


def test_a_warning_that_repeats_is_told_now_and_then():
    seconds = [0.0]
    seldom, lines = Seldom(60.0, lambda: seconds[0]), []

    for _ in range(1000):
        with suppress(structlog.DropEvent):
            lines.append(seldom(None, "warning", {"event": "no frame", "seconds": 5.0}))
        seconds[0] += 5.0

    assert 83 <= len(lines) <= 84
    assert lines[1]["left_out"] == 11


def test_orders_and_other_warnings_are_always_told():
    seldom = Seldom(60.0, lambda: 0.0)

    told = [seldom(None, "info", {"event": "order", "tag": "1"}) for _ in range(5)]
    warned = [seldom(None, "warning", {"event": "alarm", "what": str(number)}) for number in range(5)]

    assert len(told) == len(warned) == 5


def test_a_long_text_keeps_its_beginning_and_its_end():
    line = shortened(None, "error", {"event": "x", "exception": "begin" + "." * 100_000 + "end"})

    assert line["exception"].startswith("begin")
    assert line["exception"].endswith("end")
    assert len(line["exception"]) < 5000


def test_hours_without_frames_leave_a_small_log():
    code = """
import structlog
from serving.executor.logs import log_to_stderr
log_to_stderr()
log = structlog.get_logger("executor")
for _ in range(100_000):
    log.warning("no frame", seconds=5.0)
    log.error("the journal does not answer; its notes wait in a file", error="x" * 500)
"""

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)

    assert len(done.stderr) < 5000
