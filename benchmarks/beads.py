"""Cameras found from beads in X-rays of real people's CTs by RTK.

python -m benchmarks beads SCENES [--seed N] --data ../shared/data --rows ROWS.jsonl

Each scene is one of the people of `bent`, and the phantom of Resources (12 steel balls of 3 mm) 40
mm from the bone, in two X-rays of 0.2 mm pixels, each with a principal point up to 120 px off the
middle of its image. A row has of each image how many balls that lie whole in it were found and
matched, how far they are from the truth, and how far the camera is off at points within 80 mm of
the phantom.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from time import perf_counter, process_time

import numpy as np

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.bead_model import read_bead_model
from MultiViewRegistrationLib.io.calibration.from_beads import calibrate_from_beads

from . import DATA, ROOT
from .bent import PEOPLE, person
from .simulation.beads import BeadScene, random_scene
from .simulation.body import Body, bone_points, middle
from .simulation.projector import RtkProjector
from .simulation.simulator import SimulatedXRay

PHANTOM = ROOT / "MultiViewRegistration" / "Resources" / "Phantom" / "phantom.csv"
NEAR_MM, POINTS = 80.0, 200


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks beads", description=__doc__)
    parser.add_argument("scenes", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--rows", type=Path, required=True)
    options = parser.parse_args()
    model, began = read_bead_model(PHANTOM), perf_counter()
    for number in range(options.scenes):
        rng = np.random.default_rng([options.seed, number])
        name = list(PEOPLE)[number % len(PEOPLE)]
        ct, body = person(name, options.data)
        points = bone_points(body)
        centre = np.array([*middle(body)[:2], points[:, 2].mean()])
        scene = random_scene(rng, model.points, centre, off_px=rng.uniform(0, 120))
        xray = SimulatedXRay(
            pixel_mm=0.2,
            photons=float(rng.uniform(300, 1500)),
            round_field=bool(rng.random() < 0.3),
        )
        images = scene.take(RtkProjector(Body.from_hu(body, 60)), rng, xray)
        about = {"seed": options.seed, "scene": number, "person": name, "photons": xray.photons}
        started = process_time()
        rows = measured(scene, images, xray, model, rng)
        with options.rows.open("a") as file:
            for row in rows:
                file.write(json.dumps(about | row | {"seconds": process_time() - started}) + "\n")
        print(f"{number + 1} of {options.scenes}, {perf_counter() - began:.0f} s", flush=True)


def measured(scene: BeadScene, images: list, xray: SimulatedXRay, model, rng) -> list[dict]:
    """A row for each image."""
    try:
        found = calibrate_from_beads(images, model, pixel_mm=xray.pixel_mm)
    except InputError as error:
        return [{"refused": str(error)}]
    rows = []
    for camera, true in zip(found, scene.cameras, strict=True):
        truth = dict(zip(model.names, scene.pixels(true), strict=True))
        reach = scene.radii_px(true).max() + 3
        inside = xray.shows(scene.pixels(true) + reach, true.size)
        inside &= xray.shows(scene.pixels(true) - reach, true.size)
        shown = [name for name, whole in zip(model.names, inside, strict=True) if whole]
        off = {bead.name: np.linalg.norm(bead.pixel - truth[bead.name]) for bead in camera.beads}
        away = rng.normal(size=(POINTS, 3))
        away *= (
            NEAR_MM
            * rng.random((POINTS, 1)) ** (1 / 3)
            / np.linalg.norm(away, axis=1, keepdims=True)
        )
        near = scene.model.mean(axis=0) + away
        world = rigid.transform_points(scene.world_from_model, near)
        apart = np.linalg.norm(camera.camera.project(near) - true.project(world), axis=1)
        rows.append(
            {
                "image": camera.name,
                "shown": len(shown),
                "found": sum(bool(name in off and off[name] < 2) for name in shown),
                "false": sum(bool(distance > 3) for distance in off.values()),
                "off_px": list(map(float, off.values())),
                "camera_off_px": [float(np.median(apart)), float(np.percentile(apart, 95))],
                "sd_px": [camera.sd_px, camera.bootstrap_sd_px],
                "residual_px": camera.residual_px,
                "uncertainty": camera.uncertainty,
                "principal_point_off_px": float(
                    np.linalg.norm(camera.camera.principal_point - true.principal_point)
                ),
                "distance_off_percent": 100 * float(camera.camera.focal_px / true.focal_px - 1),
            }
        )
    return rows


if __name__ == "__main__":
    main()
