"""The distortion of an image intensifier from X-rays of a plate: measured, kept, and undone."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ...errors import InputError, Show, naming
from ...geometry.camera import check_size
from ...geometry.machines import rotation
from ...geometry.plate import (
    POWERS,
    PlateFit,
    PolynomialDistortion,
    distortion_between,
    fitted_plates,
)
from ...imaging.beads import find_beads
from ...imaging.field import find_field
from ...imaging.reading import RawImage, itk_image, undistorted, write_image
from ...imaging.xray import load_image, to_line_integrals
from ..files import JsonObject, json_text, written_atomically

FORMAT = "mvreg distortion"
#: Radii of a plate's beads or holes in an image, px.
RADII_PX = (1.2, 12.0)
PLATES = ("holes", "beads")


@dataclass(frozen=True, eq=False)
class PlatePose:
    """What an X-ray of a plate shows.

    Attributes
    ----------
    name
        Of the X-ray.
    angles_deg
        (rao_lao, cra_cau) of the C-arm.
    fit
        Its distortion.
    line_integrals
        (rows, columns) of the image.
    """

    name: str
    angles_deg: tuple[float, float]
    fit: PlateFit
    line_integrals: np.ndarray = field(repr=False)

    @property
    def sentence(self) -> str:
        """How well the distortion is known, and how large it is."""
        return (
            f"{self.name}: {len(self.fit.pixels)} of the plate, shifted by up to "
            f"{self.fit.largest_px:.1f} px, {self.fit.rms_px:.2f} px from the polynomial."
        )


@dataclass(frozen=True, eq=False)
class MeasuredDistortion:
    """The distortion of an image intensifier in some poses of its C-arm.

    Attributes
    ----------
    angles_deg
        (n, 2) rao_lao, cra_cau.
    distortions
        (n,).
    file
        Where it was read, for messages.
    """

    angles_deg: np.ndarray
    distortions: list[PolynomialDistortion]
    file: str

    def straightened(
        self, image: str | os.PathLike, angles_deg: tuple[float, float] | None
    ) -> RawImage:
        """Return an image without the distortion that the C-arm's pose gives it.

        Parameters
        ----------
        angles_deg
            (rao_lao, cra_cau); None where one pose alone was measured, and is this one's.

        Raises
        ------
        InputError
            For angles that are missing, and an image of another size.
        """
        if angles_deg is None and len(self.distortions) > 1:
            raise InputError(
                f"its C-arm's angles are missing, which say its distortion among the "
                f"{len(self.distortions)} poses of {self.file}; give them (--angles)."
            )
        distortion = self.distortions[0]
        if len(self.distortions) > 1 and angles_deg is not None:
            rotations = np.array([rotation(*each) for each in self.angles_deg])
            distortion = distortion_between(rotations, self.distortions, rotation(*angles_deg))
        raw = load_image(os.fspath(image))
        size = raw.values.shape[::-1]
        if size != distortion.size:
            raise InputError(
                f"has {size[0]} x {size[1]} pixels, but the plate of {self.file} was shown in "
                f"{distortion.size[0]} x {distortion.size[1]}; take both in one mode of the C-arm."
            )
        return undistorted(raw, (np.eye(3), distortion))


def measure_plate(
    images: Sequence[str | os.PathLike],
    names: Sequence[str],
    angles_deg: Sequence[tuple[float, float]],
    plate: str,
    intensity: str,
    progress: Show,
) -> list[PlatePose]:
    """Return the distortion of each X-ray of one plate with a square grid.

    Parameters
    ----------
    angles_deg
        For each (rao_lao, cra_cau) of the C-arm.
    plate
        One of PLATES: what stands on the grid.
    intensity
        As of `to_line_integrals`.

    Raises
    ------
    InputError
        Beginning with a name: where an image shows no such grid, or has another size.
    """
    seen: list[np.ndarray] = []
    integrals: list[np.ndarray] = []
    for number, (image, name) in enumerate(zip(images, names, strict=True)):
        progress(number / len(images), name)
        with naming(name):
            xray = to_line_integrals(load_image(os.fspath(image)), intensity)
            if integrals and xray.line_integrals.shape != integrals[0].shape:
                raise InputError(f"has another size than {names[0]}; take both in one mode.")
            valid = find_field(xray.line_integrals)
            found = find_beads(xray.line_integrals, valid, RADII_PX, holes=plate == PLATES[0])
            seen.append(np.array([bead.pixel for bead in found]).reshape(-1, 2))
            integrals.append(xray.line_integrals)
    rows, columns = integrals[0].shape
    fits = fitted_plates(seen, (columns, rows), names)
    return [PlatePose(*each) for each in zip(names, angles_deg, fits, integrals, strict=True)]


def plate_json(poses: Sequence[PlatePose]) -> str:
    """Return the file of distortions that `read_plate` reads."""
    content = {
        "format": FORMAT,
        "version": 1,
        "powers": POWERS,
        "poses": [
            {
                "name": pose.name,
                "angles_deg": pose.angles_deg,
                "size": pose.fit.distortion.size,
                "coefficients": pose.fit.distortion.coefficients,
                "residual_px": pose.fit.rms_px,
                "largest_px": pose.fit.largest_px,
            }
            for pose in poses
        ],
    }
    return json_text(content)


def read_plate(path: str | os.PathLike) -> MeasuredDistortion:
    """Read a file of distortions.

    Raises
    ------
    InputError
        For another file.
    """
    fields = JsonObject.read(Path(path))
    if fields.values.get("format") != FORMAT:
        raise InputError(
            f"{fields.file}: is no file of distortions; make one with mvreg calibrate --plate."
        )
    angles = []
    distortions = []
    for entry in fields.sections("poses", "a list of one or more poses"):
        angles.append(entry.array("angles_deg", (2,), "[rao_lao, cra_cau] in degrees"))
        distortions.append(
            PolynomialDistortion(
                entry.array("coefficients", (len(POWERS), 2), f"{len(POWERS)} pairs of numbers"),
                check_size(entry.array("size", (2,), "[columns, rows]")),
            )
        )
    return MeasuredDistortion(np.array(angles), distortions, fields.file)


def write_straightened(raw: RawImage, path: Path) -> RawImage:
    """Write a straightened image, black where the one as it was taken shows nothing, and return that."""
    black = replace(raw, values=np.nan_to_num(raw.values, nan=0.0))
    grid = np.diag([*(raw.pixel_mm or (1.0, 1.0)), 1.0])
    with written_atomically(path) as temporary:
        write_image(temporary, itk_image(black.values, grid))
    return black
