"""No folder stays in the temporary directory, however the server ends and whatever it refused."""

from __future__ import annotations

import os
import signal
import zipfile
from time import monotonic, sleep

import pytest
from served import PATIENCE_S, Served

MRML = '<MRML version="Slicer4.4.0" userTags="">{}</MRML>'
#: Scenes that are refused: where they are read, and where they are put into the scene.
REFUSED = {
    "outside": MRML.format('<TextStorage id="vtkMRMLTextStorageNode1" name="s" fileName="/etc/passwd"></TextStorage>'),
    "none": "not a scene",
    "missing": MRML.format(
        '<VolumeArchetypeStorage id="vtkMRMLVolumeArchetypeStorageNode1" name="s" fileName="no.nrrd">'
        '</VolumeArchetypeStorage><Volume id="vtkMRMLScalarVolumeNode1" name="v" '
        'storageNodeRef="vtkMRMLVolumeArchetypeStorageNode1"></Volume>'
    ),
}


def send(server: Served, name: str, content: bytes) -> None:
    body = (
        (f'--x\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n').encode()
        + content
        + b"\r\n--x--\r\n"
    )
    until = monotonic() + PATIENCE_S
    while server.ask("upload?target=open", body, Content_Type="multipart/form-data; boundary=x")[0] != 200:
        assert monotonic() < until
        sleep(0.2)  # it is starting, or reads the one before


def files_in(folder) -> list:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("ending", ["SIGTERM", "SIGHUP", "SIGKILL"])
def test_nothing_is_left(tmp_path, ending):
    pytest.importorskip("trame_slicer", reason="needs slicer-core: pip install -e .[viewer]")
    server = Served(folder=tmp_path)
    for name, text in REFUSED.items():
        with zipfile.ZipFile(tmp_path.parent / f"{name}.mrb", "w") as archive:
            archive.writestr("s/s.mrml", text)
        send(server, f"{name}.mrb", (tmp_path.parent / f"{name}.mrb").read_bytes())
    until = monotonic() + PATIENCE_S
    while files_in(tmp_path) and monotonic() < until:
        sleep(0.1)
    assert not files_in(tmp_path)  # while it still runs
    os.kill(server.process.pid, getattr(signal, ending))
    server.process.wait(30)
    if ending == "SIGKILL":
        assert list(tmp_path.iterdir())
        Served(folder=tmp_path).end()
    assert not list(tmp_path.iterdir())
