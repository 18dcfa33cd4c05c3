"""Children of every kind: those that finish, fail, crash, hang, talk without end, and those whose host is gone."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.jobs import child_process as jobs
from MultiViewRegistrationLib.jobs.child_process import Job

LIBRARY = str(Path(jobs.__file__).resolve().parents[1])
POSIX = pytest.mark.skipif(os.name == "nt", reason="needs POSIX process groups and shell scripts")

#: What a child begins with. `arguments` are those that were given to the job.
CHILD = """
import json, os, signal, subprocess, sys, time
from MultiViewRegistrationLib.jobs.progress import ProgressRecord, stopped_by_end_of_stdin
arguments = sys.argv[1:-3]
def tell(fraction, stage="working"):
    print(ProgressRecord(fraction, stage).to_line(), file=sys.stderr, flush=True)
"""
#: Tells each 20 ms that it is there, and once that it was stopped.
BEATING = """
with open(arguments[0], "w") as beats:
    try:
        with stopped_by_end_of_stdin():
            tell(0.5)
            while True:
                time.sleep(0.02)
                print("here", file=beats, flush=True)
    except KeyboardInterrupt:
        print("stopped", file=beats, flush=True)
        sys.exit(130)
"""
#: Neither the end of stdin nor a signal that can be caught ends it, or what it started.
DEAF = """
if os.name != "nt":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if not arguments[1:]:
    subprocess.Popen([sys.executable, "-c", sys.orig_argv[2], *arguments, "second", *sys.argv[-3:]])
    tell(0.5)
while True:
    time.sleep(0.02)
    with open(arguments[0], "a") as beats:
        print("here", *arguments[1:], file=beats)
"""


@pytest.fixture
def child(monkeypatch):
    """A function: the job of a child that runs this script."""
    begun = []

    def start(script: str, *arguments) -> Job:
        monkeypatch.setattr(jobs, "program", lambda: [sys.executable, "-c", CHILD + script])
        begun.append(Job(arguments))
        return begun[-1]

    yield start
    for job in begun:
        job.cancel()
        ended(job)


def ended(job: Job, seconds: float = 20) -> list:
    """All progress that was polled until the end."""
    told, until = [], time.monotonic() + seconds
    while job.state == "running" and time.monotonic() < until:
        told.append(job.poll())
        time.sleep(0.01)
    assert job.state != "running"
    return [record for record in told if record]


def first(job: Job):
    """The first progress."""
    until = time.monotonic() + 20
    while time.monotonic() < until and job.state == "running":
        record = job.poll()
        if record:
            return record
        time.sleep(0.01)
    raise AssertionError(f"no progress: {job.state} {job.message}")


def test_one_that_finishes_hands_over_its_result(child):
    job = child(
        """
