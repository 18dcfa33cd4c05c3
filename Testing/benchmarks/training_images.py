#!/usr/bin/env python
"""How many training images a second: python training_images.py [--ct CT] [--relative] [--size 64] [--images 512]

Two views 90 degrees apart of a C-arm, poses over 15, 15, 30 degrees and 50, 75, 50 mm. The best of some repeats, by one thread and by
all: others who use the machine only ever take time away.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "MultiViewRegistration"))

import numpy as np  # noqa: E402

from MultiViewRegistrationLib.geometry import rigid  # noqa: E402
from MultiViewRegistrationLib.geometry.c_arm import CArm  # noqa: E402
from MultiViewRegistrationLib.imaging.ct import load_ct  # noqa: E402
from MultiViewRegistrationLib.io.datasets.chest import chest_ct  # noqa: E402
from MultiViewRegistrationLib.regressor.images import TrainingImages  # noqa: E402
from MultiViewRegistrationLib.regressor.poses import key_of  # noqa: E402
from MultiViewRegistrationLib.regressor.window import Window  # noqa: E402
from MultiViewRegistrationLib.rendering.threads import available_threads  # noqa: E402

REPEATS = 7


def random_poses(centroid: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    turn = rigid.exp_so3(np.radians(rng.uniform(-1, 1, (count, 3)) * [15, 15, 30]))
    shift = rng.uniform(-1, 1, (count, 3)) * [50, 75, 50]
    return rigid.from_rotation_translation(turn, shift - turn @ centroid)


def best_seconds(work) -> float:
    work()
    seconds = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ct", type=Path, help="default: the demo's chest")
    parser.add_argument("--relative", action="store_true", help="its values are relative: a single bone")
    parser.add_argument("--size", type=int, default=64, help="pixels to a side")
    parser.add_argument("--images", type=int, default=512)
    args = parser.parse_args()

    arm = dict(
        source_to_detector_mm=1020, source_to_isocentre_mm=700, pixel_mm=(0.58, 0.58), size=(512, 512), cra_cau_deg=0
    )
    windows = [Window.of(CArm(rao_lao_deg=angle, **arm).camera(), size=args.size) for angle in (0, 90)]
    ct = load_ct(args.ct or chest_ct(), "relative" if args.relative else "hu")
    start = time.perf_counter()
    maker = TrainingImages(ct, float(windows[0].pixel_mm_at(np.zeros(3))))
    print(f"made ready in {time.perf_counter() - start:.2f} s")
    poses = random_poses(maker.centroid, args.images // 2, np.random.default_rng(0))

    count = len(poses) * len(windows)
    for threads in sorted({1, available_threads()}):
        os.environ["MVREG_THREADS"] = str(threads)
        seconds = best_seconds(lambda: maker.batch(poses, windows, key_of(1)))
        print(
            f"{threads} thread{'s' * (threads > 1)}: {count / seconds:.0f} images/s, {1e3 * seconds / count:.3f} ms an image"
        )


if __name__ == "__main__":
    main()
