"""What a program has started ends with it, and with the one who asked for it, however either of them ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from serving import family
from serving.process import Process

#: Starts a child in a session of its own that is deaf to SIGTERM and has another environment, tells its pid, sleeps
PROGRAM = """
import subprocess, sys, time
deaf = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(300)"
child = subprocess.Popen([sys.executable, "-c", deaf], start_new_session=True, env={}, stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(300)
"""


def a_family(folder: Path) -> tuple[Process, psutil.Process, psutil.Process]:
    """A process that runs, its program, and the child of that."""
    process = Process("program", (sys.executable, "-u", "-c", PROGRAM), log_folder=folder).start()
    until(lambda: process.tail().isdigit())
    return process, psutil.Process(process.pid), psutil.Process(int(process.tail()))


def until(condition, patience_s: float = 15.0) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def ended(process: psutil.Process) -> bool:
    return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE


def test_a_killed_program_takes_the_child_that_left_its_group(tmp_path):
    process, program, child = a_family(tmp_path)

    program.kill()
    code = process.wait(15)

    assert code == -signal.SIGKILL
    assert ended(child)


@pytest.mark.parametrize(("how", "told"), [("killed", False), ("ended", True)])
def test_children_of_a_killed_program_have_no_time_to_say_goodbye(tmp_path, how, told):
    goodbye = tmp_path / "goodbye"
    child = (
        f"import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: "
        f"(pathlib.Path({str(goodbye)!r}).touch(), sys.exit())); print('ready', flush=True); time.sleep(300)"
    )
    program = (
        f"import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child!r}], start_new_session=True)\n"
        f"time.sleep(300) if {how == 'killed'} else time.sleep(3)"
    )
    process = Process("program", (sys.executable, "-c", program), log_folder=tmp_path / "logs").start()
    until(lambda: "ready" in process.tail())

    if how == "killed":
        os.kill(process.pid, signal.SIGKILL)
    process.wait(15)

    assert goodbye.exists() == told


def test_a_stop_ends_the_child_that_is_deaf_in_another_session(tmp_path):
    process, program, child = a_family(tmp_path)

    process.stop()

    assert ended(program)
    assert ended(child)


def test_a_family_ends_with_the_one_who_asked_for_it(tmp_path):
    asker = subprocess.Popen(
        [sys.executable, "-c", f"import subprocess; from serving import family\n"
         f"subprocess.run(family.command([{sys.executable!r}, '-u', '-c', {PROGRAM!r}]))"],
        stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    child = psutil.Process(int(asker.stdout.readline()))

    asker.kill()
    asker.wait()

    until(lambda: ended(child))


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_program_whose_keeper_is_killed_or_stopped_is_ended_by_the_stop(tmp_path, number):
    process, program, child = a_family(tmp_path)

    os.kill(process._child.pid, number)
    process.stop(patience_s=0.5)

    until(lambda: ended(program))
    if not ended(child):  # deaf, and nobody is left to know of it but a supervisor
        child.kill()


def test_the_program_s_code_and_the_pid_of_the_program_itself_are_told(tmp_path):
    process = Process(
        "program", (sys.executable, "-c", "import os; print(os.getpid()); raise SystemExit(7)"), log_folder=tmp_path
    )

    code = process.start().wait(15)

    assert code == 7
    assert process.tail() == str(process.pid)


def test_a_program_that_is_not_there_is_named(tmp_path):
    process = Process("program", ("no-such-program",), log_folder=tmp_path)

    code = process.start().wait(15)

    assert code == 127
    assert "no-such-program" in process.tail()


def test_the_embedded_postgres_stays_when_the_family_of_its_starter_ends(tmp_path):
    script = (
        "import shutil, subprocess, sys; p = shutil.copy(shutil.which('sleep'), sys.argv[1] + '/postgres')\n"
        "print(subprocess.Popen([p, '300'], start_new_session=True).pid, flush=True)"
    )
    process = Process("starter", (sys.executable, "-c", script, str(tmp_path)), log_folder=tmp_path / "logs")

    process.start().wait(15)
    server = psutil.Process(int(process.tail()))
    stayed = not ended(server)
    server.kill()

    assert server.name() in family.STAYS if stayed else stayed


def test_what_our_processes_write_is_read_by_their_owner_only(tmp_path):
    script = "open('written', 'w').close(); import os; os.mkdir('made')"
    process = Process("writer", (sys.executable, "-c", script), folder=tmp_path, log_folder=tmp_path / "logs")

    process.start().wait(15)

    modes = {path.name: path.stat().st_mode & 0o777 for path in (*tmp_path.iterdir(), process.log)}
    assert modes == {"written": 0o600, "made": 0o700, "logs": 0o700, "writer.log": 0o600}
