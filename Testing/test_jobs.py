"""Children that finish, fail, crash, hang, talk without end, or lose their host.

The time left, and progress as lines.
"""

import os
import stat
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from helpers.refusals import refuses

from MultiViewRegistrationLib import jobs
from MultiViewRegistrationLib.jobs import Job, JsonProgress, ProgressRecord, TimeLeft

LIBRARY = str(Path(jobs.__file__).resolve().parents[1])
POSIX = pytest.mark.skipif(os.name == "nt", reason="needs POSIX process groups and shell scripts")

#: What a child begins with. `arguments` are those that were given to the job.
CHILD = """
import json, os, signal, subprocess, sys, time
from MultiViewRegistrationLib.jobs import ProgressRecord, stopped_by_end_of_stdin
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

    def start(script, *arguments):
        monkeypatch.setattr(jobs, "program", lambda: [sys.executable, "-c", CHILD + script])
        begun.append(Job(arguments))
        return begun[-1]

    yield start
    for job in begun:
        job.cancel()
        ended(job)


def ended(job, seconds=20):
    """All progress that was polled until the end."""
    told, until = [], time.monotonic() + seconds
    while job.state == "running" and time.monotonic() < until:
        told.append(job.poll())
        time.sleep(0.01)
    assert job.state != "running"
    return [record for record in told if record]


def first(job):
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
    records = ended(job)
    assert [(record.fraction, record.stage) for record in records] == [
        (0.25, "first"),
        (0.75, "second"),
    ]
    assert job.state == "done" and job.message == "" and list(job.warnings) == ["Vorsicht, é."]
    assert job.result == {
        "arguments": ["register", "näher am Ziel", "18.5", "--json", "--progress", "json"],
        "cwd": os.getcwd(),
    }
    assert job.poll() is None and not os.path.exists(job._folder.name)
    job.cancel()
    assert job.state == "done"


@pytest.mark.parametrize(
    "script, message",
    [
        pytest.param("os.abort()", "It ended unexpectedly (signal 6).", marks=POSIX),
        pytest.param(
            "os.kill(os.getpid(), signal.SIGKILL)",
            "It ended unexpectedly (signal 9, perhaps because memory ran out).",
            marks=POSIX,
        ),
        ("tell(0.1); {}['key']", "It ended unexpectedly (status 1: KeyError: 'key')."),
        ("print('mvreg: not enough memory.', file=sys.stderr); sys.exit(1)", "not enough memory."),
        (
            "print('mvreg: warning: cold.', file=sys.stderr); os._exit(3)",
            "It ended unexpectedly (status 3).",
        ),
    ],
)
def test_a_crash_is_a_message(child, script, message):
    job = child(script)
    ended(job)
    assert (job.state, job.message.replace("\r", "").replace("\n", "")) == ("failed", message)
    assert not os.path.exists(job._folder.name)


#: As an import does, from which the interruption comes out as an ImportError.
IMPORTING = BEATING.replace("time.sleep(0.02)", "pass").replace(
    'print("here", file=beats, flush=True)',
    """
                try:
                    time.sleep(20)
                except KeyboardInterrupt:
                    raise ImportError("numpy is missing")""",
)


@POSIX
@pytest.mark.parametrize(
    "script",
    [
        pytest.param(BEATING, id="at work"),
        pytest.param(IMPORTING, id="importing"),
        pytest.param(
            "signal.signal(signal.SIGINT, signal.SIG_IGN)" + BEATING,
            id="Ctrl-C ignored by the shell",
        ),
    ],
)
def test_cancel_ends_it_within_a_second(child, tmp_path, script):
    job = child(script, tmp_path / "beats")
    first(job)
    began = time.monotonic()
    job.cancel()
    job.cancel()  # twice is once
    ended(job)
    assert job.state == "cancelled" and job.result is None
    assert time.monotonic() - began < jobs.LAST_SECONDS
    assert (tmp_path / "beats").read_text().endswith("stopped\n")


@pytest.mark.quick_variants("crashed")
@POSIX
@pytest.mark.parametrize("end", ["cancelled", "crashed"])
def test_all_that_a_deaf_or_crashed_child_started_ends_with_it(child, tmp_path, monkeypatch, end):
    monkeypatch.setattr(jobs, "GRACE_SECONDS", 0.3)
    beats, script = tmp_path / "beats", DEAF
    if end == "crashed":
        script = (
            DEAF.replace("while True:", "while arguments[1:] or not os.path.exists(arguments[0]):")
            + "\nos.abort()"
        )
    job = child(script, beats)
    if end == "cancelled":
        first(job)
        while not beats.exists() or "here second" not in beats.read_text():
            time.sleep(0.02)
        job.cancel()
    ended(job)
    assert (job.state, job.message) == (
        ("cancelled", "") if end == "cancelled" else ("failed", "It ended unexpectedly (signal 6).")
    )
    time.sleep(0.1)
    size = beats.stat().st_size
    time.sleep(0.3)
    assert beats.stat().st_size == size


def test_main_thread_busy_in_a_long_call_is_ended_all_the_same(child, tmp_path):
    job = child("""
