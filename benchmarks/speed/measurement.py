"""What is measured on, and how: a case, its renderers, ours and the peers', and rows of ours beside a peer."""

from __future__ import annotations

import os
import platform
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from MultiViewRegistrationLib import __version__
from MultiViewRegistrationLib.errors import InputError, install_command
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.ct import Volume, attenuation
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.io.datasets.chest import chest_ct
from MultiViewRegistrationLib.io.folders import cache_folder
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.rendering.devices import available_threads
from MultiViewRegistrationLib.rendering.drr import Projector
from MultiViewRegistrationLib.studies.evaluation import truth_of
from MultiViewRegistrationLib.studies.statistics import starting_poses

from ..simulation.cases import demo_case
from ..simulation.projector import Joseph
from . import nanodrr_peer

START_MTRE_MM = 24.0
STARTS = 5
#: How far the poses of a batch lie from the true one, at most, by each axis.
APART_DEG, APART_MM = 2.0, 5.0
PACKAGES = ("numpy", "numba", "torch", "nanodrr", "itk-rtk")

Poses = Sequence[np.ndarray] | np.ndarray
"""(4, 4) each."""


class Job(NamedTuple):
    """One piece of the benchmark that can be run alone: its part and first row, and what measures its rows."""

    name: str
    run: Callable[[], list[dict]]


def compared(
    name: str,
    unit: str,
    sides: Sequence[Sequence[float]],
    peer_name: str,
    *,
    paired: bool = False,
    **more: Any,
) -> dict:
    """The row of measured values.

    Parameters
    ----------
    sides : values of ours, and of the peer; either may be none, where it could not be measured.
    paired : whether repeat i of ours was measured next to repeat i of the peer, so that ratios are
        taken one by one.
    more : `peer_at_least`, whether the peer ran out of time, so that its value and the ratio are
        lower bounds; `failed`, why the row does not count; `note`, what a reader needs to judge it.

    Returns
    -------
    Medians, the ratio peer / ours, which is the larger the better for us, and least and largest
    value of each, of the ratio over all pairs where the two are not `paired`.
    """
    a, b = (np.asarray(side, float) for side in sides)
    both = a.size and b.size
    ratios = (b / a if paired else (b[:, None] / a).ravel()) if both else np.array([])
    return {
        "name": name,
        "unit": unit,
        "ours": _median(a),
        "peer": _median(b),
        "peer_name": peer_name,
        "ratio": float(np.median(b) / np.median(a)) if both else None,
        "repeats": [a.size, b.size],
        "spread": _ends(ratios),
        "ours_range": _ends(a),
        "peer_range": _ends(b),
        **more,
    }


def _median(values):
    return float(np.median(values)) if values.size else None


def _ends(values):
    return [float(values.min()), float(values.max())] if values.size else None


def alternated(
    works: Sequence[Callable[[], object]], repeats: int, factor: float = 1e3
) -> list[list[float]]:
    """The seconds times `factor` that each work took, each `repeats` times, in turns, so that a busy moment hits all of them.

    Every work is done once before the clock starts.
    """
    for work in works:
        work()
    times: list[list[float]] = [[] for _ in works]
    for _ in range(repeats):
        for work, spent in zip(works, times, strict=True):
            began = perf_counter()
            work()
            spent.append(factor * (perf_counter() - began))
    return times


