"""What a page was sent names nothing outside: neither scenes, nor cases, nor what these name in turn."""

from __future__ import annotations

import json
import random
import stat
import zipfile

import numpy as np
import planted_file
import pytest
import SimpleITK as sitk
from phantom import write_phantom_case

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.imaging import image_source
from MultiViewRegistrationLib.io.files import keep_within

pytest.importorskip("trame_slicer", reason="needs slicer-core: pip install -e .[viewer]")

VOLUME = (
    '<VolumeArchetypeStorage id="vtkMRMLVolumeArchetypeStorageNode1" name="s" {}></VolumeArchetypeStorage><Volume '
    'id="vtkMRMLScalarVolumeNode1" name="v" storageNodeRef="vtkMRMLVolumeArchetypeStorageNode1"></Volume>'
)
TEXT = (
    '<TextStorage id="vtkMRMLTextStorageNode1" name="s" {}></TextStorage><Text id="vtkMRMLTextNode1" name="t" '
    'storageNodeRef="vtkMRMLTextStorageNode1"></Text>'
)


@pytest.fixture(scope="module")
def app():
    import slicer
    from trame_slicer.core import SlicerApp

    app = SlicerApp()
    slicer.mrmlScene = app.scene
    return app


@pytest.fixture
def folder(tmp_path):
    """What was sent."""
    (tmp_path / "sent").mkdir()
    keep_within(tmp_path / "sent")
    return tmp_path / "sent"


@pytest.fixture
def target(tmp_path):
    return planted_file.plant(tmp_path / "elsewhere")


def scene_of(nodes: str) -> str:
    return f'<MRML version="Slicer4.4.0" userTags="">{nodes}</MRML>'


def pack(path, **files) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def leaked(app, path, saved) -> str:
    """What of the planted file is in the scene that a path becomes, or in the files that this is saved to; "" for nothing."""
    import slicer

    from MultiViewRegistrationLib.viewer.opening import sent
    from MultiViewRegistrationLib.viewer.scene_files import save_scene

    app.scene.Clear(True)
    try:
        sent(path)(app.scene)
    except InputError as error:
        return "told" if planted_file.WORD.decode() in str(error) else ""
    text = app.scene.GetFirstNodeByClass("vtkMRMLTextNode")
    if text is not None and planted_file.WORD.decode() in (text.GetText() or ""):
        return "text"
    volume = app.scene.GetFirstNodeByClass("vtkMRMLVolumeNode")
    if (
        volume is not None
        and volume.GetImageData()
        and planted_file.WORD in slicer.util.arrayFromVolume(volume).tobytes()
    ):
        return "volume"
    with zipfile.ZipFile(save_scene(app.scene, saved)()) as archive:
        return "saved" if any(planted_file.WORD in archive.read(name) for name in archive.namelist()) else ""


def test_no_scene_that_was_sent_reads_another_file(app, folder, target, tmp_path, capfd):
    found = []
    (folder / "a").mkdir()
    for spelling, name in planted_file.spellings(target, folder / "a").items():
        for key in ("fileName", "fileListMember0", "uri", "uriListMember0", "filename"):
            plain = "" if key == "fileName" else 'fileName="a.txt" '
            for nodes in (TEXT, VOLUME, f'<SceneView id="vtkMRMLSceneViewNode1" name="x">{TEXT}</SceneView>'):
                for spelled in (name, name.replace("/", "&#47;"), name.replace("..", "&#x2e;.")):
                    (folder / "a" / "a.mrml").write_text(scene_of(nodes.format(f'{plain}{key}="{spelled}"')))
                    found += [
                        f"{key} {spelling} {leak}" for leak in [leaked(app, folder, tmp_path / "saved.mrb")] if leak
                    ]
    assert not found
    assert planted_file.WORD.decode() not in "".join(capfd.readouterr())


def test_no_header_in_a_scene_reads_another_file(app, folder, target, tmp_path):
    (folder / "a").mkdir()
    found, dice = [], random.Random(21)
    for what, path in planted_file.headers(folder / "a", target):
        if dice.random() < 0.85:
            continue
        (folder / "sent.mrb").unlink(missing_ok=True)
        pack(
            folder / "sent.mrb",
            **{"a/a.mrml": scene_of(VOLUME.format(f'fileName="{path.name}"')), f"a/{path.name}": path.read_bytes()},
        )
        found += [f"{what} {leak}" for leak in [leaked(app, folder, tmp_path / "saved.mrb")] if leak]
    for what, path in planted_file.others(folder / "a", target):
        (folder / "a" / "a.mrml").write_text(scene_of(VOLUME.format(f'fileName="{path.name}"')))
        found += [f"{what} {leak}" for leak in [leaked(app, folder / "a", tmp_path / "saved.mrb")] if leak]
        (folder / "a" / "a.mrml").unlink()
    assert not found


