"""`mvreg evaluate --scheduler`: cases shared among processes, whatever becomes of these."""

import json
import os
import shutil
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from helpers.file_io import read_json
from helpers.program import ENVIRONMENT, MVREG, mvreg

distributed = pytest.importorskip(
    "distributed", reason="needs Dask distributed: pip install distributed"
)
psutil = pytest.importorskip("psutil")

from MultiViewRegistrationLib.errors import install_command  # noqa: E402
from MultiViewRegistrationLib.io.case_file import CaseFile  # noqa: E402
from MultiViewRegistrationLib.regressor.model_store import Card  # noqa: E402
from MultiViewRegistrationLib.studies import cohort, cohort_worker  # noqa: E402
from MultiViewRegistrationLib.studies.cohort_worker import (  # noqa: E402
    DONE,
    FAILED,
    KEPT,
    CohortRecord,
    Plan,
)
from MultiViewRegistrationLib.studies.evaluation import EvaluationSetup  # noqa: E402

pytestmark = pytest.mark.slow

#: Must not appear in what the processes send each other.
PATIENT = "Mustermann"


def evaluate(*words):
    """The command that evaluates cases, from two starts each."""
    return " ".join(map(str, ("evaluate --starts 2", *words)))


@pytest.fixture(scope="module")
def cases(case_file, tmp_path_factory):
    """Three cases with truth, two without, and in their middle one that is damaged."""
    folder, found = tmp_path_factory.mktemp("cohort"), []
    for number in range(6):
        copy = folder / f"{PATIENT}-{number}"
        shutil.copytree(case_file.parent, copy)
        content = read_json(copy / "case.json")
        content["world_from_ct"][0][3] += number
        if number > 3:
            del content["truth"]
        (copy / "case.json").write_text(json.dumps(content) if number != 2 else "{")
        found.append(copy)
    return found


@pytest.fixture(scope="module")
def stopped(cases, tmp_path_factory):
    """The folder of an evaluation on this computer that was killed, and the records that were in it, with the time of each."""
    for _ in range(3):  # one that ends before it can be killed is started again
        folder = tmp_path_factory.mktemp("records")
        words = evaluate(*cases, f"--scheduler --workers 1 --records {folder}")
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        with subprocess.Popen([*MVREG, *words.split()], env=ENVIRONMENT, **streams) as child:
            _wait_for(
                lambda folder=folder, child=child: records(folder) or child.poll() is not None
            )
            parent = psutil.Process(child.pid)
            family = [parent, *parent.children(recursive=True)]
            listening = [
                each.laddr.ip
                for process in family
                for each in process.net_connections()
                if each.status == psutil.CONN_LISTEN
            ]
            child.kill()
            assert not psutil.wait_procs(family, timeout=30)[1]  # its workers end with it
            said = child.stdout.read()
        assert "mvreg: warning" not in said
        if 0 < len(records(folder)) < len(cases) and listening:
            break
    assert len(listening) >= 2 and set(listening) == {"127.0.0.1"}, said
    return folder, {path: path.stat().st_mtime_ns for path in records(folder)}


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
        silence_logs=50,
        env={"MVREG_THREADS": "1"},
    ) as made:
        yield made


def records(folder):
    return [path for path in folder.glob("*.json") if not path.name.startswith("plan-")]


def _wait_for(true, seconds=180):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.02)


def kill_a_worker(cluster, after=0):
    """Kills a worker process while it has a case, once so many others came back from their workers; its number."""
    begun = time.monotonic()

    def busy():
        pids = {nanny.worker_address: nanny.pid for nanny in cluster.workers.values()}
        tasks = [task for task in cluster.scheduler.tasks.values() if "mvreg" in str(task.key)]
        if sum(task.state == "memory" for task in tasks) < after:
            return []
        return [
            pids[task.processing_on.address]
            for task in tasks
            if task.state == "processing" and task.processing_on
        ]

    def kill():
        while time.monotonic() < begun + 60:
            try:
                found = busy()
            except RuntimeError:  # the scheduler was just at it
                continue
            if found:
                time.sleep(0.1)  # into the case
                os.kill(found[0], signal.SIGKILL)
                return found[0]
            time.sleep(0.01)
        return None

    return ThreadPoolExecutor(1).submit(kill)


