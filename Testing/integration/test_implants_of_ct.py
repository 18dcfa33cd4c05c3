"""An implant beside the CT of the bones that it lies between: all in one problem, and how it lies to them."""

from dataclasses import replace

import numpy as np
import pytest
from helpers.bent_spine import (
    NAMES,
    POSE,
    START,
    bent_case,
    spine,
    targets,
    unbent_views,
    write_frames,
)
from helpers.file_io import read_json, read_table, write_json, write_volume
from helpers.program import mvreg as command
from helpers.program import result_in
from helpers.two_bones import error_mm, implant, off, shadow_of_metal

import mvreg
from MultiViewRegistrationLib.assessment.bodies import BodyRegistration
from MultiViewRegistrationLib.assessment.joint_motion import joint_pose, principal_axes
from MultiViewRegistrationLib.assessment.together import register_together
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.imaging.body import NO_STRUCTURES
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT

pytestmark = pytest.mark.slow


def stem():
    """A component in cobalt-chrome, and where it lies: along the spine, beside its second vertebra."""
    ct = implant()
    pose = rigid.turn_and_shift([0.2, -0.1, 0.4], np.zeros(3))
    pose[:3, 3] = [18.0, -8.0, 6.0] - rigid.transform_points(pose, ct.centroid())
    return ct, pose


def with_stem(view, pose=None):
    """The view before which the component lies, too."""
    metal, true = stem()
    shadow = shadow_of_metal(metal, view.camera, true if pose is None else pose)
    image = view.xray.line_integrals + shadow
    return view.with_xray(line_integrals=image.astype(np.float32))


@pytest.fixture(scope="module")
def case():
    """The bent spine, four bones of it, the component, and X-rays of both."""
    ct, labels, _, taken = bent_case()
    metal, true = stem()
    known = {"principal_point_sd_px": 0.5}
    views = [
        mvreg.View(view.xray.line_integrals, view.camera, view.name, "log", uncertainty=known)
        for view in map(with_stem, taken)
    ]
    of_ct = mvreg.Body(
        ct,
        labels=labels.transpose(2, 1, 0),
        structures={name: n for n, name in enumerate(NAMES, start=1)},
        world_from_ct=START,
    )
    start = off(true, metal, 4, 4, 3)
    return mvreg.Case.from_arrays(
        of_ct, mvreg.Body(metal, name="stem", world_from_ct=start), *views, targets=targets()
    )


@pytest.fixture(scope="module")
def result(case):
    return mvreg.register(case)


def test_an_implant_and_the_bones_of_one_ct_are_found_together(case, result):
    metal, true = stem()
    assert case.bone_names == (*NAMES, "stem")
    assert list(result.bodies) == ["CT", *NAMES, "stem"]
    assert error_mm(metal, result.bodies["stem"].world_from_ct, true) < 0.1
    for bone, motion in zip(result.together.bodies, bent_case().motions):
        assert bone.bone.distance_between(bone.world_from_ct, POSE @ motion) < 0.3
    assert result.bodies["stem"].verdict == "check"
    assert not result.bodies["stem"].assessment.has("metal-in-ct")
    assert all(result.bodies[name].verdict in ("accept", "check") for name in NAMES)


def test_how_an_implant_lies_to_the_nearest_bone_of_the_ct_is_told(result, tmp_path):
    (lies,) = result.together.relative_poses
    assert lies.name == "stem" and lies.against in NAMES
    against, own = (
        principal_axes(each.bone.surface)
        for name in (lies.against, "stem")
        for each in result.together.bodies
        if each.name == name
    )
    motion = bent_case().motions[NAMES.index(lies.against)]
    expected = joint_pose(POSE @ motion, stem()[1], against, own)
    assert np.allclose(lies.numbers.shift_mm, expected.shift_mm, atol=0.3)
    assert np.allclose(lies.numbers.rotation_deg, expected.rotation_deg, atol=1)
    off = np.abs(lies.numbers.rotation_deg - expected.rotation_deg)
    assert (off < lies.numbers.rotation_upper95_deg).all() and lies.verdict == "check"
    assert (lies.numbers.rotation_upper95_deg < 2).all()
    mvreg.save_result(result, tmp_path)
    content = result_in(tmp_path)
    assert content["relative_poses"][0]["against"] == lies.against
    assert "moved" in content["bodies"]["T12"] and "moved" not in content["bodies"]["stem"]


def test_metal_of_the_ct_where_an_implant_lies_is_told(case, result):
    first, metal = case.bodies
    true = stem()[1]
    volume = first.ct.volume
    there = rigid.transform_points(rigid.inverse(POSE) @ true, metal.ct.centroid())
    i, j, k = np.rint(rigid.transform_points(volume.index_from_ct, there)).astype(int)
    values = volume.values.copy()
    values[k - 2 : k + 3, j - 2 : j + 3, i - 2 : i + 3] = 3071
    old = replace(first.ct, volume=replace(volume, values=values))
    whole = BodyRegistration(replace(first, ct=old, bones=NO_STRUCTURES), result.anatomy, POSE)
    placed = BodyRegistration(metal, PreparedCT(metal.ct), true)
    (told,) = register_together([whole, placed], case.views, levels=()).bodies
    assert told.assessment.has("metal-in-ct")


def test_an_implant_is_followed_against_the_ct(tmp_path):
    """It moves by 2 mm from the first frame to the second, the body does not."""
    ct, labels = spine()
    metal, true = stem()
    poses = [true, rigid.translation([0, 0, 2.0]) @ true]
    frames = [[with_stem(view, pose) for view in unbent_views()] for pose in poses]
    write_volume(tmp_path / "stem.mha", metal.volume.values, metal.volume.ct_from_index)
    start = off(true, metal, 1, 1, 3).tolist()
    entry = {"name": "stem", "ct": "stem.mha", "ct_unit": metal.unit, "world_from_ct": start}
    more = {"structures": [entry], "world_from_ct": POSE.tolist()}
    case = write_frames(tmp_path, ct, labels, frames, more)
    content = read_json(case)
    del content["labels"]
    write_json(case, content)
    told = command(f"track {case} --pace quick --out {tmp_path}/track --json").json["frames"]
    for frame, pose in zip(told, poses, strict=True):
        assert error_mm(metal, np.array(frame["bodies"]["stem"]["world_from_ct"]), pose) < 0.2
        assert error_mm(ct, np.array(frame["world_from_ct"]), POSE) < 0.5
    lines = read_table(tmp_path / "track" / "stem_on_CT_motion.csv")
    assert float(lines[1]["distance_mm"]) == pytest.approx(2, abs=0.2)
    assert 0.05 < float(lines[1]["distance_mm_upper95"]) < 1.5
    assert (lines[1]["verdict"], lines[1]["how"]) == ("check", "followed")
    assert lines[1]["rotation_z_deg"].startswith("not determined (")