def test_what_an_archive_holds_becomes_plain_files(app, folder, target, tmp_path):
    link = zipfile.ZipInfo("a/secret.txt")
    link.create_system, link.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(folder / "a.mrb", "w") as archive:
        archive.writestr(link, str(target))
        archive.writestr("a/a.mrml", scene_of(TEXT.format('fileName="secret.txt"')))
    assert not leaked(app, folder, tmp_path / "saved.mrb")


@pytest.mark.parametrize(
    "name, told",
    [
        ("a.seq.mrb", "of none of the formats"),
        ("a.vtm", "of none of the formats"),
        ("a.mrml", "of none of the formats"),
    ],
)
def test_a_scene_names_only_formats_that_name_nothing(folder, name, told):
    from MultiViewRegistrationLib.viewer.opening import sent

    pack(
        folder / "s.mrb",
        **{"a/s.mrml": scene_of(TEXT.format(f'fileName="{name}"')), f"a/{name}": b"x", "a/b/c.txt": b""},
    )
    with pytest.raises(InputError, match=told):
        sent(folder)


def test_a_whole_scene_is_read(app, folder):
    import slicer

    from MultiViewRegistrationLib.viewer.opening import sent

    sitk.WriteImage(sitk.GetImageFromArray(np.full((4, 5, 6), 7, "u1")), str(folder / "v.mhd"))
    sitk.WriteTransform(sitk.Euler3DTransform(), str(folder / "t.h5"))
    (folder / "s.mrml").write_text(
        scene_of(
            VOLUME.format('fileName="v.mhd"')
            + TEXT.format('fileName="t%20.txt"')
            + ('<TransformStorage id="vtkMRMLTransformStorageNode1" name="s" fileName="t.h5"></TransformStorage>')
        )
    )
    (folder / "t .txt").write_text("Hello.")
    app.scene.Clear(True)
    sent(folder)(app.scene)
    assert slicer.util.arrayFromVolume(app.scene.GetFirstNodeByClass("vtkMRMLVolumeNode")).mean() == 7
    assert app.scene.GetFirstNodeByClass("vtkMRMLTextNode").GetText() == "Hello."


def test_no_case_that_was_sent_reads_another_file(folder, target):
    from MultiViewRegistrationLib.session import adding
    from MultiViewRegistrationLib.viewer.opening import sent

    case = json.loads(write_phantom_case(folder).read_text())
    sent(folder)
    for name in planted_file.spellings(target, folder).values():
        for key in ("ct", "mask", "image", "view mask"):
            changed = json.loads(json.dumps(case))
            (changed if key in ("ct", "mask") else changed["views"][1])[key.split()[-1]] = name
            (folder / "case.json").write_text(json.dumps(changed))
            for read in (lambda: sent(folder), lambda: adding.read(folder / "case.json")):
                with pytest.raises(InputError, match=r"outside the folder that was sent|does not exist"):
                    read()


def test_an_archive_that_unpacks_to_more_than_there_is_room_for_is_refused(folder, monkeypatch):
    from MultiViewRegistrationLib.viewer import scene_files
    from MultiViewRegistrationLib.viewer.opening import sent

    with zipfile.ZipFile(folder / "a.mrb", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/a.mrml", scene_of(""))
        archive.writestr("a/zeros.txt", bytes(50 << 20))
    monkeypatch.setattr(scene_files.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 40 << 20}))
    with pytest.raises(InputError, match=r"would take more than 0\.0391 GB unpacked"):
        sent(folder)
    monkeypatch.undo()
    monkeypatch.setattr(scene_files, "MOST_FILES", 1)
    with pytest.raises(InputError, match="holds 2 files"):
        sent(folder)


def test_a_volume_in_a_scene_that_memory_cannot_hold_is_refused(folder, monkeypatch):
    from MultiViewRegistrationLib.viewer.opening import sent

    monkeypatch.setattr(image_source, "free_bytes", lambda: 1 << 30)
    head = planted_file.META.replace("24 20 16", "1000 1000 500").replace(
        "Data = True", "Data = True\nCompressedData = True", 1
    )
    pack(
        folder / "s.mrb",
        **{
            "a/s.mrml": scene_of(VOLUME.format('fileName="v.mha"')),
            "a/v.mha": head.encode() + b"ElementDataFile = LOCAL\n" + bytes(400_000),
        },
    )
    with pytest.raises(
        InputError, match=r"v\.mha: has 5e\+08 voxels, which take 2\.33 GB of memory, but 1 GB are free"
    ):
        sent(folder)


def test_a_sentence_names_files_as_they_were_sent(tmp_path):
    import tempfile

    from MultiViewRegistrationLib.io.files import as_sent

    home = (tmp_path / "sent").resolve()
    home.mkdir()
    keep_within(home)
    assert as_sent(f"{home}/a/x.mha: is broken, and so is {home}/y.mha.") == "a/x.mha: is broken, and so is y.mha."
    assert as_sent(f"{home}: holds nothing.") == "Dropped files: holds nothing."
    assert as_sent(f"{tempfile.gettempdir()}/mvreg-case-1_x/case.json: ct is missing.") == "case.json: ct is missing."
    assert as_sent("/data/x.mha: is broken.") == "/data/x.mha: is broken."
