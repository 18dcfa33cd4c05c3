"""Uploads: damaged forms are refused and leave no file."""

import asyncio

import pytest

pytest.importorskip("aiohttp", reason='needs aiohttp: pip install -e ".[viewer]"')

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from MultiViewRegistrationLib.viewer.transfers import Uploads

FORM = "multipart/form-data; boundary=xyz"
PART = b'--xyz\r\nContent-Disposition: form-data; name="file"; filename="ct.nrrd"\r\n\r\n'
DAMAGED = {
    "too long a boundary": ({"Content-Type": f"multipart/form-data; boundary={80 * 'x'}"}, b"x"),
    "empty": ({"Content-Type": FORM}, b""),
    "cut in the file": ({"Content-Type": FORM}, PART + b"half"),
    "cut after a file": ({"Content-Type": FORM}, PART + b"whole\r\n--xyz\r\n"),
    "a nested form without boundary": (
        {"Content-Type": FORM},
        b"--xyz\r\nContent-Type: multipart/mixed\r\n\r\nabc\r\n--xyz--\r\n",
    ),
    "a name that is not UTF-8": (
        {"Content-Type": FORM},
        PART.replace(b"ct", b"\xff") + b"x\r\n--xyz--\r\n",
    ),
}


@pytest.fixture
def upload(tmp_path, monkeypatch):
    """Sends a form and returns the status and text of the answer."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    async def post(headers, body, take):
        uploads = Uploads()
        uploads.take = take
        app = web.Application()
        app.add_routes([uploads.route()])
        async with TestClient(TestServer(app)) as client:
            answer = await client.post("/upload?target=open", data=body, headers=headers)
            return answer.status, await answer.text()

    return lambda headers, body, take=None: asyncio.run(post(headers, body, take or print))


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_upload_is_refused_in_a_sentence(upload, tmp_path, caplog, kind):
    answer = upload(*DAMAGED[kind])
    assert answer == (400, "The upload is incomplete or damaged. Send the files again.")
    assert "Traceback" not in caplog.text and not any(tmp_path.iterdir())


def test_a_whole_upload_is_taken(upload):
    names = []

    def take(_target, folder):
        names.extend(file.name for file in folder.iterdir())

    answer = upload({"Content-Type": FORM}, PART + b"x\r\n--xyz--\r\n", take)
    assert answer == (200, "Taken.") and names == ["ct.nrrd"]
