"""DICOM X-rays written tag by tag, as PS3.3 has them.

XA with DS tags, enhanced XA with FL tags in functional groups.
"""

import numpy as np
from imaging.dicom_files import XA_IMAGE, item, tagged, write_dicom
from pydicom.sequence import Sequence

ENHANCED_XA_IMAGE = "1.2.840.10008.5.1.4.1.1.12.1.1"
SIZE = COLUMNS, ROWS = 20, 16
GEOMETRY = tagged(
    "Modality=XA DistanceSourceToDetector=1195.25 DistanceSourceToPatient=765.5 "
    "ImagerPixelSpacing=0.308/0.308 PatientPosition=HFS PixelIntensityRelationship=LIN"
)


def pixels(seed=1, frames=None, dtype=np.uint16):
    shape = (ROWS, COLUMNS) if frames is None else (frames, ROWS, COLUMNS)
    return (
        np.random.default_rng(seed)
        .integers(100, 4000 if dtype == np.uint16 else 255, shape)
        .astype(dtype)
    )


def write_xa(path, primary, secondary, image=None, **tags):
    """A tag given as None is left out."""
    angles = {"PositionerPrimaryAngle": str(primary), "PositionerSecondaryAngle": str(secondary)}
    write_dicom(path, pixels() if image is None else image, XA_IMAGE, **GEOMETRY | angles | tags)
    return path


def groups(*frames):
    """Functional groups, a frame each."""
    return Sequence([item(**frame)[0] for frame in frames])


def enhanced(primary, secondary, rotation=None, **isocentre):
    """The functional groups of a frame that say where the positioner stood.

    About the patient, and, with a rotation, about the machine.
    """
    reported = {
        "PositionerPositionSequence": item(
            PositionerPrimaryAngle=str(primary), PositionerSecondaryAngle=str(secondary)
        )
    }
    if rotation is not None:
        reported["IsocenterReferenceSystemSequence"] = item(
            PositionerIsocenterPrimaryAngle=primary,
            PositionerIsocenterSecondaryAngle=secondary,
            PositionerIsocenterDetectorRotationAngle=rotation,
            **isocentre,
        )
    return reported


def write_enhanced(path, frames, image=None, shared=None, **tags):
    """frames, shared: functional groups.

    `shared` adds to those of a usual detector, or replaces them.
    """
    shared = {
        "XRayGeometrySequence": item(
            DistanceSourceToDetector="1195.25", DistanceSourceToIsocenter=765.5
        ),
        "FramePixelDataPropertiesSequence": item(
            ImagerPixelSpacing=["0.308", "0.308"],
            PixelIntensityRelationship="LIN",
            PixelIntensityRelationshipSign=1,
        ),
        "FieldOfViewSequence": item(FieldOfViewRotation=0.0, FieldOfViewHorizontalFlip="NO"),
        **(shared or {}),
    }
    write_dicom(
        path,
        pixels(frames=len(frames)) if image is None else image,
        ENHANCED_XA_IMAGE,
        Modality="XA",
        **{"PatientPosition": "HFS", **tags},
        SharedFunctionalGroupsSequence=groups(shared),
        PerFrameFunctionalGroupsSequence=groups(*frames),
    )
    return path