def timeless(evaluation):
    """Without what differs from one time to the next, and what tells of a cohort alone."""
    for case in evaluation["cases"]:
        for each in [*case["runs"], case["agreement"] or {}]:
            each["seconds"] = None
    return {key: value for key, value in evaluation.items() if key not in ("failed", "shared")}


def test_the_table_is_the_same_whoever_was_killed(cases, stopped, cluster, monkeypatch):
    """The whole program was killed before, see `stopped`.

    Now one of two workers is, while it has a case.
    """
    folder, before = stopped
    assert 1 <= len(before) < 6
    sent = []
    tcp = distributed.comm.tcp
    # Of the client and the scheduler, which are in this process: to and from the workers.
    for name in ("to_frames", "from_frames"):
        monkeypatch.setattr(tcp, name, _overheard(getattr(tcp, name), sent))
    killed = kill_a_worker(cluster)
    pids = {nanny.pid for nanny in cluster.workers.values()}
    shared = f"--scheduler {cluster.scheduler_address} --records {folder} --json"
    said = mvreg(evaluate(*cases, shared))
    together = said.json
    assert killed.result() in pids and not psutil.pid_exists(killed.result())
    (failed,) = together["failed"]
    assert failed["case"] == str(cases[2])
    sentence = failed["error"].partition("case.json ")[2]  # no message names the folder of a case
    assert sentence.startswith("is not JSON") and sentence in said.err
    for path, when in before.items():
        if CohortRecord.read(path).outcome:
            assert path.stat().st_mtime_ns == when
    alone = mvreg(evaluate(*(case for case in cases if case != cases[2]), "--json")).json
    assert timeless(together) == timeless(alone)
    assert len(alone["cases"]) == 5
    heard = b"".join(sent)
    assert b"mvreg-" in heard and os.fsencode(folder) in heard and PATIENT.encode() not in heard
    told = json.dumps([*cluster.get_logs().values()]) + str([*cluster.scheduler.tasks])
    assert PATIENT not in told


def _overheard(function, sent):
    async def asking(what, *arguments, **more):
        answer = await function(what, *arguments, **more)
        sent.extend(bytes(frame) for frame in (answer if isinstance(answer, list) else what))
        return answer

    return asking


def test_a_case_that_ends_every_worker_is_reported(cases, cluster, monkeypatch, tmp_path):
    monkeypatch.setattr(cluster.scheduler, "allowed_failures", 0)
    killed = kill_a_worker(cluster, after=1)
    shared = f"--scheduler {cluster.scheduler_address} --records {tmp_path}"
    said = mvreg(f"evaluate {cases[2]} {cases[0]} --starts 40 {shared}", 2)
    assert killed.result() and f": {cohort.ENDED}" in said.err and cases[0].name not in said.err
    assert "none of 2 cases could be evaluated; of the first:" in said.err


@pytest.fixture
def plan(cases, tmp_path):
    """A function: the plan of some cases, with a start each, written into `tmp_path`.

    And its name.
    """

    def make(
        *numbers,
        groups=(),
        version=cohort_worker.__version__,
        minutes=None,
        **more,
    ):
        setup = EvaluationSetup(starts=1, max_start_error_mm=10.0, **more).to_json()
        chosen = [str(cases[number]) for number in numbers]
        made = Plan(chosen, setup, minutes, list(groups), version)
        return made, made.write(tmp_path)

    return make


@pytest.fixture
def work(tmp_path):
    """A function: what came of a task of a plan."""
    return lambda task, numbers, name: cohort_worker.work(numbers, task, str(tmp_path), name)


