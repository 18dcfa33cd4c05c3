"""`mvreg case anonymise` on DICOM X-rays whose header said everything.

The copy, which has none, is the same case.
"""

import numpy as np
import pytest
from helpers.file_io import read_json
from imaging.dicom_files import tagged
from imaging.xray_files import write_xa
from test_case_anonymise import assert_same_views
from tiny_case import minimal, run

from MultiViewRegistrationLib import Case
from MultiViewRegistrationLib.io.dicom_geometry import ASSUMPTIONS

ROUND = (
    "ShutterShape=CIRCULAR/RECTANGULAR CenterOfCircularShutter=60/70 RadiusOfCircularShutter=50 "
    "ShutterLeftVerticalEdge=25 ShutterRightVerticalEdge=128 ShutterUpperHorizontalEdge=5 "
    "ShutterLowerHorizontalEdge=100"
)


def detected(seed):
    """Intensities (112, 128) of 12 bits: air, a body, a bone, wires; black blades at the left."""
    random = np.random.default_rng(seed)
    rows, columns = np.indices((112, 128))
    image = 3600 * np.exp(
        -2.2 * np.exp(-(((columns - 70) / 30) ** 2)) - 0.6 * (np.abs(rows - 60) < 12)
    )
    image[20:100:12, 30:110] *= 0.6
    image = random.normal(image, 12)
    image[:, :9] = 0
    return image.clip(0, 4095)


@pytest.mark.quick_variants("tags1")
@pytest.mark.filterwarnings("ignore:.*different patients")
@pytest.mark.parametrize(
    "tags",
    [
        f"{ROUND} PhotometricInterpretation=MONOCHROME1 PixelIntensityRelationshipSign=1",
        f"{ROUND} PixelIntensityRelationship=LOG PixelIntensityRelationshipSign=1",
        "RescaleSlope=-1 RescaleIntercept=4095 PixelIntensityRelationshipSign=-1 "
        "PhotometricInterpretation=MONOCHROME1",
    ],
)
def test_anonymised_copy_has_the_same_views(write_case, tmp_path, tags):
    content = minimal()
    for number, entry in enumerate(content["views"]):
        image = detected(number)
        if "Relationship=LOG" in tags:
            image = 500 * np.log((image + 1) / 4096) + 4095
        if "Sign=-1" in tags:
            image = 4095 - image
        image = np.rint(image).astype(np.uint16)
        told = f"BitsStored=12 HighBit=11 PatientOrientation={'LP'[number]}/F {tags}"
        write_xa(tmp_path / f"{number}.dcm", 90 * number, 0, image, **tagged(told))
        del entry["projection_matrix"]
        entry["image"] = f"{number}.dcm"
        if "Slope=-1" in tags:
            entry["intensity"] = "auto"
    before = Case.load(write_case(content))
    run(f"case anonymise {tmp_path} --out {tmp_path}/copy")
    after = Case.load(tmp_path / "copy")
    assert_same_views(after, before)
    assert all(view.xray.valid.mean() > 0.2 for view in after.views)
    copied = read_json(tmp_path / "copy" / "case.json")
    assert all(
        set(view["assumptions"]) <= set(ASSUMPTIONS) and "c_arm" in view for view in copied["views"]
    )
    assert after.assumptions == before.assumptions
