"""Files that are dropped together: recognised, asked about at most once, and applied in one step."""

import numpy as np
import pytest
from helpers.file_io import write_values
from helpers.phantom import TRUE_POSE, make_ct, make_views, write_ct_file, write_phantom_case
from helpers.phantom_study import write_study, write_xrays
from helpers.planted_dicom import write_ct
from PIL import Image
from presenter_host import PresenterHost, act, answer, control, drop, questions, settled, text

from MultiViewRegistrationLib.io.files import keep_within
from MultiViewRegistrationLib.mrml.ct_3d import named_bones


@pytest.fixture
def host(scene, watch):
    return PresenterHost(scene)


def write_matrices(folder, *names):
    for name, view in zip(names, make_views(make_ct()), strict=False):
        np.savetxt(folder / name, view.camera.projection_matrix)
    return [folder / name for name in names]


def write_pngs(folder, *names):
    views = make_views(make_ct(), angles=[(40 * n, 0) for n in range(len(names))])
    for name, view in zip(names, views, strict=True):
        write_values(folder / name, np.uint16(60000 * np.exp(-view.xray.line_integrals)))
    return [folder / name for name in names]


def write_bone(path, labels=1):
    """A segmentation of the phantom's bone, in so many parts."""
    bone = (make_ct().volume.values > 300).astype(np.uint8)
    bone[len(bone) // 2 :] *= labels
    write_ct_file(path, bone)
    return path


def names(host):
    return [view.name for view in host.registration.xrays]


@pytest.mark.slow
def test_a_ct_and_x_rays_in_dicom_need_no_answer(host, tmp_path):
    write_ct(tmp_path / "a", make_ct().volume.values, make_ct().volume.ct_from_index)
    write_xrays(tmp_path / "b")
    drop(host, tmp_path)
    assert host.registration.ct is not None and names(host) == ["view1", "view2"]
    assert all(view.placed for view in host.registration.xrays)


def test_uploaded_files_are_removed_once_they_are_added(host, tmp_path):
    sent = tmp_path / "sent"
    sent.mkdir()
    keep_within(sent)
    write_pngs(sent, "a.png")
    drop(host, sent, folder=sent)
    assert names(host) == ["a"] and not sent.exists()


def test_calibrations_find_their_x_rays_by_name(host, tmp_path):
    xrays = write_pngs(tmp_path, "AP.png", "LAT.png")
    drop(host, *xrays, *write_matrices(tmp_path, "hip_lat.txt", "hip_ap.txt"))
    answer(host.files, unit="mm", axes="lps", first_pixel="0")
    for view, own in zip(host.registration.xrays, make_views(make_ct())[::-1], strict=True):
        found, expected = (each.camera.projection_matrix for each in (view, own))
        assert np.allclose(found / found[2, 3], expected / expected[2, 3])


def test_nothing_is_added_before_the_question_is_answered(host, tmp_path):
    drop(host, *write_pngs(tmp_path, "AP.png"), *write_matrices(tmp_path, "AP.txt"))
    assert host.registration is None and not control(host.files, "asked.use").enabled
    assert host.files.question() == "asked.first_pixel"


def test_a_cancelled_question_adds_nothing(host, tmp_path):
    drop(host, *write_pngs(tmp_path, "AP.png"), *write_matrices(tmp_path, "AP.txt"))
    act(host.files, "asked.cancel")
    assert host.registration is None and not questions(host.files) and host.files.waiting == ""


def test_the_next_drop_waits_for_the_answer(host, tmp_path):
    drop(host, *write_pngs(tmp_path, "AP.png"), *write_matrices(tmp_path, "AP.txt"))
    drop(host, *write_pngs(tmp_path, "LAT.png"))
    assert host.registration is None
    answer(host.files, unit="mm", axes="lps", first_pixel="0")
    settled(host)
    assert names(host) == ["AP", "LAT"]


def test_a_case_is_opened_where_nothing_is_open(host, tmp_path):
    case = write_phantom_case(tmp_path)
    drop(host, tmp_path)
    assert host.opened == [case] and host.registration is None


@pytest.mark.parametrize("how", ["open", "xray"])
def test_a_case_replaces_what_is_open_or_adds_its_x_rays(host, tmp_path, how):
    case = write_phantom_case(tmp_path)
    drop(host, *write_pngs(tmp_path, "a.png"))
    drop(host, case)
    assert questions(host.files) == {"how": "open"} and host.files.closes
    answer(host.files, how=how)
    settled(host)
    assert host.opened == [case] * (how == "open")
    assert names(host) == ["a", "view1", "view2"][: 1 if how == "open" else 3]


@pytest.mark.parametrize("labels", [1, 2])
def test_a_segmentation_comes_with_its_ct(host, tmp_path, labels):
    write_ct_file(tmp_path / "ct.nrrd")
    write_bone(tmp_path / "bone.nrrd", labels)
    drop(host, tmp_path)
    registration = host.registration
    if labels == 1:
        segments = registration.segmentation.GetSegmentation()
        assert segments.GetSegment(registration.segment_id).GetName() == "bone"
    else:
        assert list(named_bones(registration)) == ["1", "2"] and host.shown == ["ct"]


def test_a_start_pose_comes_with_its_ct(host, tmp_path):
    np.savetxt(tmp_path / "start.txt", TRUE_POSE)
    drop(host, write_ct_file(tmp_path / "ct.nrrd"), tmp_path / "start.txt")
    answer(host.files, frame="lps", direction="forward")
    settled(host)
    assert np.allclose(host.registration.world_from_ct, TRUE_POSE)


def test_a_segmentation_without_a_ct_is_left_out(host, tmp_path):
    drop(host, write_bone(tmp_path / "bone.nrrd"))
    assert text(host.files, "refused") == "bone.nrrd needs a CT. Drop both together."
    assert host.registration is None


@pytest.mark.parametrize("place", ["new", "add"])
def test_a_second_ct_replaces_the_first_or_begins_a_registration(host, tmp_path, place):
    drop(host, write_ct_file(tmp_path / "ct.nrrd"))
    first = host.registration
    drop(host, write_ct_file(tmp_path / "other.nrrd"), write_bone(tmp_path / "bone.nrrd"))
    assert questions(host.files) == {"place": "add"}
    answer(host.files, place=place)
    settled(host)
    assert (host.registration == first) == (place == "add")
    assert host.registration.ct.GetName() == "other" and host.registration.segmentation


def test_of_several_ct_series_the_one_with_most_slices_is_preselected(host, tmp_path):
    write_ct(tmp_path / "a", make_ct().volume.values[:20], np.eye(4), SeriesDescription="Thick")
    write_ct(tmp_path / "b", make_ct().volume.values, np.eye(4), SeriesDescription="Thin")
    drop(host, tmp_path)
    chosen = control(host.files, "asked.ct")
    titles = {option.value: option.title.partition(" (")[0] for option in chosen.options}
    assert titles[chosen.value] == "Thin" and "Thick" in titles.values()


@pytest.mark.slow
def test_scouts_that_come_with_the_ct_are_offered_among_the_x_rays(host, tmp_path):
    drop(host, write_study(tmp_path / "study"))
    act(host.presenters.xrays, "scouts")
    assert names(host) == ["AP", "LAT"]


def test_a_mask_of_an_x_ray(host, tmp_path):
    used = np.zeros((128, 128), np.uint8)
    used[20:100, 20:100] = 255
    write_values(tmp_path / "b mask.png", used)
    drop(host, *write_pngs(tmp_path, "a.png", "b.png"), tmp_path / "b mask.png")
    answer(host.files)
    settled(host)
    assert [view.mask is not None for view in host.registration.xrays] == [False, True]


@pytest.mark.slow
def test_x_rays_of_another_patient_begin_a_registration(host, tmp_path):
    drop(host, *write_xrays(tmp_path / "one"))
    first = host.registration
    drop(host, *write_xrays(tmp_path / "two", PatientID="another"))
    assert questions(host.files) == {"place": "new"} and len(first.xrays) == 2
    answer(host.files)
    settled(host)
    assert host.registration != first and len(host.registration.xrays) == 2


def test_an_empty_panel_says_what_to_do(host):
    assert [each.key for each in host.files.form()][:3] == ["welcome0", "welcome1", "any"]
    assert control(host.files, "demo").label == "Open the demo"
    host.begin()
    assert control(host.files, "demo") is None


def test_in_slicer_nothing_is_closed(host, tmp_path):
    host.replaces = False
    drop(host, write_ct_file(tmp_path / "ct.nrrd"))
    drop(host, write_ct_file(tmp_path / "other.nrrd"))
    act(host.files, "asked.place", "new")
    assert not host.files.closes


@pytest.mark.slow
def test_files_that_are_not_used_are_listed_until_the_list_is_dismissed(host, tmp_path):
    Image.new("RGB", (8, 8), "navy").save(tmp_path / "screen.png")
    (tmp_path / "letter.txt").write_text("Dear colleague")
    write_ct(tmp_path / "tilted", np.zeros((4, 8, 8)), np.eye(4), GantryDetectorTilt=10)
    write_pngs(tmp_path, "a.png", "b.png")
    drop(host, tmp_path)
    lines = text(host.files, "refused").splitlines()
    assert names(host) == ["a", "b"] and len(lines) == 3
    for word in ("letter.txt", "screen.png: is a colour image", "gantry"):
        assert any(word in line for line in lines), lines
    act(host.files, "dismiss")
    assert not text(host.files, "refused")


def test_the_list_survives_that_the_files_close_a_registration(host, tmp_path):
    host.begin()
    (tmp_path / "letter.txt").write_text("Dear colleague")
    drop(host, tmp_path / "letter.txt", *write_pngs(tmp_path, "a.png"), replacing=True)
    assert "letter.txt" in text(host.files, "refused")


def test_a_registration_is_not_closed_for_files_of_which_none_can_be_used(host, tmp_path):
    host.begin()
    before = host.registration
    (tmp_path / "letter.txt").write_text("Dear colleague")
    drop(host, tmp_path / "letter.txt", replacing=True)
    assert host.registration == before


def test_a_start_pose_is_not_used_without_its_ct(host, tmp_path):
    """Of a CT that cannot be read; that of before keeps its pose."""
    drop(host, write_ct_file(tmp_path / "ct.nrrd"))
    write_ct(tmp_path / "tilted", np.zeros((4, 8, 8)), np.eye(4), GantryDetectorTilt=10)
    np.savetxt(tmp_path / "start.txt", TRUE_POSE)
    before = host.registration.world_from_ct
    drop(host, tmp_path / "tilted", tmp_path / "start.txt")
    answer(host.files, place="add", frame="lps", direction="forward")
    settled(host)
    assert np.allclose(host.registration.world_from_ct, before)
    assert "start.txt is not used, because its CT cannot be read." in text(host.files, "refused")


def test_an_error_of_the_program_leaves_the_registration_as_it_was(host, tmp_path, monkeypatch):
    drop(host, write_ct_file(tmp_path / "ct.nrrd"), *write_pngs(tmp_path, "a.png"))
    registration, ct = host.registration, host.registration.ct
    nodes, pose = host.scene.GetNumberOfNodes(), registration.world_from_ct

    def fail(world_from_ct):
        raise RuntimeError

    monkeypatch.setattr(host.presenters.start, "place_at", fail)
    np.savetxt(tmp_path / "start.txt", TRUE_POSE)
    drop(
        host,
        write_ct_file(tmp_path / "other.nrrd"),
        write_bone(tmp_path / "bone.nrrd"),
        tmp_path / "start.txt",
        *write_pngs(tmp_path, "b.png"),
    )
    with pytest.raises(RuntimeError):
        answer(host.files, place="add", frame="lps", direction="forward")
        settled(host)
    assert registration.ct is ct and names(host) == ["a"] and registration.segmentation is None
    assert np.allclose(registration.world_from_ct, pose) and host.files.waiting == ""
    assert host.scene.GetNumberOfNodes() == nodes


def test_files_are_not_added_to_a_ct_that_was_chosen_while_they_were_read(host, tmp_path):
    drop(host, write_ct_file(tmp_path / "ct.nrrd"))
    host.patience_s = 0
    host.files.take([write_bone(tmp_path / "bone.nrrd")])
    host.wait(host.files, lambda: host.files.looking.startswith("Reading"))
    host.presenters.ct.choose("")
    settled(host)
    assert "The CT was changed" in text(host.files, "refused")
    assert host.registration.segmentation is None
