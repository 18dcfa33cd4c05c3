"""EOS images, with headers as public programs that read them expect them.

No real file was at hand.
"""

import numpy as np
from imaging.dicom_files import tagged, write_dicom

DX_IMAGE = "1.2.840.10008.5.1.4.1.1.1.1"
ROWS, SPACING = 60, 0.179363
COLUMNS = {"frontal": 48, "lateral": 44}


def write_eos(path, plane="frontal", rows=ROWS, **tags):
    """One of a patient who faces the frontal tube; a tag given as None is left out."""
    columns, frontal = COLUMNS[plane], plane == "frontal"
    image = (20000 - 15000 * (np.hypot(*(np.indices((rows, columns)) - 20)) < 12)).astype(np.uint16)
    mm, letter = (987, "L") if frontal else (918, "P")
    described = tagged(
        "Modality=DX ManufacturerModelName=EOS DistanceSourceToDetector=1300 "
        "ImagerPixelSpacing=0.254/0.254 PixelIntensityRelationship=LIN "
        f"PixelIntensityRelationshipSign=1 PixelSpacing={SPACING}/{SPACING} "
        f"DistanceSourceToIsocenter={mm} DistanceSourceToPatient={mm} "
        f"PatientOrientation={letter}/F ViewPosition={'AP' * frontal}"
    )
    described |= {"Manufacturer": "EOS imaging", "ImageComments": f"EOS {plane.capitalize()}"}
    write_dicom(path, image, DX_IMAGE, **(described | tags))
    return path
