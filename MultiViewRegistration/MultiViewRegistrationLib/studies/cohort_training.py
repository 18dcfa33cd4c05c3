"""The regressors of a cohort: one for all cases of the same CT, cameras and nominal pose, trained by whichever worker comes to it."""

from __future__ import annotations

import shutil
from pathlib import Path

from ..errors import InputError
from ..io.case import Case
from ..io.case_file import CaseFile
from ..io.files import sha256
from ..regressor.learning import train
from ..regressor.model_store import Card
from .cohort_records import Plan, Record, digest


def group(file: CaseFile) -> str:
    """The same for cases that share a regressor: those with the same file of the CT, cameras, nominal pose and range."""
    geometries = [view.geometry for view in file.views]
    cameras = [
        [g.projection_matrix.tolist(), None]
        if g.camera is None
        else [g.camera.projection_matrix.tolist(), list(g.camera.size)]
        for g in geometries
    ]
    return digest(
        [
            str(file.ct.path.resolve()),
            file.ct_unit,
            file.mask and str(file.mask.path.resolve()),
            cameras,
            file.world_from_ct is not None and file.world_from_ct.tolist(),
            file.search,
            file.training,
        ]
    )


def fingerprint(plan: Plan, number: int) -> str:
    """Of the files on which a case's regressor hangs. InputError for a case that cannot be read."""
    file = CaseFile.read(plan.cases[number])
    return digest([sha256(part.path) for part in (file.ct, file.mask) if part])


def trained(plan: Plan, number: int, folder: Path, device: str) -> Record:
    """What came of training a case's regressor on a device, or going on where its training stopped. InputError where that cannot be."""
    from ..regressor.model_store import ct_sha256

    case, model = Case.load(plan.cases[number]), plan.model(folder, number)
    try:
        card = Card.read(model)
        begun = card.ct_sha256 == ct_sha256(case.ct)
    except InputError:
        begun = False
    if not begun:  # it was stopped before anything was saved, or is of what the CT was before
        shutil.rmtree(model, ignore_errors=True)
    if not begun or not card.finished:
        card = train(
            case, model, minutes=plan.options["minutes"], seed=plan.options["seed"], resume=begun, device=device
        ).card
    return Record("", {"steps": card.done, "error_mm": card.error_mm, "device": card.device})


def model(plan: Plan, number: int, folder: Path) -> Path:
    """The folder of a case's regressor, trained before. InputError where that failed, with the reason."""
    training = Record.read(plan.training(folder, number))
    if training is None or training.error:
        raise InputError(f"no regressor could be trained for it: {training.error if training else 'its worker ended.'}")
    return plan.model(folder, number)
