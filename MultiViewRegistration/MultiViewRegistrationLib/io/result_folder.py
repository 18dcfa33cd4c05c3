"""What a folder with a result holds: of which case it is, and which files came with it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from ..errors import InputError
from .files import describe, printable, read_json, sha256, write_json

RESULT = "result.json"
SCHEMA = Path(__file__).with_name("result.schema.json")
TRACK = "track.json"


def belongs_to(folder: Path, case_file: str | None, images: Collection[str]) -> bool:
    """Return whether the result in a folder is that of a case.

    The names of their files agree, where both have one, and they share an X-ray.

    Parameters
    ----------
    case_file
        Name of the case's file, None for a case without.
    images
        `Case.images`.
    """
    content = _content(folder)
    case = content.get("case")
    known = case if isinstance(case, dict) else {}
    file = known.get("file")
    shared = {*_texts(known.get("images")), *_texts(content.get("inputs"))} & {*images}
    return bool(shared) and (case_file is None or file is None or case_file == file)


def refuse_other_case(folder: Path, case_file: str | None, images: Collection[str]) -> None:
    """Refuse a folder that holds the result of another case, see `belongs_to`.

    Raises
    ------
    InputError
        Naming the folder.
    """
    if (folder / RESULT).is_file() and not belongs_to(folder, case_file, images):
        raise InputError(
            f"{printable(folder)}: holds the result of another case, expected a folder without "
            "one, or with an older result of this case; name another folder, or remove this one."
        )


def earlier_files(
    folder: Path, case_file: str | None, images: Collection[str], kept: Collection[str] = ()
) -> list[str]:
    """Return the files that a result of a case replaces in a folder, for `staged`.

    Raises
    ------
    InputError
        As `refuse_other_case`.
    """
    refuse_other_case(folder, case_file, images)
    return files_of_result(folder, kept)


def files_of_result(folder: Path, kept: Collection[str] = ()) -> list[str]:
    """Return the names of the files that came with the result in a folder, as they came.

    None where there is no result; of a damaged one its transforms, which must not outlive it.

    Parameters
    ----------
    kept
        SHA-256 of files to leave out, as a mask that the case names by now.
    """
    if not (folder / RESULT).is_file():
        return []
    try:
        files = _content(folder)["files"]
    except (InputError, KeyError):
        files = None
    if not isinstance(files, dict):
        return [file.name for file in folder.glob("*world_from_ct*.tfm")]
    there = [name for name in files if Path(name).name == name and (folder / name).is_file()]
    return [
        name for name in there if files[name] not in kept and files[name] == sha256(folder / name)
    ]


def list_files(result: Path, names: Collection[str]) -> None:
    """Add files beside a result.json to those that came with it."""
    content = read_json(result)
    content["files"] = {
        **content.get("files", {}),
        **{name: sha256(result.with_name(name)) for name in names},
    }
    write_json(result, content)


def folder_for(chosen: Path, name: str) -> Path:
    """Return the folder for files where a person has chosen one.

    That is the folder itself if it is new or empty; else a new one of this name, in it, or beside
    it where it has such files already (`holds_export`).
    """
    if not chosen.is_dir() or all(path.name.startswith(".") for path in chosen.iterdir()):
        return chosen
    return (chosen.parent if holds_export(chosen) else chosen) / name


def holds_export(folder: Path) -> bool:
    """Return whether a result or a track lies in a folder."""
    return any((folder / name).is_file() for name in (RESULT, TRACK))


def _content(folder: Path) -> dict:
    content = read_json(folder / RESULT)
    if not isinstance(content, dict) or "world_from_ct" not in content:
        raise InputError(
            f"{printable(folder / RESULT)}: is {describe(content)} and no result, expected a "
            "folder without such a file; choose another folder."
        )
    return content


def _texts(values: object) -> list[str]:
    """Return the texts in a list, or among the values of an object, whatever it is."""
    if isinstance(values, dict):
        values = list(values.values())
    found = values if isinstance(values, list) else []
    return [value for value in found if isinstance(value, str)]
