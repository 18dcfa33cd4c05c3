"""EOS images, with headers as public programs that read them expect them.

No real file was at hand.
"""

from __future__ import annotations

import numpy as np
from imaging.dicom_files import write_dicom

DX_IMAGE = "1.2.840.10008.5.1.4.1.1.1.1"
ROWS, SPACING = 60, 0.179363
COLUMNS = {"frontal": 48, "lateral": 44}


def write_eos(path, plane="frontal", rows=ROWS, **tags):
    """One of a patient who faces the frontal tube; a tag given as None is left out."""
    columns, frontal = COLUMNS[plane], plane == "frontal"
    image = (20000 - 15000 * (np.hypot(*(np.indices((rows, columns)) - 20)) < 12)).astype(np.uint16)
    described = {
        "Modality": "DX",
        "Manufacturer": "EOS imaging",
        "ManufacturerModelName": "EOS",
        "ImageComments": f"EOS {plane.capitalize()}",
        "ViewPosition": "AP" if frontal else None,
        "PatientOrientation": ["L" if frontal else "P", "F"],
        "DistanceSourceToIsocenter": 987.0 if frontal else 918.0,
        "DistanceSourceToDetector": "1300",
        "DistanceSourceToPatient": "987" if frontal else "918",
        "PixelSpacing": [str(SPACING)] * 2,
        "ImagerPixelSpacing": ["0.254", "0.254"],
        "PixelIntensityRelationship": "LIN",
        "PixelIntensityRelationshipSign": 1,
    }
    write_dicom(path, image, DX_IMAGE, **(described | tags))
    return path
