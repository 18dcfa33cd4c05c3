"""The phantom in DICOM: a CT study with scouts from the front and from the left, and X-rays by a C-arm."""

import numpy as np
from imaging.dicom_files import CT_IMAGE, tagged, write_dicom, write_series

from helpers.phantom import make_ct, make_slot_scan, make_views, slot_scan_of
from helpers.planted_dicom import write_xray

FRAME = "1.2.3.9"
#: Degrees about the patient by name; the tube is behind him, then at his left.
SCOUTS = {"AP": 0, "LAT": 90}


def write_study(folder):
    """The folder: slices in "ct", AP.dcm and LAT.dcm beside it; the head first, supine."""
    folder.mkdir(exist_ok=True)
    ct = make_ct()
    hu = ct.volume.values.round().astype(np.int16)
    write_series(
        folder / "ct", hu, ct.volume.ct_from_index, FrameOfReferenceUID=FRAME, PatientPosition="HFS"
    )
    for name in SCOUTS:
        write_scout(folder, name)
    return folder


def write_scout(folder, name, image=None, **tags):
    """NAME.dcm, with its own pixels or others (rows, columns); a tag given as None is left out."""
    scan = slot_scan_of(SCOUTS[name])
    view = make_slot_scan(make_ct(), SCOUTS[name], np.eye(4))
    pixels = (200 * view.xray.line_integrals - 1024).astype(np.int16) if image is None else image
    centre, along = (np.array(scan[key], float) for key in ("isocentre", "columns_along"))
    first = centre - (scan["size"][0] - 1) / 2 * scan["pixel_mm"][0] * along
    numbers = {
        "AngularPosition": [180 - SCOUTS[name]],
        "DistanceSourceToPatient": [scan["source_to_isocentre_mm"]],
        "ImagePositionPatient": first,
        "ImageOrientationPatient": np.round([*along, *scan["rows_along"]]),
        "PixelSpacing": scan["pixel_mm"][::-1],
    }
    described = tagged(
        "Modality=CT Manufacturer=Philips ImageType=ORIGINAL/PRIMARY/LOCALIZER "
        f"FrameOfReferenceUID={FRAME} SeriesInstanceUID=1.2.3.4.6 PatientPosition=HFS "
        "RescaleIntercept=0 RescaleSlope=1"
    )
    described |= {tag: [f"{each:g}" for each in values] for tag, values in numbers.items()}
    path = folder / f"{name}.dcm"
    write_dicom(path, pixels, CT_IMAGE, **(described | tags))
    return path


def write_xrays(folder, **tags):
    """The phantom's two X-rays in DICOM whose headers say all of the geometry."""
    folder.mkdir(exist_ok=True)
    paths = []
    for view, angle in zip(make_views(make_ct()), (0, 90), strict=True):
        said = tagged(
            "DistanceSourceToDetector=1000 DistanceSourceToPatient=700 ImagerPixelSpacing=1.25/1.25 "
            f"PositionerPrimaryAngle={angle} PositionerSecondaryAngle=0 FieldOfViewHorizontalFlip=YES"
        )
        pixels = 60000 * np.exp(-view.xray.line_integrals)
        paths.append(write_xray(folder / f"{view.name}.dcm", pixels, **said | tags))
    return paths
