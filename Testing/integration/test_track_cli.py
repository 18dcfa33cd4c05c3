"""`mvreg track` and `mvreg motion` from the outside: what they write, print and return."""

import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from helpers import phantom
from helpers.file_io import read_json, read_table, write_json
from helpers.moving import BLANK, COUNT, swing, turning
from helpers.program import changed, codes_of, mvreg

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.io.sequence import FrameSequence
from MultiViewRegistrationLib.sequence import growing_track
from MultiViewRegistrationLib.sequence.tracker import Tracker


@pytest.fixture(scope="module")
def moving(study):
    """A case whose images have five frames, the fourth one blank. Not to be changed by a test."""
    return study / "case" / "case.json"


@pytest.fixture(scope="module")
def tracked(moving, tmp_path_factory):
    """Output folder of one run, and what it said."""
    out = tmp_path_factory.mktemp("out") / "track"
    return out, mvreg(f"track {moving} --pace quick --out {out} --json")


def test_every_frame_has_its_pose_and_verdict_and_a_lost_one_its_reason(tracked):
    out, said = tracked
    track = read_json(out / "track.json")
    assert said.json == track
    assert (track["version"], track["frames_in_all"], track["stopped"]) == (1, COUNT, False)
    ways = "registered followed followed lost followed".split()
    assert [frame["how"] for frame in track["frames"]] == ways
    for frame, pose in zip(track["frames"], swing(COUNT), strict=True):
        if frame["number"] == BLANK:
            assert (frame["world_from_ct"], frame["verdict"]) == (None, "reject")
            (reason,) = frame["reasons"]
            assert "no contrast" in reason and "/" not in reason
        else:
            assert off_mm(frame, pose) < 0.1
            assert frame["verdict"] in ("accept", "check") and len(frame["similarity"]) == 2
    first, second, *_ = track["frames"]
    assert first["mtre_mm"] < 0.1  # the case's truth is that of its own frame
    assert "mtre_mm" not in second
    assert {"case.json", "ct.nii.gz", "view1.mha", "view2.mha"} <= set(track["inputs"])
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def off_mm(frame, pose):
    return phantom.error_mm(np.array(frame["world_from_ct"]), np.array(pose))


@pytest.fixture(scope="module")
def single_frames(moving, tmp_path_factory):
    """A case for each of the first three frames, with images of their own: their folders."""
    folders = []
    for number, pose in enumerate(swing(3)):
        folder = tmp_path_factory.mktemp("frame")
        case = read_json(changed(moving, folder, truth={"world_from_ct": pose.tolist()}))
        for view in case["views"]:
            file = folder / f"{view['name']}.mha"
            sitk.WriteImage(sitk.ReadImage(view["image"])[:, :, number], str(file))
            view["image"] = file.name
        write_json(folder / "case.json", case)
        folders.append(folder)
    return folders


@pytest.mark.slow
@pytest.mark.parametrize("lists", [True, False], ids=["lists of images", "a case each"])
def test_single_images_are_the_same_sequence(tracked, moving, single_frames, tmp_path, lists):
    names = [folder.name for folder in single_frames]
    words = " ".join(map(str, single_frames))
    if lists:
        names = ["view1.mha"] * 3
        files = {n: " ".join(f"{each}/view{n}.mha" for each in single_frames) for n in (1, 2)}
        words = f"{moving} --images view1 {files[1]} --images view2 {files[2]}"
    frames = mvreg(f"track {words} --pace quick --json --out {tmp_path}/out").json["frames"]
    assert [frame["how"] for frame in frames] == ["registered", "followed", "followed"]
    assert [frame["name"] for frame in frames] == names
    assert frames[1]["verdict"] == "check" and codes_of(frames[1]) == {"followed"}
    whole = read_json(tracked[0] / "track.json")["frames"]
    assert all(off_mm(each, like["world_from_ct"]) < 0.1 for each, like in zip(frames, whole))
    assert lists or all(frame["mtre_mm"] < 0.2 for frame in frames)


def test_a_frame_that_cannot_be_read_is_told_without_its_folder(single_frames):
    sequence = FrameSequence.of_cases(single_frames)
    image = single_frames[1] / "view1.mha"
    whole = image.read_bytes()
    image.write_bytes(b"nothing")
    with pytest.raises(InputError) as told:
        sequence.load(1)
    image.write_bytes(whole)
    assert image.name in str(told.value) and image.parent.name not in str(told.value)


