"""The cases of the record: each writes its files into a folder and says which commands are run there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import simple_body as body
from simple_body import CArm, save, write_body

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
REGISTER = ["register", "case.json", "--out", "out"]


@dataclass(frozen=True)
class RecordCase:
    """make: takes a folder; returns commands as lists of words.   needs: a folder of the shared data.   slow: takes more than 5 s."""

    name: str
    make: Callable[[Path], list[list[str]]]
    needs: Path | None = None
    slow: bool = False


CASES: dict[str, RecordCase] = {}


def case(function=None, **more):
    """Puts a function among the cases."""
    if function is None:
        return lambda each: case(each, **more)
    name = function.__name__.replace("_", "-")
    CASES[name] = RecordCase(name, function, **more)
    return function


@case
def two_views(folder):
    save(folder, write_body(folder))
    return [REGISTER]


@case
def three_views(folder):
    save(folder, write_body(folder, (CArm(), CArm(60, 10), CArm(-50, -15))))
    return [REGISTER]


@case
def one_view(folder):
    save(folder, write_body(folder, (CArm(20, 5),)))
    return [REGISTER]


@case
def c_arms_mirrored(folder):
    save(
        folder,
        write_body(folder, [replace(each, mirrored=True) for each in (CArm(-10, 12), CArm(75, -5))], geometry="c_arm"),
    )
    return [REGISTER]


@case
def search_without_a_start(folder):
    save(
        folder,
        write_body(folder) | {"world_from_ct": None, "search": {"rotation_deg": 20, "translation_mm": 30}},
    )
    return [[*REGISTER, "--start", "search"]]


def landmarks(c_arms) -> list[dict]:
    points = np.array(body.TARGETS)[[0, 1, 2, 4, 6, 7]] * [[1], [0.8], [1.1], [0.9], [1], [0.7]]
    seen = {f"view{n + 1}": each.project(np.c_[points, np.ones(6)] @ body.TRUTH[:3].T) for n, each in enumerate(c_arms)}
    off = np.random.RandomState(3).standard_normal((2, 6, 2))
    return [
        {"name": f"L{n}", "ct": points[n].tolist(),
         "views": {name: (pixels[n] + off[v, n]).tolist() for v, (name, pixels) in enumerate(seen.items())}}
        for n in range(6)
    ]  # fmt: skip


@case
def by_landmarks(folder):
    save(folder, write_body(folder) | {"world_from_ct": None, "landmarks": landmarks(body.TWO_VIEWS)})
    return [[*REGISTER, "--start", "landmarks"]]


@case
def uncalibrated_view(folder):
    content = write_body(folder, geometry="camera")
    camera = content["views"][1]["camera"]
    camera["camera_from_world"] = (
        np.array(camera["camera_from_world"]) @ body.pose([1, 0.5, -0.7], [2, -1, 3])
    ).tolist()
    content["views"][1] |= {"rotation_sd_deg": None, "translation_sd_mm": None}
    save(folder, content)
    return [REGISTER]


@case
def structure(folder):
    content = write_body(folder)
    body.write_ct(folder / "mask.mha", body.structure_mask())
    save(folder, content | {"mask": "mask.mha"})
    return [REGISTER]


@case
def fault_image_mirrored(folder):
    content = write_body(folder)
    body.write_image(folder / "view2.mha", np.ascontiguousarray(body.xray(CArm(90), number=1)[:, ::-1]))
    save(folder, content)
    return [[*REGISTER, "--causes"]]


@case
def refused_without_a_start(folder):
    save(folder, write_body(folder) | {"world_from_ct": None})
    return [REGISTER]


@case
def tracked(folder):
    moving(folder)
    return [
        ["track", "case.json", "--out", "out"],
        ["track", "case.json", "--pace", "quick", "--out", "quick"],
    ]


def moving(folder) -> dict:
    """Five frames, the fourth one blank."""
    content = write_body(folder)
    turn = [body.pose([1.5 * n, -n, 0.7 * n], [2 * n, -1.5 * n, n]) @ body.TRUTH for n in range(5)]
    for number, c_arm in enumerate(body.TWO_VIEWS):
        frames = [body.xray(c_arm, each, number=10 * n + number) for n, each in enumerate(turn)]
        frames[3][:] = 7
        body.write_image(folder / f"view{number + 1}.mha", np.stack(frames), [1.25, 1.25, 1])
    save(folder, content)
    return content


@case
def exported(folder):
    save(folder, write_body(folder) | {"reference_from_world": body.pose([5, 10, 15], [40, 50, 60]).tolist()})
    return [
        REGISTER,
        ["export", "out", "--as", "all", "--case", "case.json", "--out", "all"],
        [
            "export",
            "out",
            "--as",
            "resampled-ct",
            "drr",
            "cameras",
            "--volume",
            "mha",
            "--case",
            "case.json",
            "--out",
            "seen",
        ],
    ]


@case
def evaluated(folder):
    save(folder, write_body(folder))
    (folder / "page").mkdir()
    return [["evaluate", "case.json", "--starts", "4", "--json", "--page", "page/page.md"]]


for name in ("pelvis-lateral", "pelvis-oblique-1", "pelvis-oblique-2", "pelvis-three-views-wires"):
    CASES[name] = RecordCase(
        name,
        lambda folder, name=name: [["register", str(SHARED / "sim" / name), "--out", "out"]],
        needs=SHARED / "sim",
    )