def test_a_case_is_done_once(plan, work, tmp_path, cases):
    made, name = plan(0, 2)
    path = made.record(tmp_path, 0)
    assert work("evaluate", [0], name) == DONE
    first = path.read_bytes()
    assert work("evaluate", [0], name) == KEPT and path.read_bytes() == first
    path.write_bytes(first[:100])  # by what writes no whole files
    assert work("evaluate", [0], name) == DONE
    content = (cases[0] / "case.json").read_text()
    try:
        (cases[0] / "case.json").write_text(content + "\n")
        assert work("evaluate", [0], name) == DONE
    finally:
        (cases[0] / "case.json").write_text(content)
    for _ in range(2):  # what failed is tried again
        assert work("evaluate", [1], name) == FAILED
    assert "is not JSON" in CohortRecord.read(made.record(tmp_path, 1)).error
    assert not any(PATIENT in each.name for each in tmp_path.iterdir())


@pytest.mark.filterwarnings("ignore:Only")
def test_a_regressor_is_trained_once_for_the_cases_that_share_it(
    plan, work, tmp_path, few_steps, monkeypatch
):
    pytest.importorskip("torch", reason="a regressor needs torch: pip install torch")
    pytest.importorskip("safetensors")
    from MultiViewRegistrationLib.regressor import training

    made, name = plan(2, 0, groups=("alike", "alike"), minutes=1.0, start="regressor")
    step = training.Training._step

    def interrupted(self, *arguments):
        step(self, *arguments)
        if self.card.done == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(training.Training, "_step", interrupted)
        work("train", [0, 1], name)
    begun = Card.read(made.model(tmp_path, 1))
    assert begun.done == 3 and not begun.finished
    assert work("train", [0, 1], name) == DONE  # though the first case is damaged
    trained = Card.read(made.model(tmp_path, 1))
    assert trained.finished and trained.created == begun.created
    assert work("train", [0, 1], name) == KEPT
    assert Card.read(made.model(tmp_path, 1)) == trained
    assert work("evaluate", [1], name) == DONE
    (run,) = CohortRecord.read(made.record(tmp_path, 1)).outcome["runs"]
    assert run["initial_mtre_mm"] is not None


def test_which_cases_share_a_regressor(cases):
    def group(**changed):
        content = read_json(cases[0] / "case.json") | changed
        return cohort.regressor_group(CaseFile.from_json(cases[0] / "case.json", content))

    others = (
        {"world_from_ct": read_json(cases[1] / "case.json")["world_from_ct"]},
        {"training": {"roll_deg": 5}},
        {"ct_unit": "relative"},
    )
    assert group() == group(targets=[[0, 0, 0]])
    assert len({group(), *(group(**each) for each in others)}) == 4


def test_workers_that_are_elsewhere_or_of_another_version(plan, work, tmp_path):
    _, name = plan(0, version="0.0.0")
    assert work("evaluate", [0], name) == cohort_worker.OTHER_VERSION
    assert (
        cohort_worker.work([0], "evaluate", str(tmp_path / "elsewhere"), name)
        == cohort_worker.UNSEEN
    )


@pytest.mark.parametrize(
    "options, sentence",
    [
        ("--workers 2", "--workers: belongs to --scheduler"),
        (
            "--scheduler tcp://127.0.0.1:1 --workers 2",
            "no address of a scheduler, which has its own",
        ),
        (
            "--scheduler --minutes 2",
            "--minutes: found 2, expected more than 0 and less than 10000, a start by a regressor",
        ),
        (
            "--scheduler tcp://127.0.0.1:1",
            '--scheduler: found "tcp://127.0.0.1:1", where no Dask scheduler answers',
        ),
    ],
)
def test_wrong_options_are_a_sentence(cases, monkeypatch, options, sentence):
    monkeypatch.setattr(cohort, "_CONNECT_SECONDS", 0.5)
    assert sentence in mvreg(f"evaluate {cases[0]} {options}", 2).refusal


def test_without_dask_it_is_a_sentence(cases, monkeypatch):
    monkeypatch.setattr(cohort, "find_spec", lambda name: None)
    said = mvreg(f"evaluate {cases[0]} --scheduler", 2)
    assert f"install it with {install_command('cohort')}" in said.refusal
