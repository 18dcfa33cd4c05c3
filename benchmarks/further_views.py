"""Takes the further view that `mvreg plan` proposes, and others in its place.

python -m benchmarks further_views CASES --seed N --data ../shared/data --rows ROWS.jsonl

Each case is one of five people with two X-rays by RTK 20 to 40 degrees apart, whose cameras are a
C-arm's readings and as wrong as those may be. A third X-ray is taken at the angles that the plan
puts first, in the middle and last, with a camera as wrong, and all three are registered from where
two ended. A row has the error of bone that both X-rays show, beside what the plan said. What must
hold, fixed before seed 1 was run: in the median the first leaves less than two views do, and less
than the last.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from MultiViewRegistrationLib.assessment.metrics import default_targets, mtre
from MultiViewRegistrationLib.assessment.next_view import plan_view
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.imaging.xray import View, XRay
from MultiViewRegistrationLib.registration.pipeline import refine
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.studies.statistics import perturbed, table

from .people import BEYOND_MM, patient_of, person
from .protocol.conditions import readings
from .simulation.body import Body, bone_points, middle
from .simulation.cases import random_cameras, random_pose, views_of
from .simulation.projector import RtkProjector
from .simulation.simulator import PIXEL_MM, SIZE, SimulatedXRay
from .study import Options, Study

APART_DEG = (20.0, 40.0)
WHICH = {"first": 0.0, "middle": 0.5, "last": 1.0}


def row(options: Options, seed: int, number: int) -> dict:
    """One case, with two views and with each of three further ones."""
    rng, name = np.random.default_rng([seed, number]), patient_of(number)
    ct, body = person(name, options.data)
    projector, anatomy = RtkProjector(Body.from_hu(body, BEYOND_MM)), PreparedCT(ct)
    centre = np.array([*middle(body)[:2], bone_points(body)[:, 2].mean()])
    pose = random_pose(centre, rng)

    def taken(cameras: list[Camera]) -> list[View]:
        """X-rays by cameras that lie as far beside these as readings may, and these beside them."""
        blank = XRay(np.zeros(SIZE[::-1]), np.ones(SIZE[::-1], bool), (PIXEL_MM, PIXEL_MM))
        true = readings(rng, [View("", blank, camera) for camera in cameras])
        images = [SimulatedXRay().take(projector, each.camera, pose, rng) for each in true]
        return [
            replace(each, name=of.name, xray=of.xray, camera=camera)
            for each, of, camera in zip(true, views_of(images, cameras), cameras, strict=True)
        ]

    views = taken(random_cameras(rng, 2, APART_DEG))
    start = perturbed(pose, centre, 2.0, 4.0, 1, rng)[0]
    found = refine(anatomy, views, start).world_from_ct
    targets = default_targets(anatomy, views, found)
    plan = plan_view(anatomy, views, found, targets)
    reading = views[0].c_arm
    assert reading is not None
    assert not plan.patient_axes
    errors = {"two views": (mtre(found, pose, targets), plan.error_mm)}
    for which, share in WHICH.items():
        further = plan.views[round(share * (len(plan.views) - 1))]
        turned = replace(reading, rao_lao_deg=further.rao_lao_deg, cra_cau_deg=further.cra_cau_deg)
        third = replace(taken([views[0].camera, turned.camera()])[1], name="view 2")
        of_three = refine(anatomy, [*views, third], found).world_from_ct
        errors[which] = mtre(of_three, pose, targets), further.error_mm
    return {"seed": seed, "case": number, "person": name, "errors": errors}


def errors(rows: list[dict]) -> str:
    """Errors, predicted and found, mm."""
    lines = []
    of_two = np.array([each["errors"]["two views"][0] for each in rows])
    for which in ("two views", *WHICH):
        found, predicted = np.array([each["errors"][which] for each in rows]).T
        of = np.median(predicted), *np.percentile(found, [50, 90])
        less = f"{int(np.sum(found < of_two))} of {len(rows)}"
        lines.append((which, *(f"{mm:.2f}" for mm in of), less))
    head = ("views", "predicted", "found, median", "90 %", "less than two views")
    return table(head, lines, range(1, 5))


STUDY = Study(__doc__, row, errors)
