"""The log: JSON lines that tell what happened, and never a secret, whoever passed it in."""

import json
import subprocess
import sys

from pipelines.credentials import note_secret
from serving.executor.logs import without_secrets_in


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
