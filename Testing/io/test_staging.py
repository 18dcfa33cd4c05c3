"""Files that belong together come all at once, whenever the program is killed, and its leftovers go."""

import os
import signal
from pathlib import Path

import pytest
from helpers.refusals import refuses

from MultiViewRegistrationLib.errors import InputError, OutputError
from MultiViewRegistrationLib.io import folders
from MultiViewRegistrationLib.io.folders import complete, staged


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


def test_a_file_in_use_is_replaced_once_it_is_free(tmp_path, monkeypatch):
    """As on Windows, where a file that another program has open cannot be replaced."""
    write(tmp_path, "1")
    replace = os.replace

    def fails(source, target):
        if Path(target) == tmp_path / "b":
            raise PermissionError(13, "in use", os.fspath(target))
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(folders.os, "replace", fails)
        with pytest.raises(OutputError, match="b cannot be written .in use."):
            write(tmp_path, "2")
    assert "last" not in contents(tmp_path)
    complete(tmp_path)
    assert contents(tmp_path) == {"a": "2", "b": "2", "last": "2"} and not hidden(tmp_path)


def test_a_folder_of_the_users_is_not_replaced_by_a_file(tmp_path):
    write(tmp_path, "1", ["a", "last"])
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "kept").touch()
    with pytest.raises(OutputError, match="b is a folder"):
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
    """Return the status of a process that writes a set and is killed before its nth file operation."""
    pid, operations = os.fork(), iter(range(nth))
    if pid == 0:
        for name in ("replace", "unlink"):
            original = getattr(os, name)

            def killed(*arguments, _original=original, **options):
                if next(operations, None) is None:
                    os.kill(os.getpid(), signal.SIGKILL)
                return _original(*arguments, **options)

            setattr(os, name, killed)
        write(folder, "2", earlier=lambda folder: ["gone", "a", "b"])
        os._exit(0)
    return os.waitpid(pid, 0)[1]


@pytest.mark.skipif(os.name == "nt", reason="needs SIGKILL")
def test_a_kill_before_any_file_operation_leaves_the_old_or_the_new_set(tmp_path):
    outcomes = set()
    for nth in range(40):
        folder = tmp_path / str(nth)
        write(folder, "1", ["a", "b", "gone", "last"])
        (folder / "notes.txt").write_text("the user's")
        status = killed_at(nth, folder)
        complete(folder)
        left = contents(folder)
        assert left.pop("notes.txt") == "the user's"
        assert left in (
            {"a": "1", "b": "1", "gone": "1", "last": "1"},
            {"a": "2", "b": "2", "last": "2"},
        )
        outcomes.add(left["last"])
        if status == 0:
            break
    assert outcomes == {"1", "2"} and nth > 6