tell(0.25, "first")
print("mvreg: warning: Vorsicht, \\u00e9.", file=sys.stderr)
time.sleep(0.2)
tell(0.75, "second")
print(json.dumps({"arguments": sys.argv[1:], "cwd": os.getcwd()}, ensure_ascii=False))
""",
        "register",
        Path("näher am Ziel"),
        18.5,
    )
    assert job.state == "running" and job.result is None
    told = ended(job)
    assert [(record.fraction, record.stage) for record in told] == [(0.25, "first"), (0.75, "second")]
    assert job.state == "done" and job.message == "" and list(job.warnings) == ["Vorsicht, é."]
    assert job.result == {
        "arguments": ["register", "näher am Ziel", "18.5", "--json", "--progress", "json"],
        "cwd": os.getcwd(),
    }
    assert job.poll() is None and not os.path.exists(job._folder.name)
    job.cancel()
    assert job.state == "done"


def test_bad_input_is_the_sentence_of_the_program(tmp_path):
    job = Job(["register", tmp_path / "nothing.json", "--out", tmp_path / "out"])
    ended(job)
    assert job.state == "failed" and job.result is None
    assert (
        job.message.startswith(str(tmp_path / "nothing.json")) and job.message.endswith(".") and "\n" not in job.message
    )
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "script, message",
    [
        pytest.param("os.abort()", "It ended unexpectedly (signal 6).", marks=POSIX),
        pytest.param("os.kill(os.getpid(), signal.SIGSEGV)", "It ended unexpectedly (signal 11).", marks=POSIX),
        pytest.param(
            "os.kill(os.getpid(), signal.SIGKILL)",
            "It ended unexpectedly (signal 9, perhaps for want of memory).",
            marks=POSIX,
        ),
        ("tell(0.1); {}['key']", "It ended unexpectedly (status 1: KeyError: 'key')."),
        ("sys.exit(77)", "It ended unexpectedly (status 77)."),
        ("print('mvreg: not enough memory.', file=sys.stderr); sys.exit(1)", "not enough memory."),
        ("print('mvreg: warning: cold.', file=sys.stderr); os._exit(3)", "It ended unexpectedly (status 3)."),
        ("print('hello')", 'It printed "hello", expected its result as JSON.'),
    ],
)
def test_a_crash_is_a_message(child, script, message):
    job = child(script)
    ended(job)
    assert (job.state, job.message.replace("\r", "").replace("\n", "")) == ("failed", message)
    assert not os.path.exists(job._folder.name)


def test_cancel_ends_it_within_a_second(child, tmp_path):
    job = child(BEATING, tmp_path / "beats")
    first(job)
    began = time.monotonic()
    job.cancel()
    assert time.monotonic() - began < 0.05
    job.cancel()  # twice is once
    ended(job)
    assert job.state == "cancelled" and job.result is None and time.monotonic() - began < 1
    assert (tmp_path / "beats").read_text().endswith("stopped\n")


def test_cancel_reaches_one_that_just_begins(child, tmp_path):
    job = child(BEATING, tmp_path / "beats")
    job.cancel()
    ended(job)
    assert job.state == "cancelled" and job.message == ""


@POSIX
def test_one_that_does_not_listen_is_killed_with_all_that_it_started(child, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "GRACE_SECONDS", 0.3)
    beats = tmp_path / "beats"
    job = child(DEAF, beats)
    first(job)
    while not beats.exists() or "here second" not in beats.read_text():
        time.sleep(0.02)
    job.cancel()
    ended(job, seconds=2)
    assert job.state == "cancelled"
    time.sleep(0.1)
    size = beats.stat().st_size
    time.sleep(0.3)
    assert beats.stat().st_size == size


@POSIX
def test_what_a_crashed_child_started_ends_with_it(child, tmp_path):
    beats = tmp_path / "beats"
    job = child(
        DEAF.replace("while True:", "while arguments[1:] or not os.path.exists(arguments[0]):") + "\nos.abort()", beats
    )
    ended(job)
    assert job.message == "It ended unexpectedly (signal 6)."
    time.sleep(0.1)
    size = beats.stat().st_size
    time.sleep(0.3)
    assert beats.stat().st_size == size


def test_main_thread_busy_in_a_long_call_is_ended_all_the_same(child, tmp_path):
    job = child("""
import MultiViewRegistrationLib.jobs.progress as progress
progress.LAST_SECONDS = 0.3
progress._interrupt = lambda: None  # as if it sat in a library that returns much later
with stopped_by_end_of_stdin():
    tell(0.5)
    while True:
        time.sleep(0.1)
""")
    first(job)
    began = time.monotonic()
    job.cancel()
    ended(job)
    assert job.state == "cancelled" and 0.2 < time.monotonic() - began < jobs.GRACE_SECONDS - 1


def test_whatever_fails_after_it_was_asked_to_stop_is_a_stop(child):
    """As an import does, from which the interruption comes out as an ImportError."""
    job = child("""
try:
    with stopped_by_end_of_stdin():
        try:
            tell(0.5)
            time.sleep(20)
        except KeyboardInterrupt:
            raise ImportError("numpy is missing")
except KeyboardInterrupt:
    tell(1.0, "stopped")
""")
    first(job)
    job.cancel()
    assert [record.stage for record in ended(job, seconds=2)] == ["stopped"]


@POSIX
def test_ctrl_c_ignored_by_the_shell_does_not_keep_it_from_stopping(child, tmp_path):
    job = child("signal.signal(signal.SIGINT, signal.SIG_IGN)" + BEATING, tmp_path / "beats")
    first(job)
    job.cancel()
    ended(job, seconds=2)
    assert (tmp_path / "beats").read_text().endswith("stopped\n")


@pytest.mark.parametrize("end", ["kill", "forget"])
def test_it_ends_when_its_host_is_gone(tmp_path, end):
    beats = tmp_path / "beats"
    script = f"""
