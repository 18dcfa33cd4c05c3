"""Files that belong together come all at once, whenever the program is killed, and its leftovers go."""

import os
import signal
import subprocess
import sys
import time

import pytest
from refusals import refuses

from MultiViewRegistrationLib.errors import InputError, OutputError
from MultiViewRegistrationLib.io import folders
from MultiViewRegistrationLib.io.folders import KIND, complete, staged


def write(folder, content, names=("a", "b", "last"), **more):
    with staged(folder, "last", **more) as stage:
        for name in names:
            (stage / name).write_text(content)


def contents(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


def hidden(folder):
    return [*folder.glob(".*")]


def test_a_new_folder_appears_with_all_and_an_older_set_gives_way(tmp_path):
    folder = tmp_path / "deep" / "out"
    with staged(folder, "last") as stage:
        (stage / "last").write_text("1")
        (stage / "gone").write_text("1")
        assert not folder.exists() and stage.name.startswith(".")
    (folder / "notes.txt").write_text("the user's")
    (folder / "own").mkdir()
    write(folder, "2", earlier=lambda folder: ["gone", "never there", "../deep"])
    assert contents(folder) == {"a": "2", "b": "2", "last": "2", "notes.txt": "the user's"}
    assert (folder / "own").is_dir() and not hidden(folder) and not hidden(folder.parent)


def test_what_several_write_into_a_stage_comes_together(tmp_path):
    with staged(tmp_path, "last") as outer:
        write(outer, "1", ["a", "case"])
        write(outer, "1")
        assert not contents(tmp_path)
        (outer / "b").write_text("1")
    assert contents(tmp_path) == {"a": "1", "b": "1", "case": "1", "last": "1"} and not hidden(
        tmp_path
    )


@pytest.mark.parametrize(
    "error, shown",
    [
        (KeyboardInterrupt(), KeyboardInterrupt),
        (OSError(28, "No space left on device"), InputError),
        (InputError("no"), InputError),
    ],
)
def test_what_fails_leaves_the_older_set(tmp_path, error, shown):
    write(tmp_path, "1")
    with pytest.raises(shown), staged(tmp_path, "last") as stage:
        (stage / "a").write_text("2")
        raise error
    assert contents(tmp_path) == {"a": "1", "b": "1", "last": "1"} and not hidden(tmp_path)


@pytest.mark.parametrize("nth", range(6))
def test_a_file_that_cannot_be_moved_leaves_the_older_set(tmp_path, monkeypatch, nth):
    """As on Windows, where another program has it open."""
    write(tmp_path, "1")
    replace, calls = os.replace, []

    def fails(source, target):
        calls.append(source)
        if len(calls) == nth + 1:
            raise PermissionError(13, "in use", os.fspath(source))
        replace(source, target)

    monkeypatch.setattr(folders.os, "replace", fails)
    with pytest.raises(OutputError, match="in use"):
        write(tmp_path, "2")
    assert contents(tmp_path) == {"a": "1", "b": "1", "last": "1"} and not hidden(tmp_path)


def test_a_folder_of_the_users_is_not_replaced_by_a_file(tmp_path):
    write(tmp_path, "1", ["a", "last"])
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "kept").touch()
    with pytest.raises(OutputError, match="b: cannot be written there"):
        write(tmp_path, "2")
    assert contents(tmp_path) == {"a": "1", "last": "1"} and (tmp_path / "b" / "kept").exists()


def test_a_refusal_at_the_last_moment_moves_nothing(tmp_path):
    write(tmp_path, "1")

    def refuse(folder):
        raise InputError("another case")

    with refuses("another case"):
        write(tmp_path, "2", earlier=refuse)
    assert set(contents(tmp_path).values()) == {"1"} and not hidden(tmp_path)


def killed_at(nth, folder):
    """The status of a process that writes a set and is killed before a move, or 0 where it has fewer."""
    pid, replace, moves = os.fork(), os.replace, iter(range(nth))
    if pid == 0:

        def killed(source, target):
            if next(moves, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)
            replace(source, target)

        folders.os.replace = killed
        write(folder, "2", earlier=lambda folder: ["gone", "a", "b"])
        os._exit(0)
    return os.waitpid(pid, 0)[1]


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_kill_between_any_two_moves_mixes_nothing_and_is_completed(tmp_path):
    """The process is killed at each of its moves, as nothing outside it could time it."""
    kills = 0
    for nth in range(40):
        folder = tmp_path / str(nth)
        write(folder, "1", ["a", "b", "gone", "last"])
        (folder / "notes.txt").write_text("the user's")
        status = killed_at(nth, folder)
        seen = {name: text for name, text in contents(folder).items() if name != "notes.txt"}
        assert len(set(seen.values())) <= 1, (nth, seen)
        assert "last" not in seen or len(seen) == {"1": 4, "2": 3}[seen["last"]], (nth, seen)
        complete(folder)
        assert contents(folder) == {"a": "2", "b": "2", "last": "2", "notes.txt": "the user's"}
        assert not hidden(folder)
        if status == 0:
            break
        kills += 1
    assert kills == 7  # four that went, three that came


def ended():
    """The number of a process that is there no more."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left_by(process, parent):
    """A stage as a run leaves it that is killed."""
    name = folders.new_name(KIND).replace(f"-{os.getpid()}-", f"-{process}-")
    (parent / name).mkdir(parents=True)
    (parent / name / "picture.png").touch()
    return parent / name


def test_the_next_run_removes_what_a_killed_one_left_and_nothing_of_one_that_lives(tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    dead = [left_by(ended(), folder), left_by(ended(), tmp_path)]
    living = left_by(os.getppid(), folder)
    elsewhere = folder / f"{KIND}-0123abcd-1-ffff"
    elsewhere.mkdir()  # of another computer
    write(folder, "1")
    assert not any(path.exists() for path in dead) and living.exists() and elsewhere.exists()
    os.utime(elsewhere, (0, time.time() - 2 * folders.ABANDONED_S))
    write(folder, "2")
    assert not elsewhere.exists() and living.exists()


@pytest.mark.skipif(folders.fcntl is None, reason="needs locks on folders")
def test_a_run_that_lives_in_another_container_keeps_its_stage(tmp_path):
    """Its number says nothing here, its lock does."""
    stage = left_by(ended(), tmp_path)
    with folders._locked(stage):
        write(tmp_path, "1")
        assert stage.exists()
    write(tmp_path, "2")
    assert not stage.exists()