from MultiViewRegistrationLib import jobs
jobs.LAST_SECONDS = 0.3
jobs._interrupt = lambda: None  # as if it sat in a library that returns much later
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


@pytest.mark.parametrize("end", ["kill", "forget"])
def test_it_ends_when_its_host_is_gone(tmp_path, end):
    beats = tmp_path / "beats"
    script = f"""
import sys, time
from MultiViewRegistrationLib import jobs
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


@pytest.mark.slow
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
    records = ended(job)
    assert (
        list(job.warnings)[-1] == "number 99999 of many" and len(job.warnings) == jobs.MAX_WARNINGS
    )
    assert job.state == "done" and records[-1].fraction == 0.999 and len(records) > 3


@POSIX
@pytest.mark.parametrize("where", ["on the PATH", "beside"])
def test_an_application_runs_the_interpreter_that_comes_with_it(monkeypatch, tmp_path, where):
    """As in 3D Slicer, whose PythonSlicer starts the interpreter as a child of its own, with stdin handed on."""
    launcher = tmp_path / "bin of it" / "PythonSlicer"
    launcher.parent.mkdir()
    launcher.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n')
    launcher.chmod(launcher.stat().st_mode | stat.S_IXUSR)
    path = launcher.parent if where == "on the PATH" else "/nowhere"
    monkeypatch.setenv("PATH", f"{path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(sys, "executable", "")
    if where == "beside":
        with refuses("expected PythonSlicer"):
            jobs.python()
        monkeypatch.setattr(sys, "executable", str(launcher.with_name("SlicerApp-real")))
    assert jobs.python() == str(launcher)
    monkeypatch.setattr(jobs, "program", lambda: [jobs.python(), "-c", CHILD + BEATING])
    job = Job([tmp_path / "beats"])
    first(job)
    job.cancel()
    ended(job, seconds=2)
    assert job.state == "cancelled" and (tmp_path / "beats").read_text().endswith("stopped\n")


@pytest.mark.parametrize(
    "fraction_at, total, exact_from",
    [
        pytest.param(
            lambda t: max(0.0, (t - 10) / 40), 50, 11.2, id="an even pace after a preparation"
        ),
        pytest.param(
            lambda t: t / 20 if t < 10 else 0.5 + (t - 10) / 200,
            110,
            21,
            id="slower in its second half",
        ),
    ],
)
def test_the_time_left_follows_the_present_pace(fraction_at, total, exact_from):
    now = [1000.0]
    left = TimeLeft(lambda: now[0])
    assert left.seconds(0.0) is None
    for seconds in np.arange(0, total, 0.1):
        now[0] = 1000 + seconds
        guess = left.seconds(fraction_at(seconds))
        if seconds > exact_from:
            assert guess == pytest.approx(total - seconds, rel=0.01)
        assert guess is None or seconds >= jobs.SEEN_SECONDS
    assert left.seconds(1.0) == 0 and len(left._history) < 500


@pytest.mark.parametrize(
    "record",
    [
        ProgressRecord(0.0, "preparing"),
        ProgressRecord(0.25, 'é "μ"\n', 12.5, 0.1, np.eye(4).tolist()),
    ],
)
def test_a_record_survives_its_line(record):
    line = record.to_line()
    assert ProgressRecord.from_line(line) == record and line.isascii() and "\n" not in line
    for other in ("", "mvreg: no.", "{}", line[:20], "[1]", "1"):
        assert ProgressRecord.from_line(other) is None


def test_lines_of_one_stage_keep_a_distance_and_none_loses_the_pose(capsys, monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(jobs.time, "monotonic", lambda: now[0])
    tell = JsonProgress()
    for number in range(100):
        now[0] += 0.01
        stage = "one" if number < 50 else "two"
        tell(
            SimpleNamespace(
                fraction=number / 200, stage=stage, world_from_ct=np.eye(4) * number, cost=number
            )
        )
    tell.show(1.0, "writing")
    records = [ProgressRecord.from_line(line) for line in capsys.readouterr().err.splitlines()]
    assert (
        10 <= len(records) <= 13
        and next(each for each in records if each.stage == "two").fraction == 0.25
    )
    assert records[-1] == ProgressRecord(1.0, "writing", None, 99.0, (np.eye(4) * 99).tolist())