class Setting:
    """The chest CT of the demo and its two X-rays, and renderers of it.

    Each is made on first use, and shared by all jobs.
    """

    def __init__(self, case: Case | None = None, device: str | None = None) -> None:
        """
        Parameters
        ----------
        case : another than the demo's, with truth, targets and two views of one size.
        device : on which both sides work, as torch names it; None for our own on the processor's
            threads, and the peers on the processor.
        """
        self.device = device
        if case is not None:
            self.case = case

    @cached_property
    def case(self) -> Case:
        """The demo's case: two 512x512 X-rays of the chest by RTK's projector, kept in the user's cache folder."""
        chest_ct()  # fetched where it is gone: a case that is kept only refers to it
        path = cache_folder() / f"bench-{__version__}" / "case.json"
        return Case.load(path if path.is_file() else demo_case(path.parent))

    @property
    def pose(self) -> np.ndarray:
        """(4, 4) the true `world_from_ct` of the case."""
        return truth_of(self.case)[0]

    @property
    def targets(self) -> np.ndarray:
        """(n, 3) of the case, CT mm."""
        return truth_of(self.case)[1]

    @cached_property
    def volume(self) -> Volume:
        """The CT as linear attenuation, at full resolution.

        Of the chest 512 x 512 x 133 voxels of 0.70 x 0.70 x 2.5 mm.
        """
        return attenuation(self.case.ct)

    @cached_property
    def anatomy(self) -> PreparedCT:
        device = self.device or "cpu"
        return PreparedCT(self.case.ct).on_device("torch-cpu" if self.device == "cpu" else device)

    @cached_property
    def projector(self) -> Projector:
        return Projector(self.volume)

    @cached_property
    def subject(self):
        """nanodrr's side of `volume`."""
        return nanodrr_peer.subject_of(self.volume, self.device or "cpu")

    @cached_property
    def half_subject(self):
        """The same in bfloat16."""
        return nanodrr_peer.subject_of(self.volume, self.device or "cpu", half=True)

    @cached_property
    def joseph(self) -> Joseph:
        """RTK's side of `volume`, with as many threads as our own kernels.

        InputError where itk-rtk is missing.
        """
        try:
            import itk
        except ImportError as error:
            raise InputError(
                "the benchmark runs beside its peers, but the Python package itk-rtk is missing; "
                f"run {install_command('bench')}."
            ) from error
        itk.MultiThreaderBase.SetGlobalMaximumNumberOfThreads(available_threads())
        itk.MultiThreaderBase.SetGlobalDefaultNumberOfThreads(available_threads())
        return Joseph((self.volume.values,), self.volume.ct_from_index)

    def renderer(self, projector: Projector, cameras: Sequence[Camera], poses: Poses) -> Callable:
        """A function that renders images, with their Jacobians if it is called with True: on the processor one after the other, on a
        device all at once. It returns the images (n, rows, columns) of that volume, which a device
        may still be working on."""
        if self.device is not None:
            from MultiViewRegistrationLib.rendering.torch_drr import TorchProjector

            batch = TorchProjector(projector, self.device)
            columns, rows = cameras[0].size
            middle = np.zeros(3)
            return lambda jacobian: batch.project(
                batch.beams(cameras, poses, middle), rows, columns, jacobian=jacobian
            )[0]

        def one_by_one(jacobian):
            seen = zip(cameras, poses, strict=True)
            return [
                projector.render(camera, pose, jacobian=jacobian).image for camera, pose in seen
            ]

        return one_by_one

    def wait(self) -> None:
        """Until the device is done."""
        if self.device is not None and self.device.startswith("cuda"):
            nanodrr_peer.modules().torch.cuda.synchronize(self.device)

    def finished(self, work: Callable[[], object]) -> Callable[[], None]:
        """Does the work, and waits until the device is done with it."""

        def whole():
            work()
            self.wait()

        return whole

    def camera(self, pixels: int) -> Camera:
        """The case's first camera with `pixels` x `pixels` on the same detector."""
        camera = self.case.views[0].camera
        factor = camera.size[0] / pixels
        shift = 0.5 / factor - 0.5
        smaller = np.array([[1 / factor, 0, shift], [0, 1 / factor, shift], [0, 0, 1]])
        return replace(camera, intrinsics=smaller @ camera.intrinsics, size=(pixels, pixels))

    def poses(self, count: int) -> np.ndarray:
        """(count, 4, 4) about the true pose, the first of them itself."""
        middle = (np.array(self.volume.size) - 1) / 2
        pivot = rigid.transform_points(self.pose @ self.volume.ct_from_index, middle)
        largest = np.repeat([np.radians(APART_DEG), APART_MM], 3)
        twists = np.random.default_rng(0).uniform(-1, 1, (count, 6)) * largest
        twists[0] = 0
        return rigid.about(pivot, rigid.exp_se3(twists)) @ self.pose

    def starts(self) -> np.ndarray:
        """(STARTS, 4, 4) poses with an mTRE of START_MTRE_MM."""
        edges = (START_MTRE_MM, START_MTRE_MM)
        return starting_poses(self.pose, self.targets, edges, STARTS, seed=0)


def machine(device: str | None = None) -> dict:
    """CPU, cores, threads used, memory, system, versions.

    The same for two runs on the same machine.

    device: of torch, on which something is measured; a CUDA device is named with its driver.
    """
    versions = {"multiview-registration": __version__, "python": platform.python_version()}
    for name in (*PACKAGES, *["triton"] * bool(device)):
        with suppress(PackageNotFoundError):
            versions[name] = version(name)
    memory_gib = None
    with suppress(AttributeError, ValueError, OSError):  # not on Windows
        memory_gib = round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
    return {
        **({} if device is None else {"card": _card(device)}),
        "cpu": _cpu(),
        "cores": os.cpu_count(),
        "threads_used": available_threads(),
        "memory_gib": memory_gib,
        "system": f"{platform.system()} {platform.machine()}",
        "versions": versions,
    }


def described(machine: dict) -> str:
    """The machine in one line."""
    versions = ", ".join(f"{name} {number}" for name, number in machine["versions"].items())
    memory = f", {machine['memory_gib']} GiB" if machine["memory_gib"] else ""
    card = f"{machine['card']}; " if "card" in machine else ""
    cores = f"{machine['cores']} cores, {machine['threads_used']} threads used"
    return f"{card}{machine['cpu']}, {cores}{memory}, {machine['system']}; {versions}"


def now() -> str:
    """The time of day, with its zone, to the minute."""
    return datetime.now().astimezone().isoformat(sep=" ", timespec="minutes")


def _card(device):
    import torch

    if not device.startswith("cuda"):
        return f"device {device}"
    about = torch.cuda.get_device_properties(device)
    return f"{about.name}, {round(about.total_memory / 2**30)} GiB, CUDA {torch.version.cuda}"


def _cpu():
    with suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
        named = next(line for line in lines if line.startswith("model name"))
        return named.partition(":")[2].strip()
    return platform.processor() or "unknown CPU"
