"""Files dropped together: taken where they belong, with a question only where their content leaves one open."""

import numpy as np
import pytest
from helpers.file_io import write_values
from helpers.phantom import TRUE_POSE, make_ct, make_views, write_ct_file, write_phantom_case
from helpers.phantom_study import write_study, write_xrays
from helpers.planted_dicom import write_ct
from PIL import Image
from presenter_host import PresenterHost, act, answer, asking, control, text

from MultiViewRegistrationLib.io.files import keep_within
from MultiViewRegistrationLib.mrml.ct_3d import named_bones
from MultiViewRegistrationLib.session.registering import missing_images


@pytest.fixture
def host(scene, watch):
    return PresenterHost(scene)


@pytest.fixture
def files(host):
    return host.files


def settled(files):
    files.host.wait(files, lambda: not files.host.taking)
    for _ in range(5):
        files.tick()


def drop(files, *paths, **more):
    files.take(paths, **more)
    settled(files)


def write_matrices(folder, *names):
    for name, view in zip(names, make_views(make_ct()), strict=False):
        np.savetxt(folder / name, view.camera.projection_matrix)
    return [folder / name for name in names]


def write_pngs(folder, *names):
    views = make_views(make_ct(), angles=[(40 * n, 0) for n in range(len(names))])
    for name, view in zip(names, views, strict=True):
        write_values(folder / name, np.uint16(60000 * np.exp(-view.xray.line_integrals)))
    return [folder / name for name in names]


@pytest.mark.slow
def test_a_ct_and_x_rays_in_dicom_need_no_answer(host, files, tmp_path):
    """In one folder, as a page sends them; nothing of them is left there."""
    sent = tmp_path / "sent"
    sent.mkdir()
    keep_within(sent)
    write_ct(sent / "a", make_ct().volume.values, make_ct().volume.ct_from_index)
    write_xrays(sent / "b")
    drop(files, sent, folder=sent)
    assert host.registration.ct is not None and [view.name for view in host.registration.xrays] == [
        "view1",
        "view2",
    ]
    assert all(view.placed for view in host.registration.xrays) and not asking(files)
    assert missing_images(host.registration) == "" and not sent.exists()


def answer_matrix(files):
    for key, value in (("unit", "mm"), ("axes", "lps"), ("first_pixel", "0")):
        act(files, f"calibrations.{key}", value)
    settled(files)


def placed(host):
    return [view.placed for view in host.registration.xrays]


def test_calibrations_find_their_x_rays_by_name(host, files, tmp_path):
    xrays, matrices = (
        write_pngs(tmp_path, "AP.png", "LAT.png"),
        write_matrices(tmp_path, "hip_lat.txt", "hip_ap.txt"),
    )
    drop(files, *matrices, *xrays)
    for key in ("unit", "axes", "first_pixel"):  # once for both files
        assert control(files, f"calibrations.{key}")
    answer_matrix(files)
    assert placed(host) == [True, True] and not asking(files)
    for view, own in zip(host.registration.xrays, make_views(make_ct())[::-1], strict=True):
        found, expected = (each.camera.projection_matrix for each in (view, own))
        assert np.allclose(found / found[2, 3], expected / expected[2, 3])


def test_a_case_is_opened_where_nothing_is_and_asked_about_elsewhere(host, files, tmp_path):
    case = write_phantom_case(tmp_path)
    drop(files, tmp_path)
    assert host.opened == [case] and host.registration is None
    drop(files, *write_pngs(tmp_path, "a.png"))
    drop(files, case)
    assert host.opened == [case] and "case.json is a whole registration" in text(
        files, "asked0.title"
    )
    answer(files, 1)
    settled(files)
    assert [view.name for view in host.registration.xrays] == ["a", "view1", "view2"]
    drop(files, case)
    answer(files, 0)
    assert host.opened == [case, case]