@pytest.mark.slow
@pytest.mark.parametrize("number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_what_stops_it_keeps_the_frames_that_are_done(
    moving, tmp_path, monkeypatch, number, status
):
    follow = Tracker.follow
    if number == signal.SIGINT:  # which shells ignore in background jobs
        signal.signal(number, signal.default_int_handler)
    before = signal.getsignal(number)

    def interrupted(self, frame, *given):
        if frame == 2:
            signal.raise_signal(number)
        return follow(self, frame, *given)

    monkeypatch.setattr(Tracker, "follow", interrupted)
    assert "2 of 5 frames" in mvreg(f"track {moving} --out {tmp_path}", status).err
    assert signal.getsignal(number) is before
    track = read_json(tmp_path / "track.json")
    assert track["stopped"] and [frame["number"] for frame in track["frames"]] == [0, 1]
    assert len((tmp_path / "track.tra").read_text().splitlines()) == COUNT


@pytest.mark.slow
def test_frames_are_written_as_they_are_finished(moving, tmp_path, monkeypatch):
    """A process that is killed leaves them."""
    follow = Tracker.follow
    written = []

    def followed(self, number, *given):
        written.append(len(read_json(tmp_path / "track.json")["frames"]))
        return follow(self, number, *given)

    monkeypatch.setattr(growing_track, "WRITING_SHARE", np.inf)
    monkeypatch.setattr(Tracker, "follow", followed)
    mvreg(f"track {moving} --pace quick --out {tmp_path}")
    assert written == [1, 2, 4]  # the blank one is not followed


@pytest.mark.slow
def test_an_earlier_track_stays_until_there_are_as_many_frames(
    tracked, moving, tmp_path, monkeypatch
):
    out = shutil.copytree(tracked[0], tmp_path / "track")
    before = read_json(out / "track.json")

    def interrupted(*given):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Tracker, "follow", interrupted)
        said = mvreg(f"track {moving} --pace quick --out {out}", 130).err
    assert read_json(out / "track.json") == before
    assert len(read_json(out / "unfinished" / "track.json")["frames"]) == 1
    assert str(Path("unfinished", "track.json")) in said
    mvreg(f"track {moving} --pace quick --out {out}")
    assert read_json(out / "track.json")["pace"] == "quick" and not (out / "unfinished").exists()


