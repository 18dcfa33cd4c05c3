"""Two bones whose shadows overlap, each with a CT of its own, and X-rays of both before a body of which there is no CT."""

import numpy as np

from helpers.bent_spine import NAMES, cameras, spine, write_view
from helpers.file_io import read_json, write_json, write_volume
from helpers.phantom import view_of
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.ct import CT, WATER, Volume, attenuation
from MultiViewRegistrationLib.rendering.drr import Projector

BONES = NAMES[1:3]
NO_CUT = np.zeros(6, bool)


def bone_cts():
    """The second and the third vertebra, what they attenuate more than soft tissue.

    The first voxel of each CT is at (0, 0, 0).
    """
    ct, labels = spine()
    above = np.maximum(attenuation(ct).values - np.float32(WATER), 0)
    found = []
    for n in (2, 3):
        low, high = (edge(np.argwhere(labels == n), axis=0) for edge in (np.min, np.max))
        part = tuple(slice(a - 2, b + 3) for a, b in zip(low, high, strict=True))
        place = np.diag([*ct.volume.spacing_mm, 1.0])
        found.append(CT(Volume((labels == n)[part] * above[part] * 1e5, place), "relative"))
    return found


def poses(cts):
    """Where the bones are: in the second view one lies before the other in part."""
    found = []
    for n, (ct, at) in enumerate(zip(cts, ([20.0, 6.0, 8.0], [-30.0, -4.0, -4.0]), strict=True)):
        turn = rigid.exp_so3([0.2 + 0.5 * n, -0.3, 0.4 * n])
        found.append(rigid.from_rotation_translation(turn, at - turn @ ct.centroid()))
    return found


def xrays(cts, true, noise=0.004):
    """X-rays in line integrals, with a body that gets thicker to one side."""
    rng, found = np.random.default_rng(5), []
    for camera in cameras(0, 88):
        rows, columns = np.indices(camera.size[::-1])
        image = 1.5 + 0.002 * columns + 0.001 * rows + rng.normal(scale=noise, size=rows.shape)
        for ct, pose in zip(cts, true, strict=True):
            image += Projector(attenuation(ct), NO_CUT).render(camera, pose).image
        found.append(view_of(f"view {len(found)}", image, camera))
    return found


def off(pose, ct, degrees, mm, seed):
    """A pose turned about the middle of the CT, and shifted."""
    turn, shift = np.random.default_rng(seed).normal(size=(2, 3))
    motion = rigid.turn_and_shift(
        np.radians(degrees) * turn / np.linalg.norm(turn), mm * shift / np.linalg.norm(shift)
    )
    return rigid.about(rigid.transform_points(pose, ct.centroid()), motion) @ pose


def error_mm(ct, pose, true):
    """Root mean square over the voxels of the bone."""
    points = rigid.transform_points(
        ct.volume.ct_from_index, np.argwhere(ct.volume.values > 0)[:, ::-1].astype(float)
    )
    away = rigid.transform_points(pose, points) - rigid.transform_points(true, points)
    return float(np.sqrt((away**2).sum(axis=1).mean()))


def write_case(folder):
    """Write a case.json of the bones, each at a start 4 mm and 4 degrees off; returns CTs and true poses."""
    cts = bone_cts()
    true, structures = poses(cts), []
    for n, (name, ct, pose) in enumerate(zip(BONES, cts, true, strict=True)):
        write_volume(folder / f"{name}.nrrd", ct.volume.values, ct.volume.ct_from_index)
        start = off(pose, ct, 4, 4, n).tolist()
        structures.append({"name": name, "ct": f"{name}.nrrd", "world_from_ct": start})
    views = [write_view(folder, view, view.xray.line_integrals) for view in xrays(cts, true)]
    case = {"version": 1, "ct_unit": "relative", "structures": structures, "views": views}
    case["search"] = {"rotation_deg": 10, "translation_mm": 8}
    case["truth"] = {"structures": {BONES[0]: true[0].tolist()}}
    write_json(folder / "case.json", case)
    return cts, true


def write_moving_bones(folder, frames, blank=-1):
    """Write a case.json of the bones whose images have a frame for each list of poses, and one that shows nothing.

    Its starts are 1 mm and 1 degree off the first.
    """
    cts, _ = write_case(folder)
    shown = [xrays(cts, poses) for poses in frames]
    for n, view in enumerate(shown[0]):
        images = np.stack([views[n].xray.line_integrals for views in shown])
        if blank >= 0:
            images[blank] = images.mean()
        write_view(folder, view, images)
    path = folder / "case.json"
    case = read_json(path)
    for n, structure in enumerate(case["structures"]):
        structure["world_from_ct"] = off(frames[0][n], cts[n], 1, 1, n).tolist()
    write_json(path, case)
    return path


#: Scatter behind metal, as a share of the open field.
SCATTER = 0.08


def implant(unit="cobalt-chrome", arm=True):
    """A shaft, with an arm to one side."""
    z, y, x = np.indices((56, 30, 40))
    body = (np.hypot(x - 10, y - 15) < 5) & (z > 4) & (z < 51)
    if arm:
        body |= (abs(z - 42) < 5) & (abs(y - 15) < 3) & (x > 10) & (x < 34)
    return CT(Volume(body.astype(np.float32), np.eye(4)), unit)


def shadow_of_metal(ct, camera, pose):
    """Its line integrals in an X-ray, which scatter limits."""
    metal = Projector(attenuation(ct)).render(camera, pose).image
    return -np.log((np.exp(-metal) + SCATTER) / (1 + SCATTER))


def write_cone(path, middle):
    """Write the surface of a cone, in mm."""
    from vtkmodules.vtkFiltersCore import vtkTriangleFilter
    from vtkmodules.vtkFiltersSources import vtkConeSource
    from vtkmodules.vtkIOGeometry import vtkSTLWriter

    source = vtkConeSource()
    source.SetHeight(30)
    source.SetRadius(8)
    source.SetCenter(*middle)
    triangles = vtkTriangleFilter()
    triangles.SetInputConnection(source.GetOutputPort())
    writer = vtkSTLWriter()
    writer.SetInputConnection(triangles.GetOutputPort())
    writer.SetFileName(str(path))
    writer.Write()
    return path
