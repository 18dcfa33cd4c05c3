"""A result.json into the scene, beside the case that it was found from: the pose, and how it came about, as an entry of the history."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..geometry.camera import Camera
from ..io.case import Case
from ..io.json_reader import read_json
from ..io.navigation.registration_export import RegistrationExport
from ..mrml.fingerprint import fingerprint, of_geometry
from ..mrml.loading import ReadCase, camera_content, read_case
from ..mrml.registration import Registration
from .history import Entry, History


def read_result(path: str | os.PathLike, case: str | os.PathLike | None = None) -> ReadResult:
    """Reads a result.json and its case, in any thread; what is returned puts them into a scene, in the main thread.

    case: the case.json that it was found from, or its folder; None for the one beside the result.

    InputError for what is wrong in either, where there is no case, and where that has other views.
    """
    path = Path(path)
    path = path / "result.json" if path.is_dir() else path
    exported, told = RegistrationExport.read(path), read_json(path)
    case = Path(case) if case is not None else path.with_name("case.json")
    if not case.exists():
        raise InputError(
            f"{path.name}: found no case.json beside it, expected the case that the result was found from; name it "
            "(--case CASE), or put both into one folder."
        )
    return ReadResult(read_case(case), exported, told, exported.beside(case).warning)


@dataclass(frozen=True, eq=False)
class ReadResult:
    """A result.json and its case on the way into a scene.   told: its content.   warning: why it should not be used, or None."""

    load: ReadCase
    exported: RegistrationExport
    told: dict
    warning: str | None

    @property
    def case(self) -> Case:
        return self.load.case

    def __call__(self, scene) -> Registration:
        """The registration that they become there. InputError where the result is of other views."""
        registration = self.load(scene)
        history = History(registration)
        history.note("before")
        entry = _entry(registration, self.exported, self.told, self.warning)
        history.add(entry)
        history.put(entry)
        return registration


def _entry(registration: Registration, exported: RegistrationExport, told: dict, warning: str | None) -> Entry:
    """The history's entry; one with a warning does not count as a result of the scene's inputs."""
    views = {view.name: view for view in registration.xrays}
    cameras, similarity = {}, {}
    for of_view in told["views"]:
        view = views.get(of_view["name"])
        if view is None:
            raise InputError(
                "result.json: tells of views that its case does not have, expected the case that it was found from; name "
                "that one."
            )
        if isinstance(of_view.get("similarity"), (int, float)):
            similarity[view.name] = float(of_view["similarity"])
        if "given_camera_from_world" in of_view or "given_intrinsics" in of_view:
            camera = view.camera
            intrinsics = np.array(of_view.get("intrinsics", camera.intrinsics), float)
            corrected = Camera(intrinsics, np.array(of_view["camera_from_world"], float), camera.size)
            cameras[view.name] = {**camera_content(corrected), "of": of_geometry(view)}
    reasons = [str(reason) for reason in told.get("reasons", [])]
    return Entry.now(
        str(told.get("start", {}).get("method", "given")),
        exported.world_from_ct,
        similarity=similarity,
        cameras=cameras,
        fingerprint="" if warning else fingerprint(registration),
        reasons=[*([warning] if warning else []), *reasons],
        seconds=told.get("seconds", {}).get("total"),
        verdict=exported.verdict,
        upper95_mm=(told.get("predicted_tre_mm") or {}).get("upper95"),
    )
