"""What is opened: scenes, cases, tracks.

And what was sent names nothing outside, neither scenes nor cases, nor what these name.
"""

import json
import random
import shutil
import stat
import tempfile
import zipfile

import numpy as np
import pytest
import SimpleITK as sitk
import slicer
from helpers import planted_file
from helpers.file_io import read_json, write_json, write_values
from helpers.moving import COUNT
from helpers.phantom import write_phantom_case
from helpers.refusals import refuses
from helpers.running_session import poll

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.files import keep_within, redact_upload_paths
from MultiViewRegistrationLib.io.recognise import recognise, whole_files
from MultiViewRegistrationLib.session import adding
from MultiViewRegistrationLib.session.presenters.frontend import read_whole
from MultiViewRegistrationLib.session.result_files import read_track
from MultiViewRegistrationLib.session.session import Session
from MultiViewRegistrationLib.viewer import scene_files
from MultiViewRegistrationLib.viewer.scene_files import read_scene, save_scene

VOLUME = (
    '<VolumeArchetypeStorage id="vtkMRMLVolumeArchetypeStorageNode1" name="s" {}></VolumeArchetypeStorage><Volume '
    'id="vtkMRMLScalarVolumeNode1" name="v" storageNodeRef="vtkMRMLVolumeArchetypeStorageNode1"></Volume>'
)
TEXT = (
    '<TextStorage id="vtkMRMLTextStorageNode1" name="s" {}></TextStorage><Text id="vtkMRMLTextNode1" name="t" '
    'storageNodeRef="vtkMRMLTextStorageNode1"></Text>'
)


@pytest.fixture
def folder(tmp_path):
    """What was sent."""
    (tmp_path / "sent").mkdir()
    keep_within(tmp_path / "sent")
    return tmp_path / "sent"


@pytest.fixture
def target(tmp_path):
    return planted_file.plant(tmp_path / "elsewhere")


def sent(folder):
    """What reads the whole among files that a page has sent."""
    return read_whole(whole_files(recognise([folder]))[0].path, read_scene=read_scene)


def scene_of(nodes):
    return f'<MRML version="Slicer4.4.0" userTags="">{nodes}</MRML>'


