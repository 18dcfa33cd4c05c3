"""The Export section in Qt: a folder is chosen, the report opened, the transform shown."""

import pytest
from helpers.phantom_scene import settle

from MultiViewRegistrationLib.session import result_files


@pytest.fixture
def person(person):
    """At the Export section, at a pose that passes for a result."""
    person.begin("export")
    settle(person.session)
    person.host.process(0.1)
    return person


def folders(path):
    return {each for each in path.iterdir() if each.is_dir()}


def write_report(session, folder, kinds, **options):
    """As `result_files.write_result`, which Testing/session tests, but with empty files."""

    def write(staging):
        files = [staging / "report.html", staging / "world_from_ct.tfm"]
        for file in files:
            file.touch()
        return files

    return write


def test_the_report_and_the_transform_are_opened(person, tmp_path, monkeypatch):
    monkeypatch.setattr(result_files, "write_result", write_report)
    person.write_files("export", "registration", tmp_path)
    person.wait_for_work()
    assert person.message == "" and person.header("export") == "\u2714 written"
    person.press("export", "report.html")
    assert person.host.shown("url") == [(tmp_path / "report.html").as_uri()]
    (tmp_path / "report.html").unlink()
    person.press("export", "report.html")
    assert "is no longer there" in person.message
    person.press("export", "show_transform")
    assert person.host.slicer.util.selectedModule() == "Transforms"


@pytest.mark.slow
def test_each_export_has_a_folder_of_its_own_beside_an_earlier_one_if_the_person_agrees(
    person, tmp_path
):
    (tmp_path / "notes.txt").touch()
    person.write_files("export", "registration", tmp_path)
    person.wait_for_work()
    (first,) = folders(tmp_path)
    assert first.name.startswith("registration-") and person.host.shown("question") == []
    person.host.process(1.1)  # its name has another time
    person.host.answers.yes = False
    person.write_files("export", "registration", first)
    assert "holds an earlier export" in person.host.shown("question")[0]
    assert folders(tmp_path) == {first}
    person.host.answers.yes = True
    person.write_files("export", "registration", first)
    person.wait_for_work()
    (second,) = folders(tmp_path) - {first}
    assert sorted(each.name for each in first.iterdir()) == sorted(
        each.name for each in second.iterdir()
    )