@pytest.mark.parametrize("labels", [1, 2])
def test_a_mask_or_bones_and_a_pose_wait_for_the_ct(host, files, tmp_path, labels):
    ct = make_ct()
    bone = (ct.volume.values > 300).astype(np.uint8)
    bone[len(bone) // 2 :] *= labels
    write_ct_file(tmp_path / "ct.nrrd")
    write_ct_file(tmp_path / "bone.nrrd", bone)
    np.savetxt(tmp_path / "start.txt", TRUE_POSE)
    drop(files, tmp_path)
    host.wait(
        files, lambda: host.registration.segmentation is not None and control(files, "asked0.frame")
    )
    act(files, "asked0.frame", "lps")
    act(files, "asked0.direction", "forward")
    assert np.allclose(host.registration.world_from_ct, TRUE_POSE) and not asking(files)
    segments = host.registration.segmentation.GetSegmentation()
    if labels == 1:
        assert segments.GetSegment(host.registration.segment_id).GetName() == "bone"
    else:
        assert host.registration.registers_each and host.shown == ["ct"]
        assert list(named_bones(host.registration)) == ["1", "2"]


def write_bone(path):
    """A segmentation of the phantom's bone."""
    write_ct_file(path, (make_ct().volume.values > 300).astype(np.uint8))
    return path


@pytest.fixture
def in_question(files, tmp_path):
    """Files about which is asked whether they begin another case, and a segmentation that was dropped after them."""
    write_ct_file(tmp_path / "ct.nrrd")
    drop(files, tmp_path / "ct.nrrd")
    write_ct_file(tmp_path / "other.nrrd")
    drop(files, tmp_path / "other.nrrd")
    assert "There is a CT already" in text(files, "asked0.title")
    drop(files, write_bone(tmp_path / "bone.nrrd"))
    return files


def test_a_segmentation_waits_visibly_while_another_ct_is_in_question(host, in_question):
    assert host.registration.segmentation is None
    assert text(in_question, "asked1.title") == "bone.nrrd"
    assert text(in_question, "asked1.waiting") == "Waits for the CT and X-rays."


@pytest.mark.parametrize("number", (0, 1))
def test_a_segmentation_is_used_on_the_ct_that_the_answer_chooses(host, in_question, number):
    """In place of the one before, or in a new case."""
    before = host.registration
    answer(in_question, number)
    host.wait(in_question, lambda: host.registration and host.registration.segmentation)
    assert (host.registration == before) == (number == 0)
    assert host.registration.ct.GetName() == "other" and not asking(in_question)


def test_a_segmentation_without_a_ct_waits_visibly_and_can_be_left_out(files, tmp_path):
    drop(files, write_bone(tmp_path / "bone.nrrd"))
    assert text(files, "asked0.title") == "bone.nrrd"
    act(files, "asked0.leave_out")
    assert not asking(files) and files.waiting == ""


def test_scouts_that_come_with_the_ct_are_offered(host, files, tmp_path):
    drop(files, write_study(tmp_path / "study"))
    host.wait(files, lambda: asking(files))
    assert "AP, LAT" in text(files, "asked0.title")
    answer(files, 0)
    assert [view.name for view in host.registration.xrays] == ["AP", "LAT"] and not asking(files)


def test_a_mask_of_an_x_ray(host, files, tmp_path):
    drop(files, *write_pngs(tmp_path, "a.png", "b.png"))
    used = np.zeros((128, 128), np.uint8)
    used[20:100, 20:100] = 255
    write_values(tmp_path / "mask.png", used)
    drop(files, tmp_path / "mask.png")
    answer(files, 1)
    assert [view.mask is not None for view in host.registration.xrays] == [False, True]


@pytest.mark.slow
def test_another_patient_may_be_a_new_case_or_take_the_place_of_the_first(host, files, tmp_path):
    drop(files, *write_xrays(tmp_path / "one"))
    first, other = host.registration, write_xrays(tmp_path / "two", PatientID="another")
    drop(files, *other)
    act(files, "asked0.line1")  # in place of those there
    settled(files)
    assert (
        host.registration == first and len(first.xrays) == 2 and not host.session.notices.sentences
    )
    drop(files, *write_xrays(tmp_path / "three"))
    act(files, "asked0.line0")  # a new case
    settled(files)
    assert host.registration != first and len(host.registration.xrays) == 2


def test_an_empty_panel_says_what_to_do(host, files):
    assert [each.key for each in files.form()][:3] == ["welcome0", "welcome1", "any"]
    assert control(files, "demo").label == "Open the demo"
    host.begin()
    assert control(files, "demo") is None


def test_what_an_answer_would_close_is_offered_to_be_saved(host, files, tmp_path):
    case = write_phantom_case(tmp_path)
    drop(files, *write_pngs(tmp_path, "a.png"))
    assert not files.closes
    drop(files, case)
    assert files.closes
    host.replaces = False  # as in Slicer
    assert not files.closes


def drop_refused(files, folder):
    """A colour screenshot, a tilted CT and a letter, dropped with two good X-rays."""
    Image.new("RGB", (8, 8), "navy").save(folder / "screen.png")
    (folder / "letter.txt").write_text("Dear colleague")
    write_ct(folder / "tilted", np.zeros((4, 8, 8)), np.eye(4), GantryDetectorTilt=10)
    write_pngs(folder, "a.png", "b.png")
    drop(files, folder)


def test_files_that_are_not_used_are_listed_until_the_list_is_dismissed(host, files, tmp_path):
    drop_refused(files, tmp_path)
    drop(files, *write_pngs(tmp_path, "c.png"))
    lines = text(files, "refused").splitlines()
    assert len(host.registration.xrays) == 3 and len(lines) == 3
    for word in ("letter.txt", "screen.png: is a colour image", "gantry"):
        assert any(word in line for line in lines), lines
    act(files, "dismiss")
    assert not asking(files)


def test_the_list_survives_what_its_own_drop_closes(host, files, tmp_path):
    host.begin()
    (tmp_path / "letter.txt").write_text("Dear colleague")
    drop(files, tmp_path / "letter.txt", *write_pngs(tmp_path, "a.png"), replacing=True)
    assert "letter.txt" in text(files, "refused")


def test_an_action_that_fails_does_not_keep_the_others_from_being_done(host, files, tmp_path):
    """Of a mask of another size the X-ray is named; the next mask is used."""
    drop(files, *write_pngs(tmp_path, "a.png"))
    for name, side in (("small", 64), ("mask", 128)):
        used = np.zeros((side, side), np.uint8)
        used[20:60, 20:60] = 255
        write_values(tmp_path / f"{name}.png", used)
        drop(files, tmp_path / f"{name}.png")
        act(files, "asked0.0")
    assert host.registration.xrays[0].mask is not None
    assert text(files, "refused").startswith("small.png")
