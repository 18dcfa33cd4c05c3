"""A case.json from its parts, read whole before it is written, so that what is there is good."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import InputError, collect_warnings, warn
from ..imaging.xray import load_image, recognised
from .case import Case
from .case_file import VERSION, CaseFile
from .dicom_geometry import read_header
from .files import relative_path, staged
from .json_reader import parse_numbers, printable

#: What a C-arm's reading needs, and what each is asked for as. Left and right have no default.
C_ARM = {
    "source_to_detector_mm": "source to detector, mm",
    "source_to_isocentre_mm": "source to isocentre, mm",
    "pixel_mm": "pixel on the detector, mm (one number, or between columns,between rows)",
    "rao_lao_deg": "RAO/LAO angle of the detector, degrees, positive towards the patient's left (LAO)",
    "cra_cau_deg": "CRA/CAU angle of the detector, degrees, positive towards the head (CRA)",
    "mirrored": "is the image stored mirrored, as seen from the detector (true), or as the source sees it (false)",
}
C_ARM_OPTIONAL = ("principal_point", "roll_deg", "isocentre_offset_mm")
#: Of a view that does not say: looked for in the image, and refused where that does not tell.
DEFAULT_INTENSITY = "auto"
_PAIRS = ("pixel_mm", "principal_point", "isocentre_offset_mm")


@dataclass(eq=False)
class NewView:
    """A view as it is given: the keys of its entry in the case, its files from where the program runs.

    Attributes
    ----------
    calibrated
        "camera", with its "distortion", or "projection_matrix", as `CalibratedView.content` has them.
    c_arm
        The readings by the names of C_ARM, but for those that a DICOM header says.
    more
        Further keys of the entry.
    """

    name: str
    image: Path
    mask: Path | None = None
    calibrated: dict[str, Any] | None = None
    c_arm: dict[str, Any] = field(default_factory=dict)
    more: dict[str, Any] = field(default_factory=dict)

    @property
    def geometry(self) -> dict[str, Any]:
        """What its entry says of it."""
        return {"c_arm": self.c_arm} if self.calibrated is None else self.calibrated

    def from_header(self) -> dict[str, Any]:
        """What the image's DICOM header says of a C-arm's reading that was not given.

        Raises
        ------
        InputError
            For an image that cannot be read.
        """
        if "c_arm" not in self.geometry:
            return {}
        rows, columns = load_image(self.image, self.more.get("frame")).values.shape
        self.c_arm.setdefault("size", [columns, rows])
        header = read_header(self.image, self.more.get("frame"), self.c_arm)
        return {key: value for key, value in header.values.items() if key not in self.c_arm} if header else {}

    def missing(self) -> dict[str, str]:
        """The readings of a C-arm that are not known, each with the DICOM attributes that would say it, "" for another image."""
        if "c_arm" not in self.geometry:
            return {}
        header = read_header(self.image, self.more.get("frame"), self.c_arm)
        return header.missing if header else {key: "" for key in C_ARM if key not in self.c_arm}


@dataclass(eq=False)
class NewCase:
    """The parts of a case.

    Attributes
    ----------
    more
        Further keys of the case, `ct_unit` and `world_from_ct` among them.
    """

    ct: Path
    views: list[NewView]
    mask: Path | None = None
    more: dict[str, Any] = field(default_factory=dict)


def tells_its_intensity(image: Path, frame: int | None) -> bool:
    """Whether "auto" can tell if bone is dark or bright.

    Raises
    ------
    InputError
        For an image that cannot be read.
    """
    raw = load_image(image, frame)
    try:
        recognised(raw)
    except InputError:
        return False
    return True


def parse_reading(text: str) -> tuple[str, Any]:
    """(key, value) of a C-arm's "key=value".

    Raises
    ------
    InputError
        For an unknown key, or a value that is not of its kind.
    """
    key, _, value = (part.strip() for part in text.partition("="))
    if not value or key not in (*C_ARM, *C_ARM_OPTIONAL):
        keys = ", ".join([*C_ARM, *C_ARM_OPTIONAL])
        raise InputError(f'--c-arm: found "{printable(text)}", expected key=value with one of {keys}; correct it.')
    numbers = parse_numbers(value) or []
    expected = "two numbers with a comma between" if key in _PAIRS else "a number"
    if key == "mirrored":
        expected = "true (as seen from the detector) or false (as the source sees it)"
        if value in ("true", "false"):
            return key, value == "true"
    elif key in _PAIRS and len(numbers) == 2:
        return key, numbers
    elif len(numbers) == 1 and (key == "pixel_mm" or key not in _PAIRS):
        return key, numbers * 2 if key == "pixel_mm" else numbers[0]
    raise InputError(f'--c-arm: {key} is "{printable(value)}", expected {expected}; correct it.')


def write_new_case(path: Path, new: NewCase, *, force: bool = False, copy: bool = False) -> Case:
    """Write a case.json and return the case that it describes, which has been read whole and is good.

    Parameters
    ----------
    path
        Of the new file; its folder is made.
    force
        Replace an existing file.
    copy
        Copy the CT, the images and masks beside it; otherwise they stay where they are, and are named relative to
        it.

    Raises
    ------
    InputError
        For what that refuses, a file that is there already, and readings of a C-arm that are not known, by name;
        nothing is written then.

    Warns
    -----
    UserWarning
        As `Case.load` does.
    """
    if path.exists() and not force:
        raise InputError(
            f"{printable(path)}: exists already, expected the name of a new file; choose another, or replace it with --force."
        )
    _refuse_gaps(new)
    sources = [
        source
        for source in (new.ct, new.mask, *(part for view in new.views for part in (view.image, view.mask)))
        if source
    ]
    for source in sources:
        if not source.exists():
            raise InputError(f"{printable(source)}: no such file; check the path.")
    whole = {source: source.resolve() for source in sources}
    try:
        with staged(path.parent, last=path.name) as staging:
            probe = staging / path.name
            probe.write_text(_text(new, whole))
            with collect_warnings() as caught:
                try:
                    file = CaseFile.read(probe)
                    case = Case.of(file)
                except InputError as error:
                    raise InputError(str(error).replace(printable(probe), printable(path))) from None
            for view, read in zip(new.views, file.views, strict=True):
                if "c_arm" in view.geometry:  # of which some may come from a header
                    view.c_arm = read.geometry.c_arm or {}
                    view.more |= {"assumptions": list(read.assumptions)} if read.assumptions else {}
            named = (
                _copied(sources, staging)
                if copy
                else {source: relative_path(source, path.parent) for source in sources}
            )
            taken = [name for name in named.values() if copy and ((path.parent / name).exists() or name == path.name)]
            if taken:
                raise InputError(
                    f"{printable(path.parent / taken[0])}: exists already, expected it not to be there; choose another folder."
                )
            probe.write_text(_text(new, named))
    except OSError as error:
        raise InputError(
            f"{printable(path)}: cannot be written ({error.strerror or error}), expected a folder with room that may be written "
            "to; choose another."
        ) from None
    for warning in caught:
        warn(warning.replace(printable(probe), printable(path)))
    case.path = path
    case.name = path.resolve().parent.name if path.name == "case.json" else path.stem
    return case


def _refuse_gaps(new: NewCase) -> None:
    missing = [
        f"view {printable(view.name)}: lacks "
        + ", ".join(f"{key} ({why})" if why else key for key, why in readings.items())
        for view in new.views
        if (readings := view.missing())
    ]
    if missing:
        raise InputError(
            f"{'; '.join(missing)}, expected a projection matrix or all readings of a C-arm; give --projection-matrix FILE, "
            "or --c-arm with these keys."
        )


def _text(new: NewCase, named: Mapping[Path, str | Path]) -> str:
    """The case.json with these names of files."""
    views = []
    for view in new.views:
        mask = {"mask": os.fspath(named[view.mask])} if view.mask else {}
        views.append({"name": view.name, "image": os.fspath(named[view.image]), **mask, **view.more, **view.geometry})
    mask = {"mask": os.fspath(named[new.mask])} if new.mask else {}
    return (
        json.dumps({"version": VERSION, "ct": os.fspath(named[new.ct]), **mask, **new.more, "views": views}, indent=1)
        + "\n"
    )


def _copied(sources: list[Path], folder: Path) -> dict[Path, str]:
    """Copies files and folders into `folder`; their names there, each once."""
    named: dict[Path, str] = {}
    for source in dict.fromkeys(sources):
        name, number = source.resolve().name, 1
        while name in named.values():
            number += 1
            name = f"{number}_{source.resolve().name}"
        named[source] = name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)
    return named
