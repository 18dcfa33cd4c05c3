"""Rigid registration of a CT to one or more X-ray images.

    from mvreg import Body, Case, View, register, save_result

    case = Case.from_arrays(Body(ct, ct_from_index), View(ap, ap_matrix), View(lat, lat_matrix))
    result = register(case)    # or register("case.json")
    result.verdict, result.world_from_ct, result.predicted_tre_mm
    save_result(result, "out")

Register
    register, assess, before_after    Find a pose; assess a pose; what a registration changed.
    Case, Body, View, sample_case     The input: a CT, its bones or implants, X-rays; an example.
    Result, save_result, EdgeCheck    The output: pose, verdict, expected error; its files.
    Progress, Cancelled, InputError   Callback argument; cancelled work; what is wrong with the input.
Geometry and images
    Camera, CArm, Landmark            A pinhole camera; readings of a C-arm; a point in CT and X-rays.
    calibrate_from_beads              Cameras of X-rays that show beads.
    render, Volume, PreparedCT        DRRs; voxels and their position; a CT to reuse.
    DifferentiableRenderer            DRRs with gradients (needs PyTorch).
    transform_points, exp_se3, log_se3
Sequences
    follow, FrameSequence, Track      Track bones through the frames of X-rays.
Extend
    train, PoseNetwork, PoseLoss      Train a network, or a custom one (needs PyTorch).
    Similarity, Refiner, Fault        Custom similarity, refinement, cause of a poor fit.
Files and processes
    CaseFile, Job                     A case.json without its images; `mvreg` in a child process.
    inside, keep_within, redact_upload_paths

`help(mvreg.register)` describes one of them. World and CT are in LPS, mm; poses are (4, 4) matrices.
"""

import typing as _typing

from MultiViewRegistrationLib import __dir__, __version__  # noqa: F401
from MultiViewRegistrationLib import __getattr__ as _load

if _typing.TYPE_CHECKING:
    from MultiViewRegistrationLib import *  # noqa: F403


def __getattr__(name: str) -> _typing.Any:
    # `help` prints every class that __all__ names, 3,000 lines. Without __all__ it prints the text
    # above, and `import *` takes what is loaded by then: everything.
    if name == "__all__":
        globals().update({each: _load(each) for each in __dir__() if each != "__version__"})
    return _load(name)