def pack(path, **files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


@pytest.fixture
def leak(scene, tmp_path):
    """Where of the scene that a path becomes, or of the files that this is saved to, the planted file is; "" for nowhere."""

    def find(path):
        word = planted_file.WORD
        scene.Clear(False)  # but for what an application keeps in it
        try:
            sent(path)(scene)
        except InputError as error:
            return "message" if word.decode() in str(error) else ""
        text, volume = (
            scene.GetFirstNodeByClass(f"vtkMRML{kind}Node") for kind in ("Text", "Volume")
        )
        if text is not None and word.decode() in (text.GetText() or ""):
            return "text"
        if (
            volume is not None
            and volume.GetImageData()
            and word in slicer.util.arrayFromVolume(volume).tobytes()
        ):
            return "volume"
        with zipfile.ZipFile(save_scene(scene, tmp_path / "saved.mrb")()) as archive:
            return "saved" if any(word in archive.read(name) for name in archive.namelist()) else ""

    return find


@pytest.mark.slow
def test_no_scene_that_was_sent_reads_another_file(folder, target, leak, capfd):
    found = []
    (folder / "a").mkdir()
    for spelling, name in planted_file.spellings(target, folder / "a").items():
        for key in ("fileName", "fileListMember0", "uri", "uriListMember0", "filename"):
            plain = "" if key == "fileName" else 'fileName="a.txt" '
            for nodes in (
                TEXT,
                VOLUME,
                f'<SceneView id="vtkMRMLSceneViewNode1" name="x">{TEXT}</SceneView>',
            ):
                for spelled in (name, name.replace("/", "&#47;"), name.replace("..", "&#x2e;.")):
                    (folder / "a" / "a.mrml").write_text(
                        scene_of(nodes.format(f'{plain}{key}="{spelled}"'))
                    )
                    found += [f"{key} {spelling} {where}" for where in [leak(folder)] if where]
    assert not found
    assert planted_file.WORD.decode() not in "".join(capfd.readouterr())


@pytest.mark.slow
def test_no_header_in_a_scene_reads_another_file(folder, target, leak):
    (folder / "a").mkdir()
    found, rng = [], random.Random(21)
    for what, path in planted_file.headers(folder / "a", target):
        if rng.random() < 0.85:
            continue
        (folder / "sent.mrb").unlink(missing_ok=True)
        mrml = scene_of(VOLUME.format(f'fileName="{path.name}"'))
        pack(folder / "sent.mrb", **{"a/a.mrml": mrml, f"a/{path.name}": path.read_bytes()})
        found += [f"{what} {where}" for where in [leak(folder)] if where]
    for what, path in planted_file.others(folder / "a", target):
        (folder / "a" / "a.mrml").write_text(scene_of(VOLUME.format(f'fileName="{path.name}"')))
        found += [f"{what} {where}" for where in [leak(folder / "a")] if where]
        (folder / "a" / "a.mrml").unlink()
    assert not found


@pytest.mark.slow
def test_what_an_archive_holds_becomes_plain_files(folder, target, leak):
    link = zipfile.ZipInfo("a/secret.txt")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(folder / "a.mrb", "w") as archive:
        archive.writestr(link, str(target))
        archive.writestr("a/a.mrml", scene_of(TEXT.format('fileName="secret.txt"')))
    assert not leak(folder)


@pytest.mark.parametrize(
    "files, message",
    [
        (
            {"a/s.mrml": TEXT.format('fileName="a.seq.mrb"'), "a/a.seq.mrb": "x"},
            "of none of the formats",
        ),
        ({"a/s.mrml": TEXT.format('fileName="a.vtm"'), "a/a.vtm": "x"}, "of none of the formats"),
        (
            {"a/s.mrml": TEXT.format('fileName="b.mrml"'), "a/b.mrml": "x", "a/b/c.txt": ""},
            "of none of the formats",
        ),
        ({"../../evil.txt": "x", "a/a.mrml": ""}, "stays in its folder"),
        ({"a/a.mrml": '<!DOCTYPE x [<!ENTITY a "b">]>'}, "is no scene"),
        ({"a.txt": "x"}, r"holds no \.mrml"),
        (
            {"a/a.mrml": "", "a/zeros.txt": "0" * (3 << 20)},
            r"would take more than 0\.00195 GB unpacked",
        ),
        ({f"{n}.txt": "" for n in range(8)}, "holds 8 files"),
    ],
)
def test_a_scene_is_refused(folder, monkeypatch, files, message):
    monkeypatch.setattr(
        scene_files.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 2 << 20})
    )
    monkeypatch.setattr(scene_files, "MAX_FILES", 7)
    wrapped = {
        name: text if text.startswith("<!") or not name.endswith(".mrml") else scene_of(text)
        for name, text in files.items()
    }
    pack(folder / "s.mrb", **wrapped)
    with refuses(message):
        sent(folder)
    assert not (folder.parents[1] / "evil.txt").exists()


@pytest.mark.slow
def test_a_whole_scene_is_read(scene, folder):
    write_values(folder / "v.mhd", np.full((4, 5, 6), 7, "u1"))
    sitk.WriteTransform(sitk.Euler3DTransform(), str(folder / "t.h5"))
    transform = '<TransformStorage id="vtkMRMLTransformStorageNode1" name="s" fileName="t.h5"></TransformStorage>'
    nodes = VOLUME.format('fileName="v.mhd"') + TEXT.format('fileName="t%20.txt"') + transform
    (folder / "s.mrml").write_text(scene_of(nodes))
    (folder / "t .txt").write_text("Hello.")
    sent(folder)(scene)
    assert slicer.util.arrayFromVolume(scene.GetFirstNodeByClass("vtkMRMLVolumeNode")).mean() == 7
    assert scene.GetFirstNodeByClass("vtkMRMLTextNode").GetText() == "Hello."


