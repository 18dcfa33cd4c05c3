"""Work in a thread: its result, its warnings, and how it ends.

Kernels are compiled in a child process, once.
"""

import threading

import pytest

from MultiViewRegistrationLib.errors import InputError, warn
from MultiViewRegistrationLib.session import inputs
from MultiViewRegistrationLib.session.tasks import Task


def ended(task):
    task.poll(5.0)
    assert task.state != "running"
    return task


def test_its_result_and_last_progress():
    def work(on_progress):
        on_progress(1)
        on_progress(2)
        return "result"

    task = Task(work)
    task.wait(5.0)
    assert task.poll() == 2
    assert task.poll() is None
    assert (task.state, task.result, task.message) == ("done", "result", "")


@pytest.mark.parametrize(
    "error, message",
    [
        (InputError("CT: is wrong."), "CT: is wrong."),
        (
            ModuleNotFoundError("No module named 'numba'", name="numba"),
            "The Python package numba is not installed",
        ),
        (MemoryError(), "There is not enough memory"),
        (ZeroDivisionError(), "ZeroDivisionError"),  # a mistake of the program is logged
    ],
)
def test_a_failure_is_a_sentence(error, message, caplog):
    def work(on_progress):
        warn("first")
        raise error

    task = ended(Task(work))
    assert task.state == "failed" and message in task.message and task.warnings == ["first"]
    assert len(caplog.records) == isinstance(error, ZeroDivisionError)


def test_cancelled_however_it_ends(caplog):
    cancelled = threading.Event()

    def work(on_progress):
        cancelled.wait(5.0)
        assert on_progress(None) is False
        raise RuntimeError("of the library that was interrupted")

    task = Task(work)
    task.cancel()
    cancelled.set()
    assert ended(task).state == "cancelled"
    assert task.message == "" and not caplog.records


def test_task_waits_for_the_result_of_another():
    go = threading.Event()
    first = Task(lambda on_progress: go.wait(5.0) and "ready")
    second = Task(lambda on_progress: first.result_for(on_progress) + "!")
    assert second.poll(0.05) is None and second.state == "running"
    cancelled = Task(lambda on_progress: first.result_for(on_progress))
    cancelled.cancel()
    assert ended(cancelled).state == "cancelled"
    go.set()
    assert ended(second).result == "ready!"
    failing = Task(lambda on_progress: Task(lambda _: 1 / 0).result_for(on_progress))
    assert "ZeroDivisionError" in ended(failing).message


def test_task_collects_only_the_warnings_of_its_thread(recwarn):
    """The threads overlap in the order in which `warnings.catch_warnings` would mix them up."""
    first_in, second_in, first_out = threading.Event(), threading.Event(), threading.Event()

    def first(on_progress):
        first_in.set()
        second_in.wait(5.0)
        warn("first")

    def second(on_progress):
        first_in.wait(5.0)
        second_in.set()
        first_out.wait(5.0)
        warn("second")

    one, other = Task(first), Task(second)
    ended(one)
    first_out.set()
    ended(other)
    warn("main")
    assert one.warnings == ["first"] and other.warnings == ["second"]
    assert [str(warning.message) for warning in recwarn.list] == ["main"]


def test_without_a_child_process_kernels_are_compiled_here(monkeypatch):
    def fail(*command, **how):
        raise OSError

    monkeypatch.setattr(inputs.subprocess, "Popen", fail)
    monkeypatch.setattr(inputs, "_children", [])
    calls = []

    def prepare():
        calls.append("prepare")
        if len(calls) == 1:
            raise inputs.NotCached

    inputs.load_kernels(prepare, lambda: calls.append("compiling"))
    assert calls == ["prepare", "compiling", "prepare"]


def test_kernels_are_compiled_by_one_child_process(monkeypatch):
    commands, calls = [], []

    class Compiling:
        def __init__(self, command, **how):
            commands.append(command)

        def poll(self):
            """It is still running."""

    monkeypatch.setattr(inputs.subprocess, "Popen", Compiling)
    monkeypatch.setattr(inputs, "_children", [])
    inputs.begin_compiling()
    inputs.begin_compiling()

    def prepare():
        calls.append("prepare")
        if len(calls) < 4:
            raise inputs.NotCached

    inputs.load_kernels(prepare, lambda: calls.append("compiling"))
    assert calls == ["prepare", "compiling", "prepare", "prepare"] and len(commands) == 1
