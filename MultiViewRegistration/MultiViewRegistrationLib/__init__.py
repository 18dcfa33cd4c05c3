"""Rigid registration of a CT to one or more X-ray images.

case = Case.from_arrays(Body(ct, ct_from_index), View(ap, ap_matrix), View(lat, lat_matrix))    # or "case.json"
result = register(case)                                            # a pose, a verdict, a predicted error
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import assess, register
    from .errors import Cancelled, InputError
    from .geometry.camera import Camera
    from .geometry.landmarks import Landmark
    from .geometry.machines import CArm
    from .geometry.rigid import transform_points
    from .geometry.twist import exp_se3, log_se3
    from .imaging.ct import Volume
    from .imaging.image_source import inside
    from .io.arrays import Body, View
    from .io.calibration.from_beads import calibrate_from_beads
    from .io.case import Case
    from .io.case_file import CaseFile
    from .io.datasets.chest import sample_case
    from .io.files import keep_within, redact_upload_paths
    from .io.sequence import FrameSequence
    from .jobs import Job
    from .published.own import Refiner, Similarity
    from .registration.optimizer import Progress
    from .registration.prepared_ct import PreparedCT
    from .regressor.loss import PoseLoss
    from .regressor.network import PoseNetwork
    from .rendering.autograd import DifferentiableRenderer
    from .rendering.render import render
    from .report.details import before_after
    from .report.result import Result
    from .report.result_page import save_result
    from .sequence.run import follow
    from .sequence.track_files import Track
    from .training import train

try:
    from ._version import __version__  # by the tag, where pip or Slicer's build has written it
except ModuleNotFoundError:
    from ._archive import archived_version

    #: Else that of the last release: these are its files, or later ones.
    __version__ = archived_version() or "0.1.0"

__all__ = [
    "Body",
    "CArm",
    "Camera",
    "Cancelled",
    "Case",
    "CaseFile",
    "DifferentiableRenderer",
    "FrameSequence",
    "InputError",
    "Job",
    "Landmark",
    "PoseLoss",
    "PoseNetwork",
    "PreparedCT",
    "Progress",
    "Refiner",
    "Result",
    "Similarity",
    "Track",
    "View",
    "Volume",
    "__version__",
    "assess",
    "before_after",
    "calibrate_from_beads",
    "exp_se3",
    "follow",
    "inside",
    "keep_within",
    "log_se3",
    "redact_upload_paths",
    "register",
    "render",
    "sample_case",
    "save_result",
    "train",
    "transform_points",
]

_NEED_TORCH = {"DifferentiableRenderer", "PoseLoss", "PoseNetwork"}


def _has_torch() -> bool:
    try:
        return find_spec("torch") is not None
    except ModuleNotFoundError:  # an import hook that refuses it
        return False


if not _has_torch():  # or `import *` would fail; type checkers see all names
    __all__[:] = [name for name in __all__ if name not in _NEED_TORCH]

_MODULES = {
    "Body": "io.arrays",
    "CArm": "geometry.machines",
    "Camera": "geometry.camera",
    "Cancelled": "errors",
    "Case": "io.case",
    "CaseFile": "io.case_file",
    "DifferentiableRenderer": "rendering.autograd",
    "FrameSequence": "io.sequence",
    "InputError": "errors",
    "Job": "jobs",
    "Landmark": "geometry.landmarks",
    "PoseLoss": "regressor.loss",
    "PoseNetwork": "regressor.network",
    "PreparedCT": "registration.prepared_ct",
    "Progress": "registration.optimizer",
    "Refiner": "published.own",
    "Result": "report.result",
    "Similarity": "published.own",
    "Track": "sequence.track_files",
    "View": "io.arrays",
    "Volume": "imaging.ct",
    "assess": "api",
    "before_after": "report.details",
    "calibrate_from_beads": "io.calibration.from_beads",
    "exp_se3": "geometry.twist",
    "follow": "sequence.run",
    "inside": "imaging.image_source",
    "keep_within": "io.files",
    "log_se3": "geometry.twist",
    "redact_upload_paths": "io.files",
    "register": "api",
    "render": "rendering.render",
    "sample_case": "io.datasets.chest",
    "save_result": "report.result_page",
    "train": "training",
    "transform_points": "geometry.rigid",
}


def __getattr__(name: str) -> Any:
    # On first use: importing the package for its version, or one room of it, must not compile
    # kernels.
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f".{_MODULES[name]}", __name__), name)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        from .errors import install_command

        raise ImportError(f"{name} needs PyTorch: {install_command('torch')}") from error


def __dir__() -> list[str]:
    return __all__
