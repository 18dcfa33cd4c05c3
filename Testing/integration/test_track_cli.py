"""`mvreg track` and `mvreg motion` from the outside: what they write, print and return."""

import csv
import json
import shutil
from itertools import pairwise

import numpy as np
import phantom
import pytest
import SimpleITK as sitk
from file_io import read_json, write_json
from moving import swing, turning, write_blinking_case
from program import changed, run

from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.camera import Camera
from MultiViewRegistrationLib.sequence.tracker import Tracker

COUNT, LOST = 6, 3


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """A case whose images have six frames, the fourth one blank. Not to be changed by a test."""
    return write_blinking_case(tmp_path_factory.mktemp("moving"), COUNT, LOST)


@pytest.fixture(scope="module")
def tracked(moving, tmp_path_factory):
    """Output folder and finished process of one run."""
    out = tmp_path_factory.mktemp("out") / "track"
    done = run("track", moving, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    return out, done


def table(path) -> list[dict]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_every_frame_has_its_pose_and_verdict_and_a_lost_one_its_reason(tracked):
    out, done = tracked
    track = read_json(out / "track.json")
    assert json.loads(done.stdout) == track
    assert (track["version"], track["frames_in_all"], track["stopped"]) == (2, COUNT, False)
    assert [
        frame["how"] for frame in track["frames"]
    ] == "registered followed followed lost followed followed".split()
    for frame, pose in zip(track["frames"], swing(COUNT), strict=True):
        if frame["number"] == LOST:
            assert (frame["world_from_ct"], frame["verdict"]) == (None, "reject")
            assert "no contrast" in frame["reasons"][0]
        else:
            assert phantom.error_mm(np.array(frame["world_from_ct"]), pose) < 0.1
            assert frame["verdict"] in ("accept", "check") and len(frame["similarity"]) == 2
        assert frame["scope"] == ("one-piece" if frame["verdict"] == "accept" else None)
    assert track["frames"][0]["mtre_mm"] < 0.1  # the case's truth is that of its own frame
    assert "mtre_mm" not in track["frames"][1]
    assert {"case.json", "ct.nii.gz", "view1.mha", "view2.mha"} <= set(track["inputs"])
    assert not [path for path in out.iterdir() if path.name.startswith(".")]


def test_lists_of_images_and_a_case_for_each_frame_are_the_same_sequence(
    mvreg, tracked, moving, tmp_path
):
    whole = read_json(tracked[0] / "track.json")["frames"]
    lists, cases = {}, []
    for number, pose in enumerate(swing(3)):
        folder = tmp_path / f"frame{number}"
        folder.mkdir()
        case = read_json(changed(moving, folder, truth={"world_from_ct": pose.tolist()}))
        for view in case["views"]:
            file = folder / f"{view['name']}.mha"
            sitk.WriteImage(sitk.ReadImage(view["image"])[:, :, number], str(file))
            lists.setdefault(view["name"], []).append(file)
            view["image"] = file.name
        write_json(folder / "case.json", case)
        cases.append(folder)
    images = [part for name, files in lists.items() for part in ("--images", name, *files)]
    for given, names in (
        ([moving, *images], ["view1.mha"] * 3),
        (cases, ["frame0", "frame1", "frame2"]),
    ):
        done = mvreg("track", *given, "--pace", "quick", "--json", "--out", tmp_path / "out")
        frames = json.loads(done.stdout)["frames"]
        assert [frame["how"] for frame in frames] == ["registered", "followed", "followed"]
        assert [frame["name"] for frame in frames] == names
        assert frames[1]["verdict"] == "check" and "not measured" in frames[1]["reasons"][0]
        for frame, like in zip(frames, whole, strict=False):
            assert (
                phantom.error_mm(np.array(frame["world_from_ct"]), np.array(like["world_from_ct"]))
                < 0.1
            )
    assert all(frame["mtre_mm"] < 0.2 for frame in frames)


def test_what_stops_it_keeps_the_frames_that_are_done(mvreg, moving, tmp_path, monkeypatch):
    follow = Tracker.follow

    def interrupted(self, number, *given):
        if number == 2:
            raise KeyboardInterrupt
        return follow(self, number, *given)

    monkeypatch.setattr(Tracker, "follow", interrupted)
    done = mvreg("track", moving, "--out", tmp_path)
    assert done.returncode == 130 and "2 of 6 frames" in done.stderr
    track = read_json(tmp_path / "track.json")
    assert track["stopped"] and [frame["number"] for frame in track["frames"]] == [0, 1]
    assert len((tmp_path / "track.tra").read_text().splitlines()) == COUNT


@pytest.mark.parametrize(
    "arguments, words",
    [
        ("CASE CASE --images view1 a.mha".split(), "--images: takes one case"),
        (
            "CASE --images view1 CASE CASE --images view1 CASE".split(),
            "names a view twice",
        ),
        (
            "CASE --images view1 CASE CASE --images view2 CASE".split(),
            "2 of view1, 1 of view2",
        ),
        (
            "CASE --images view1 CASE no.mha --images view2 CASE CASE".split(),
            "no.mha: is no file",
        ),
        (["STILL"], "has no frame after the case's own"),
        (["STILL", "SMALLER"], "names another CT"),
    ],
)
def test_bad_input_is_one_sentence_and_leaves_nothing(
    mvreg, moving, case_file, tmp_path, arguments, words
):
    ct = sitk.ReadImage(str(case_file.parent / "ct.nii.gz"))
    (tmp_path / "smaller").mkdir()
    sitk.WriteImage(ct[:40], str(tmp_path / "smaller" / "smaller.nii.gz"))
    smaller = changed(case_file, tmp_path / "smaller", ct="smaller.nii.gz")
    paths = {"CASE": moving, "STILL": case_file, "SMALLER": smaller}
    done = mvreg(
        "track",
        *(paths.get(word, word) for word in arguments),
        "--out",
        tmp_path / "out",
        cwd=tmp_path,
    )
    assert done.returncode == 2 and words in done.stderr and done.stderr.strip().count("\n") == 0, (
        done.stderr
    )
    assert not (tmp_path / "out").exists()


def test_a_camera_that_is_not_known_exactly_must_stay_the_same(mvreg, moving, tmp_path):
    """It is corrected once, in the first frame; elsewhere it would have to be again."""
    views, cases = read_json(changed(moving, tmp_path))["views"], []
    views[1] |= {"rotation_sd_deg": 0.5, "translation_sd_mm": 0.5}
    for number in range(2):
        matrix = np.array(views[1]["projection_matrix"])
        matrix = matrix @ rigid.translation([0, number, 0])
        views = [{**view, "frame": number} for view in views]
        views[1]["projection_matrix"] = matrix.tolist()
        (tmp_path / str(number)).mkdir()
        cases.append(changed(moving, tmp_path / str(number), views=views))
    done = mvreg("track", *cases, "--out", tmp_path / "out")
    assert done.returncode == 2 and 'the camera of view "view2" is another one' in done.stderr
    assert mvreg("track", cases[0], "--pace", "quick", "--out", tmp_path / "out").returncode == 0
    frames = read_json(tmp_path / "out" / "track.json")["frames"]
    given = read_json(cases[0])["views"]
    first, third = (frames[n]["cameras"][1]["camera_from_world"] for n in (0, 2))
    asked = Camera.from_projection_matrix(given[1]["projection_matrix"], (128, 128))
    assert first == third and not np.allclose(asked.camera_from_world, first)
    assert frames[2]["how"] == "followed"
    assert phantom.error_mm(np.array(frames[2]["world_from_ct"]), swing(3)[2]) < 0.3


@pytest.fixture
def tracks(tracked, tmp_path):
    """Two tracks: the phantom's, and what turns by 5 degrees a frame about the first axis of it.

    And a function that changes the second.
    """
    out, _ = tracked
    shutil.copytree(out, tmp_path / "fixed")
    track = turning(out)
    (tmp_path / "moving").mkdir()

    def write(**changes):
        write_json(
            tmp_path / "moving" / "track.json", {**track, "case": "<b>moving</b>", **changes}
        )
        return tmp_path / "fixed", tmp_path / "moving", "--out", tmp_path / "motion"

    return write


def test_the_motion_of_one_structure_against_another_is_a_table_and_a_page(mvreg, tracks, tmp_path):
    done = mvreg("motion", *tracks(centroid_ct=[0.0, 10.0, 0.0]), "--json")
    assert done.returncode == 0, done.stderr
    lines = table(tmp_path / "motion" / "motion.csv")
    assert [line["frame"] for line in lines] == list("012345")
    assert lines[LOST]["angle_deg"] == lines[LOST]["axis_x"] == lines[LOST]["m00"] == ""
    assert lines[5].pop("moving") == "<b>moving</b>"
    assert lines[5].pop("against").startswith("moving")  # its case's folder
    last = {key: float(value) for key, value in lines[5].items()}
    expected = {f"rotation_{axis}_deg": 0 for axis in "yz"} | {"rotation_x_deg": 25, "axis_x": 1}
    expected |= {"shift_z_mm": 10 * np.sin(np.radians(25)), "along_axis_mm": 0}
    expected["axis_point_y_mm"] = 0
    assert {key: last[key] for key in expected} == pytest.approx(expected, abs=1e-4)
    angles = [float(line["angle_deg"]) for line in lines if line["angle_deg"]]
    assert all(after > before for before, after in pairwise(angles))
    page = (tmp_path / "motion" / "motion.html").read_text()
    assert (
        page.count("<svg") == 2
        and "&lt;b&gt;moving" in page
        and "<b>" not in page
        and "1 of 6 frames" in page
    )
    assert json.loads(done.stdout)["motion"][-1]["frame"] == 5


FRAME = {"number": 0, "verdict": "accept", "world_from_ct": None}


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"frames_in_all": 7}, "is of 7 frames, expected the 6"),
        ({"centroid_ct": [1, 2]}, "centroid_ct"),
        ({"frames": [FRAME | {"world_from_ct": np.diag([1, 1, -1, 1]).tolist()}]}, "world_from_ct"),
        ({"frames": [FRAME | {"verdict": "reject"}]}, "no frames of it"),
    ],
)
def test_tracks_that_do_not_fit_are_refused_in_one_sentence(
    mvreg, tracks, tmp_path, changes, words
):
    done = mvreg("motion", *tracks(**changes))
    assert done.returncode == 2 and words in done.stderr and done.stderr.strip().count("\n") == 0, (
        done.stderr
    )
    assert not (tmp_path / "motion").exists()
