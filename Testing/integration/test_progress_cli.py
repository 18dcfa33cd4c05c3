"""`mvreg --progress json`, as another program reads it, and through a job."""

import os
import signal
import subprocess
import time

import pytest
from helpers.file_io import read_json
from helpers.program import ENVIRONMENT, MVREG

from MultiViewRegistrationLib.jobs import Job, ProgressRecord

pytestmark = pytest.mark.slow


def polled(job, until=lambda record: False):
    """What the job reports until it ends, or until a record is as wanted."""
    reported, end = [], time.monotonic() + 60
    while job.state == "running" and time.monotonic() < end:
        record = job.poll()
        if record:
            reported.append(record)
            if until(record):
                return reported
        time.sleep(0.01)
    assert job.state != "running"
    return reported


def test_a_job_registers_and_shows_how_it_goes(case_file, tmp_path):
    job = Job(["register", case_file, "--out", tmp_path / "out"])
    reported = polled(job)
    assert job.state == "done" and job.message == "" and not job.warnings
    assert job.result == read_json(tmp_path / "out" / "result.json")
    fractions = [record.fraction for record in reported]
    assert fractions == sorted(fractions) and fractions[-1] == 1 and len(reported) > 2
    assert reported[-1].world_from_ct == job.result["world_from_ct"] and reported[-1].cost > 0
    assert "assessing the pose" in [record.stage for record in reported]


@pytest.mark.parametrize("stage", ["preparing", "case"])
def test_a_cancelled_job_ends_soon_and_leaves_nothing(case_file, tmp_path, stage):
    """While it prepares, where no progress is reported for long, and in the midst of registrations that tell none."""
    job = Job(["evaluate", case_file, "--starts", 3000, "--csv", tmp_path / "table.csv"])
    polled(job, lambda record: stage in record.stage or record.fraction > 0)
    began = time.monotonic()
    job.cancel()
    polled(job)
    assert job.state == "cancelled" and time.monotonic() - began < 2
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("refinement, stage", [("joint", "writing"), ("xvr", "xvr at")])
def test_a_cancelled_registration_leaves_no_part_of_a_file(case_file, tmp_path, refinement, stage):
    if refinement != "joint":
        pytest.importorskip("torch", reason="it needs torch: pip install torch")
    job = Job(["register", case_file, "--refine", refinement, "--out", tmp_path / "out"])
    reported = polled(job, lambda record: stage in record.stage)
    assert reported[-1].cost > 0 and reported[-1].world_from_ct and job.state == "running"
    job.cancel()
    polled(job)
    assert job.state == "cancelled"
    assert not [name for _, _, names in os.walk(tmp_path) for name in names if name.startswith(".")]
    assert not (tmp_path / "out" / "result.json").exists()


def test_sigterm_ends_it_as_ctrl_c_does(case_file, tmp_path):
    words = ["evaluate", case_file, "--starts", "3000", "--progress", "json"]
    streams = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    child = subprocess.Popen(
        [*MVREG, *words, "--csv", tmp_path / "table.csv"], env=ENVIRONMENT, **streams
    )
    for text in child.stderr:
        record = ProgressRecord.from_line(text)
        if record and record.fraction > 0:
            break
    child.terminate()
    lines = filter(None, child.stderr.read().splitlines())
    messages = [line for line in lines if ProgressRecord.from_line(line) is None]
    assert child.wait(timeout=60) == 128 + signal.SIGTERM
    assert messages == ["mvreg: stopped; every file is whole."]
    assert os.listdir(tmp_path) == []
