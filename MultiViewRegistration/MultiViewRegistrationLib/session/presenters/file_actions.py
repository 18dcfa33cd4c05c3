"""Files that come together, what is open beside them, and what can be done with them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ...io.calibration.calibrated import CalibratedView
from ...io.recognise import CTFiles, FoundFiles
from ...translation import _
from .external_files import Question

#: Answers that close what is open, where that is replaced.
CLOSING = ("open", "new")


@dataclass(frozen=True)
class OpenXRay:
    """An X-ray of the registration that is open.

    Attributes
    ----------
    id
        Of its node.
    size
        (columns, rows).
    """

    id: str
    name: str
    size: tuple[int, int]
    needs_geometry: bool


@dataclass(frozen=True)
class OpenCase:
    """What is open, as far as it decides what becomes of files.

    Attributes
    ----------
    there
        Whether a registration is open.
    replaces
        Whether a case that is opened takes its place.
    ct, ct_coming
        Whether it has a CT; whether one is being read, or waits for its unit.
    ct_in_question
        Whether the user is asked about another CT, which may take its place or begin another case.
    ct_header
        Of its CT, see `identity.ct_header`.
    xrays
        Its X-rays.
    xrays_coming
        Whether X-rays are being read.
    scouts
        The names of the CT's scouts that are no X-rays yet; None where it has none, or that is not
        known.
    companions
        Files that came since the last calibration, and may hold a part of one.
    """

    there: bool = False
    replaces: bool = True
    ct: bool = False
    ct_coming: bool = False
    ct_in_question: bool = False
    ct_header: Mapping[str, str] = field(default_factory=dict)
    xrays: tuple[OpenXRay, ...] = ()
    xrays_coming: bool = False
    scouts: tuple[str, ...] | None = None
    companions: tuple[Path, ...] = ()

    @property
    def ct_ready(self) -> bool:
        """Whether the CT is the one that will be registered."""
        return self.ct and self.ct_settled

    @property
    def ct_settled(self) -> bool:
        """Whether no other CT will be registered, as far as known."""
        return not (self.ct_coming or self.ct_in_question)


# Files


@dataclass(frozen=True)
class Dropped:
    """Files that came together.

    Attributes
    ----------
    folder
        That a page sent them into; None for files of this computer.
    preferred
        CT or XRAY where a person said so.
    replacing
        Whether what is open is closed first, which the person knows.
    doubt
        Whether they are of the patient of what is open, see `identity.doubt_about`.
    """

    found: FoundFiles
    folder: Path | None = None
    preferred: str = ""
    replacing: bool = False
    doubt: str = ""


@dataclass(frozen=True)
class CTs:
    """CTs of which one is registered.

    `preferred` where the person said that it is one, so that it takes the place of another;
    `scouts` where some came with it.
    """

    files: tuple[CTFiles, ...]
    preferred: bool = False
    scouts: bool = False


@dataclass(frozen=True)
class Part:
    """Files of one kind, or of the same several kinds that they may be. SCOUTS have none.

    They were read with their CT.
    """

    kinds: tuple[str, ...]
    files: tuple[Path, ...] = ()


Files: TypeAlias = Dropped | CTs | Part
#: A kind of its own: the scouts that came with a CT.
SCOUTS = "scouts"


# What comes of them


@dataclass(frozen=True)
class PendingQuestion:
    """Questions to the user.

    Attributes
    ----------
    title
        Which files, and what is unclear.
    questions
        The open and the answered ones; none where the files wait.
    waits_for
        What they wait for.
    """

    title: str
    questions: tuple[Question, ...] = ()
    waits_for: str = _("X-rays")


@dataclass(frozen=True)
class Open:
    """Open a case, a result, a track or a scene, of files that were sent into a folder."""

    path: Path
    folder: Path | None


class Step(Enum):
    """What needs no further details."""

    CLOSE = "close what is open"
    BEGIN = "have a registration to work on"
    REMOVE_XRAYS = "remove all X-rays"
    USE_SCOUTS = "add the scouts of the CT as X-rays"
    OF_THIS_PATIENT = "keep that images of nobody knows whom are of this patient"


@dataclass(frozen=True)
class Keep:
    """Go on with these files."""

    files: tuple[Files, ...]


@dataclass(frozen=True)
class ReadCT:
    """Read a CT, in place of the one that is there."""

    ct: CTFiles


@dataclass(frozen=True)
class ReadXRays:
    """Add X-rays, of a case.json its views."""

    files: tuple[Path, ...]


@dataclass(frozen=True)
class ReadMask:
    """Register only what a mask of the CT covers."""

    path: Path


@dataclass(frozen=True)
class UseXRayMask:
    """Use of an X-ray, by its ID, only what a mask covers."""

    path: Path
    xray: str


@dataclass(frozen=True, eq=False)
class Place:
    """Put the CT at a pose, world_from_ct (4, 4), LPS."""

    world_from_ct: np.ndarray


@dataclass(frozen=True)
class UseCamera:
    """Give an X-ray, by its ID, the camera of a file."""

    xray: str
    camera: CalibratedView = field(compare=False)
    path: Path


@dataclass(frozen=True)
class UseLandmarks:
    """Place the landmarks of a file in the CT, for `of` CT, or in an X-ray, by its ID.

    `place` says where those of an X-ray lie, see `external_files.landmarks_to_xray`.
    """

    path: Path
    of: str
    place: str = ""


@dataclass(frozen=True)
class AddImplant:
    """Register the surface of an implant, too, of one of MATERIALS."""

    path: Path
    material: str


@dataclass(frozen=True)
class ShowModel:
    """Show a surface with the CT."""

    path: Path


@dataclass(frozen=True)
class FindBeads:
    """Look for the beads of a phantom in the X-rays."""

    path: Path


Action: TypeAlias = (
    Step
    | Open
    | Keep
    | ReadCT
    | ReadXRays
    | ReadMask
    | UseXRayMask
    | Place
    | UseCamera
    | UseLandmarks
    | AddImplant
    | ShowModel
    | FindBeads
)
Plan: TypeAlias = PendingQuestion | tuple[Action, ...] | None
