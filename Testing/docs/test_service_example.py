"""The example of a service: it registers a case below its folder, and nothing without its token."""

import importlib.util
import time
from pathlib import Path

import pytest
from helpers.file_io import read_json, write_json
from helpers.phantom import write_phantom_case

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx`")

FILE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "service.py"
TOKEN = "a-secret-of-the-test-alone"


@pytest.fixture
def service():
    pytest.importorskip("starlette", reason='needs starlette: pip install -e ".[dev]"')
    spec = importlib.util.spec_from_file_location("service", FILE)
    service = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(service)
    return service


@pytest.fixture
def client(service, tmp_path):
    from starlette.testclient import TestClient

    (tmp_path / "cases").mkdir()
    write_phantom_case(tmp_path / "cases")
    (tmp_path / "case.json").write_text("{}")
    with TestClient(service.make_app(tmp_path / "cases", TOKEN)) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        yield client


def ended(client, name):
    end = time.monotonic() + 600  # it compiles kernels first, on a busy machine
    while time.monotonic() < end:
        answer = client.get(f"/registrations/{name}").json()
        if answer["state"] != "running":
            return answer
        time.sleep(0.2)
    raise AssertionError(answer)


@pytest.mark.slow
def test_it_registers_a_case(client):
    answer = client.post("/registrations", json={"case": "case.json"})
    assert answer.status_code == 201
    done = ended(client, answer.json()["id"])
    assert done["state"] == "done" and done["result"]["verdict"] in ("accept", "check")


def test_it_stops_one_that_is_not_needed(client):
    name = client.post("/registrations", json={"case": "case.json"}).json()["id"]
    assert client.delete(f"/registrations/{name}").status_code == 204
    assert ended(client, name)["state"] == "cancelled"


@pytest.mark.parametrize("case", ["../case.json", "/etc/passwd", "no.json", ""])
def test_it_reads_nothing_beside_its_folder(client, case):
    answer = client.post("/registrations", json={"case": case})
    assert answer.status_code == 404 and "problem" in answer.json()


@pytest.mark.parametrize("elsewhere", "../ct.mha link.mha slices {}/dicom".split())
def test_a_case_that_names_a_file_elsewhere_is_refused(client, tmp_path, elsewhere):
    case = read_json(tmp_path / "cases" / "case.json")
    (tmp_path / "ct.mha").write_bytes((tmp_path / "cases" / case["ct"]).read_bytes())
    (tmp_path / "dicom").mkdir()
    (tmp_path / "cases" / "slices").mkdir()
    (tmp_path / "cases" / "slices" / "1.dcm").symlink_to(tmp_path / "ct.mha")
    (tmp_path / "cases" / "link.mha").symlink_to(tmp_path / "ct.mha")
    ct = elsewhere.format(tmp_path)
    write_json(tmp_path / "cases" / "bad.json", {**case, "ct": ct})
    answer = client.post("/registrations", json={"case": "bad.json"})
    assert answer.status_code == 400
    assert "names a file outside the folder" in answer.json()["problem"]
    assert str(tmp_path) not in answer.json()["problem"]


@pytest.mark.parametrize("body", [b"", b"[1]", b"\xff", b"{}", b"[" * 100000])
def test_what_is_no_request_is_answered_in_a_sentence(client, body):
    answer = client.post("/registrations", content=body)
    assert answer.status_code == 400
    assert answer.json() == {"problem": 'The request is no JSON object with a "case".'}


@pytest.mark.parametrize("case", ["a\0b", "a" * 5000, None])
def test_what_is_no_name_of_a_file_is_not_found(client, case):
    assert client.post("/registrations", json={"case": case}).status_code == 404


def test_it_answers_nobody_without_the_token(client):
    client.headers["Authorization"] = "Bearer another"
    assert client.post("/registrations", json={"case": "case.json"}).status_code == 401
    assert client.get("/registrations/x").status_code == 401
