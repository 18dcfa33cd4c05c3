"""Makes the moving picture of README.

a CT registered to two real X-rays of the same head, its scouts.

    PYTHONPATH=MultiViewRegistration python Testing/make_readme_picture.py STUDY [registration.webp]

STUDY: a folder of a CT with its scouts, as for `mvreg selfcheck`. The first frame is the start, the
last one the pose that was found; in between the CT moves from one to the other, which is not the
way of the search.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from MultiViewRegistrationLib.api import register
from MultiViewRegistrationLib.cli.main import main as mvreg
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.case import Case
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.report.overlays import DRRs, overlays
from MultiViewRegistrationLib.studies.statistics import perturbed

ROOT = Path(__file__).resolve().parents[1]
START_DEG, START_MM, SEED, FRAMES = 14.0, 30.0, 4, 22
#: Pixels of a side, between the sides, above them.
SIDE, GAP, BAR = 440, 6, 26
#: Milliseconds of the first, of each, and of the last frame.
FIRST, EACH, LAST = 1500, 60, 3000


def frames(study: Path) -> tuple[list[Image.Image], str]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "case.json"
        if mvreg(["case", "new", "--ct", str(study), "--scouts", "--out", str(file)]):
            raise SystemExit(2)
        case = Case.load(file)
    anatomy = PreparedCT(case.ct)
    (start,) = perturbed(case.world_from_ct, anatomy.centroid, START_DEG, START_MM, 1, SEED)
    result = register(replace(case, world_from_ct=start), "given", anatomy=anatomy)
    twist = rigid.log_se3(result.world_from_ct @ rigid.inverse(start))
    shares = 0.5 - 0.5 * np.cos(np.linspace(0, np.pi, FRAMES))
    poses = [rigid.exp_se3(share * twist) @ start for share in shares]
    columns = []
    for view in case.views:
        shown = overlays(view.xray, [DRRs.of(anatomy, view.camera, pose) for pose in poses], SIDE)
        middle = round(np.percentile(np.nonzero(shown[-1]["outlines"][..., 3])[1], [3, 97]).mean())
        columns.append([square(picture["edges"], middle) for picture in shown])
    pictures = []
    for number, images in enumerate(zip(*columns, strict=True)):
        page = Image.new("RGB", (len(images) * (SIDE + GAP) - GAP, SIDE + BAR), "black")
        for column, image in enumerate(images):
            page.paste(image, (column * (SIDE + GAP), BAR))
        words = {0: ": start", FRAMES - 1: ": registered"}.get(number, "")
        ImageDraw.Draw(page).text(
            (8, 5), f"The CT of a head over its scouts{words}", fill="white", font_size=14
        )
        pictures.append(page)
    return pictures, f"{result.verdict}, {result.errors.mtre_mm:.1f} mm from the scanner's pose"


def square(picture: np.ndarray, middle: int) -> Image.Image:
    """As wide as it is high, about a column."""
    height, width = picture.shape[:2]
    left = min(max(middle - height // 2, 0), max(width - height, 0))
    return Image.fromarray(picture[:, left : left + height]).resize((SIDE, SIDE))


def main(study: Path, file: Path) -> None:
    pictures, about = frames(study)
    times = [FIRST, *[EACH] * (len(pictures) - 2), LAST]
    pictures[0].save(
        file,
        save_all=True,
        append_images=pictures[1:],
        duration=times,
        loop=0,
        quality=60,
        method=6,
    )
    print(f"{file}: {about}, {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    default = ROOT / "Resources" / "Screenshots" / "registration.webp"
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else default)