import sys, time
from MultiViewRegistrationLib.jobs import child_process as jobs
jobs.program = lambda: [sys.executable, "-c", {CHILD + BEATING!r}]
job = jobs.Job([{str(beats)!r}])
while not job.poll():
    time.sleep(0.01)
print("begun", flush=True)
{"time.sleep(60)" if end == "kill" else "del job; time.sleep(3)"}
"""
    host = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", script],
        env={**os.environ, "PYTHONPATH": LIBRARY},
        stdout=subprocess.PIPE,
    )
    assert host.stdout.readline().strip() == b"begun"
    if end == "kill":
        host.kill()
        host.wait()
    until = time.monotonic() + 2
    while not beats.read_text().endswith("stopped\n") and time.monotonic() < until:
        time.sleep(0.02)
    assert beats.read_text().endswith("stopped\n")
    host.kill()
    host.communicate()


def test_a_talkative_one_is_read_in_small_portions(child):
    job = child("""
print("x" * 3_000_000, file=sys.stderr)
for number in range(100_000):
    print(f"mvreg: warning: number {number} of many", file=sys.stderr)
    if number % 10 == 0:
        tell(number / 100_000)
tell(0.999)
print("{}")
""")
    job._process.wait()
    polls, told, slowest = 0, [], 0.0
    while job.state == "running":
        began = time.perf_counter()
        told.append(job.poll())
        slowest = max(slowest, time.perf_counter() - began)
        polls += 1
        assert len(job._line) <= jobs.MOST_BYTES
    assert (
        job.state == "done"
        and list(job.warnings)[-1] == "number 99999 of many"
        and len(job.warnings) == jobs.MOST_WARNINGS
    )
    assert [record for record in told if record][-1].fraction == 0.999
    assert polls >= 7 and slowest < 1


def test_poll_does_not_wait_and_the_child_does_not_wait_for_it(child, tmp_path):
    job = child(
        """
for number in range(2000):
    tell(number / 2000, 60 * "long ")
open(arguments[0], "w").close()
time.sleep(0.5)
print("{}")
""",
        tmp_path / "written",
    )
    until = time.monotonic() + 10
    while not (tmp_path / "written").exists() and time.monotonic() < until:  # nobody polls meanwhile
        time.sleep(0.02)
    began = time.perf_counter()
    assert job.poll() and job.poll() is None
    assert job.state == "running" and time.perf_counter() - began < 0.4


def test_two_do_not_get_into_each_others_way(child, tmp_path):
    one, other = child(BEATING, tmp_path / "one"), child(BEATING, tmp_path / "other")
    first(one), first(other)
    one.cancel()
    ended(one)
    assert other.poll() is None and other.state == "running"
    size = (tmp_path / "other").stat().st_size
    time.sleep(0.2)
    assert (tmp_path / "other").stat().st_size > size


def test_the_interpreter_is_the_own_one():
    assert jobs.python() == sys.executable


@POSIX
@pytest.mark.parametrize("where", ["on the PATH", "beside"])
@pytest.mark.parametrize("host", ["SlicerApp-real", ""])
def test_an_application_runs_the_interpreter_that_comes_with_it(monkeypatch, tmp_path, where, host):
    """As in 3D Slicer, whose PythonSlicer starts the interpreter as a child of its own, with stdin handed on."""
    launcher = tmp_path / "bin of it" / "PythonSlicer"
    launcher.parent.mkdir()
    launcher.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n')
    launcher.chmod(launcher.stat().st_mode | stat.S_IXUSR)
    path = launcher.parent if where == "on the PATH" else "/nowhere"
    monkeypatch.setenv("PATH", f"{path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sys, "executable", str(launcher.parent / host) if host else "")
    if where == "beside" and not host:
        with pytest.raises(InputError, match="expected PythonSlicer"):
            jobs.python()
        return
    assert jobs.python() == str(launcher)
    monkeypatch.setattr(jobs, "program", lambda: [jobs.python(), "-c", CHILD + BEATING])
    job = Job([tmp_path / "beats"])
    first(job)
    job.cancel()
    ended(job, seconds=2)
    assert job.state == "cancelled" and (tmp_path / "beats").read_text().endswith("stopped\n")
