"""Start poses and landmarks from files, driven as a person does."""

from __future__ import annotations

import json

import numpy as np
import pytest
from person import Person
from phantom import TRUE_POSE
from phantom_scene import phantom_registration

from MultiViewRegistrationLib.geometry import rigid


@pytest.fixture
def person(host):
    """At the Start section of the phantom."""
    person = Person(host)
    person.begin("start", phantom_registration(host.scene))
    return person


def choose(person, button, path):
    person.host.answers.open_files = [path]
    person.host.click(button)


def rows(part):
    return {label.text: widget for label, widget in part.questions.rows.values() if widget.visible}


def test_a_pose_is_placed_once_its_axes_and_direction_are_said(person, tmp_path):
    ui, part = person.of("start"), person.panel.sections["start"].pose_file
    person.host.click(ui.givenRadioButton)
    assert not ui.placeCTButton.visible
    before = person.pose
    np.savetxt(tmp_path / "pose.txt", rigid.inverse(TRUE_POSE))
    choose(person, ui.poseFileButton, tmp_path / "pose.txt")
    assert (
        ui.poseFileLabel.text == "pose.txt"
        and list(rows(part)) == ["Axes:", "Direction:"]
        and not ui.placeCTButton.enabled
    )
    person.host.choose(rows(part)["Axes:"], "LPS (DICOM, ITK; all .tfm and .h5)")
    assert not ui.placeCTButton.enabled
    person.host.choose(rows(part)["Direction:"], "the world to the CT (saved by Slicer)")
    assert np.allclose(person.pose, before)
    person.host.click(ui.placeCTButton)
    np.testing.assert_allclose(person.pose, TRUE_POSE, atol=1e-9)
    assert person.history()[-1].startswith("Transform")
    (tmp_path / "bad.txt").write_text("1 2 3")
    choose(person, ui.poseFileButton, tmp_path / "bad.txt")
    assert "has 3 numbers" in ui.poseProblemLabel.text and not ui.placeCTButton.visible and rows(part) == {}


def markups(path, points):
    path.write_text(
        json.dumps(
            {
                "markups": [
                    {
                        "coordinateSystem": "LPS",
                        "controlPoints": [
                            {"label": name, "position": list(map(float, point))} for name, point in points.items()
                        ],
                    }
                ]
            }
        )
    )
    return path


def test_landmarks_of_ct_and_xrays_come_from_files_and_register(person, tmp_path):
    from phantom_scene import phantom

    ui, part = person.of("start"), person.panel.sections["start"].landmarks
    person.host.click(ui.landmarksRadioButton)
    points = {f"L{i}": point for i, point in enumerate(np.array([[20.0, 0, 0], [0, 20, 0], [0, 0, 20], [-15, -10, 5]]))}
    choose(person, ui.landmarkFileButton, markups(tmp_path / "ct.mrk.json", points))
    table = ui.landmarksTable
    assert [table.item(row, 0).text() for row in range(4)] == list(points)
    view = phantom()[1][0]
    pixels = {
        name: (*view.camera.project(rigid.transform_points(TRUE_POSE, point)), 0) for name, point in points.items()
    }
    person.host.choose(ui.landmarkTargetBox, "view1")
    assert not ui.landmarkFileButton.enabled and list(rows(part)) == ["Points lie:"]
    person.host.choose(rows(part)["Points lie:"], "on the image's own volume")
    choose(person, ui.landmarkFileButton, markups(tmp_path / "view1.mrk.json", pixels))
    assert person.message == "" and table.item(0, 2).text() == "\u2714"
    person.host.click(person.of("register").registerButton)
    person.wait_for_work()
    np.testing.assert_allclose(person.pose, TRUE_POSE, atol=0.1)


def test_a_file_without_landmarks_is_told(person, tmp_path):
    ui = person.of("start")
    person.host.click(ui.landmarksRadioButton)
    choose(person, ui.landmarkFileButton, markups(tmp_path / "none.mrk.json", {}))
    assert "has no points" in person.message