@pytest.mark.parametrize(
    "arguments, words",
    [
        ("CASE CASE --images view1 a.mha", "--images: takes one case"),
        ("CASE --images view1 CASE CASE --images view2 CASE", "2 of view1, 1 of view2"),
        ("CASE --images view1 CASE no.mha --images view2 CASE CASE", "no.mha: is no file"),
        ("STILL", "has no frame after the case's own"),
        ("STILL smaller/case.json", "names another CT"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    moving, case_file, tmp_path, monkeypatch, arguments, words
):
    monkeypatch.chdir(tmp_path)
    ct = sitk.ReadImage(str(case_file.parent / "ct.nii.gz"))
    (tmp_path / "smaller").mkdir()
    sitk.WriteImage(ct[:40], str(tmp_path / "smaller" / "smaller.nii.gz"))
    changed(case_file, tmp_path / "smaller", ct="smaller.nii.gz")
    given = arguments.replace("CASE", str(moving)).replace("STILL", str(case_file))
    assert words in mvreg(f"track {given} --out out", 2).refusal
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_camera_that_is_not_known_exactly_must_stay_the_same(moving, tmp_path):
    """It is corrected once, in the first frame; elsewhere it would have to be again."""
    views = read_json(changed(moving, tmp_path))["views"]
    views[1] |= {"rotation_sd_deg": 0.5, "translation_sd_mm": 0.5}
    given, cases = np.array(views[1]["projection_matrix"]), []
    for number in range(2):
        there = given @ rigid.translation([0, number, 0])
        first, second = ({**view, "frame": number} for view in views)
        (tmp_path / str(number)).mkdir()
        views_of_frame = [first, {**second, "projection_matrix": there.tolist()}]
        cases.append(changed(moving, tmp_path / str(number), views=views_of_frame))
    said = mvreg(f"track {cases[0]} {cases[1]} --out {tmp_path}/out", 2).err
    assert 'the camera of view "view2" is another one' in said
    track = mvreg(f"track {cases[0]} --pace quick --out {tmp_path}/out --json").json
    first, third = (track["frames"][n] for n in (0, 2))
    taken, again = (frame["cameras"][1]["camera_from_world"] for frame in (first, third))
    asked = Camera.from_projection_matrix(given, (128, 128))
    assert taken == again and not np.allclose(asked.camera_from_world, taken)
    assert third["how"] == "followed" and off_mm(third, swing(3)[2]) < 0.3


@pytest.fixture
def tracks(tracked, tmp_path):
    """Two tracks: the phantom's, and what turns by 5 degrees a frame about the first axis of it.

    And a function that changes the second; the command's arguments.
    """
    shutil.copytree(tracked[0], tmp_path / "fixed")
    track = turning(tracked[0]) | {"case": "<b>moving</b>"}
    (tmp_path / "moving").mkdir()

    def write(**changes):
        write_json(tmp_path / "moving" / "track.json", {**track, **changes})
        return f"{tmp_path}/fixed {tmp_path}/moving --out {tmp_path}/motion"

    return write


def test_the_motion_of_one_structure_against_another_is_a_table_and_a_page(tracks, tmp_path):
    said = mvreg(f"motion {tracks(centroid_ct=[0.0, 10.0, 0.0])} --json")
    lines = read_table(tmp_path / "motion" / "motion.csv")
    assert [line["frame"] for line in lines] == list("01234")
    last = lines[4]
    assert (last["moving"], last["against"]) == ("<b>moving</b>", "case")
    expected = {"rotation_x_deg": 20, "axis_x": 1, "shift_z_mm": 10 * np.sin(np.radians(20))}
    expected["axis_point_y_mm"] = 0
    assert {key: float(last[key]) for key in expected} == pytest.approx(expected, abs=1e-4)
    page = (tmp_path / "motion" / "motion.html").read_text()
    assert page.count("<img") == 2 and "1 of 5 frames" in page
    assert "&lt;b&gt;moving" in page and "<b>" not in page
    assert said.json["motion"][-1]["frame"] == 4


def test_each_number_of_a_motion_has_its_bound_and_each_frame_its_verdict(tracks, tmp_path):
    mvreg(f"motion {tracks(centroid_ct=[0.0, 10.0, 0.0])}")
    lines = read_table(tmp_path / "motion" / "motion.csv")
    numbers = [name.removesuffix("_upper95") for name in lines[0] if name.endswith("_upper95")]
    assert len(numbers) == len(set(numbers)) == 27 and set(numbers) <= set(lines[0])
    ways = "registered followed followed lost followed".split()
    assert [line["how"] for line in lines] == ways
    blank = lines[BLANK]
    assert blank["verdict"] == "reject"
    assert {blank[f"{name}{end}"] for name in numbers for end in ("", "_upper95")} == {""}
    assert float(lines[0]["angle_deg_upper95"]) == 0  # it is what the others are told from
    last = lines[4]
    assert 0 < float(last["rotation_x_deg_upper95"]) < 1
    assert last["rotation_y_deg"].startswith("not determined (")


def test_a_track_of_before_has_motions_without_bounds_that_are_not_accepted(tracks, tmp_path):
    words = tracks()
    for name in ("fixed", "moving"):
        path = tmp_path / name / "track.json"
        content = read_json(path)
        frames = [
            {key: frame[key] for key in frame if key != "error"} for frame in content["frames"]
        ]
        write_json(path, content | {"frames": frames})
    mvreg(f"motion {words}")
    last = read_table(tmp_path / "motion" / "motion.csv")[4]
    assert (last["verdict"], last["angle_deg_upper95"]) == ("check", "")
    assert float(last["angle_deg"]) == pytest.approx(20, abs=1e-4)


FRAME = {
    "number": 0,
    "verdict": "accept",
    "uses": {"position": {"verdict": "accept"}},
    "findings": [],
    "world_from_ct": None,
}
LOST = {
    "verdict": "reject",
    "uses": {"position": {"verdict": "reject"}},
    "findings": [{"code": "lost", "severity": "failure", "values": {"statement": "nothing."}}],
}


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"frames_in_all": 7}, "is of 7 frames, expected the 5"),
        ({"centroid_ct": [1, 2]}, "centroid_ct"),
        ({"frames": [FRAME | {"world_from_ct": np.diag([1, 1, -1, 1]).tolist()}]}, "world_from_ct"),
        ({"frames": [FRAME | LOST]}, "no frames of it"),
    ],
)
def test_tracks_that_do_not_fit_are_refused_in_one_sentence(tracks, tmp_path, changes, words):
    assert words in mvreg(f"motion {tracks(**changes)}", 2).refusal
    assert not (tmp_path / "motion").exists()