@pytest.mark.slow
def test_no_case_that_was_sent_reads_another_file(folder, target):
    case = read_json(write_phantom_case(folder))
    sent(folder)
    for name in planted_file.spellings(target, folder).values():
        for key in ("ct", "mask", "image", "view mask"):
            changed = json.loads(json.dumps(case))
            (changed if key in ("ct", "mask") else changed["views"][1])[key.split()[-1]] = name
            write_json(folder / "case.json", changed)
            for read in (lambda: sent(folder), lambda: adding.read(folder / "case.json")):
                with refuses(r"outside the folder that was sent|does not exist"):
                    read()


def test_a_sentence_names_files_as_they_were_sent(folder):
    home, temporary = folder.resolve(), tempfile.gettempdir()
    assert (
        redact_upload_paths(f"{home}/a/x.mha: is broken, and so is {home}/y.mha.")
        == "a/x.mha: is broken, and so is y.mha."
    )
    assert redact_upload_paths(f"{home}: holds nothing.") == "Dropped files: holds nothing."
    assert (
        redact_upload_paths(f"{temporary}/mvreg-case-1_x/case.json: ct is missing.")
        == "case.json: ct is missing."
    )
    assert redact_upload_paths("/data/x.mha: is broken.") == "/data/x.mha: is broken."


# Tracked sequences


@pytest.mark.slow
def test_a_folder_is_opened_by_its_track_and_brings_its_case(study, tmp_path):
    for read in (
        read_whole(study / "track"),
        read_whole(study / "track" / "track.json"),
        sent(study),
    ):
        track = read.play.args[0]
        assert len(track.frames) == COUNT
        assert [view.name for view in read.case.views] == ["view1", "view2"]
    shutil.copytree(study / "track", tmp_path / "track")
    with refuses("which is not there"):
        read_whole(tmp_path / "track")
    assert len(read_whole(tmp_path / "track", study / "case" / "case.json").play.args[1]) == COUNT


def test_other_files_than_those_that_were_tracked_are_reported(study, tmp_path):
    shutil.copytree(study, tmp_path / "study")
    case = tmp_path / "study" / "case" / "case.json"
    case.write_text(case.read_text().replace('"version": 1', '"version":  1'))
    with pytest.warns(UserWarning, match="are not those that were tracked"):
        read_whole(tmp_path / "study" / "track")


@pytest.mark.parametrize(
    "file, change",
    [
        ("track/track.json", {"sequence": {"cases": ["../../elsewhere/case.json"]}}),
        ("track/track.json", {"sequence": {"cases": ["/etc/passwd"]}}),
        (
            "track/track.json",
            {
                "sequence": {
                    "cases": ["../case/case.json"],
                    "images": {"view1": ["/etc/passwd", "/etc/passwd"]},
                }
            },
        ),
        ("case/case.json", {"ct": "/etc/passwd"}),
    ],
)
def test_a_track_that_was_sent_names_no_file_outside(study, tmp_path, file, change):
    folder = tmp_path / "study"
    shutil.copytree(study, folder)
    write_json(folder / file, {**read_json(folder / file), **change})
    keep_within(folder)
    with refuses("names a file outside the folder that was sent"):
        sent(folder)


@pytest.mark.slow
def test_a_sent_scene_saved_at_a_frame_opens_without_its_sequence(scene, study, tmp_path):
    read = read_track(study / "track" / "track.json")
    session = Session(read(scene))
    session.cache_case(read.case)
    read.play(session)
    session.sequence.player.go(2)
    poll(session, 20, lambda: session.sequence.player.number == 2)
    keep_within(tmp_path)
    load = read_scene(save_scene(scene, tmp_path / "scene.mrb")())
    scene.Clear(False)
    session = Session(load(scene))
    poll(session, 20, lambda: session.sequence.message)
    assert session.sequence.player is None
    assert "sent without the files of its frames" in session.sequence.message
    assert [view.source.GetName() for view in session.registration.xrays] == ["view1", "view2"]
    assert str(study) not in session.registration.parameter("sequence")
