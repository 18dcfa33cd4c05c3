"""The example of a service: it registers a case below its folder, and nothing without its token."""

from __future__ import annotations

import importlib.util
import time
from pathlib import Path

import pytest
from phantom import write_phantom_case

pytestmark = pytest.mark.filterwarnings("ignore:Using `httpx`")

FILE = Path(__file__).resolve().parents[2] / "docs" / "examples" / "service.py"
TOKEN = "a-secret-of-the-test-alone"


@pytest.fixture
def client(tmp_path):
    pytest.importorskip("starlette", reason='needs starlette: pip install -e ".[dev]"')
    from starlette.testclient import TestClient

    spec = importlib.util.spec_from_file_location("service", FILE)
    service = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(service)
    (tmp_path / "cases").mkdir()
    write_phantom_case(tmp_path / "cases")
    (tmp_path / "case.json").write_text("{}")
    with TestClient(service.make_app(tmp_path / "cases", TOKEN)) as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        yield client


def ended(client, name: str) -> dict:
    end = time.monotonic() + 600  # it compiles kernels first, on a busy machine
    while time.monotonic() < end:
        answer = client.get(f"/registrations/{name}").json()
        if answer["state"] != "running":
            return answer
        time.sleep(0.2)
    raise AssertionError(answer)


def test_it_registers_a_case(client):
    answer = client.post("/registrations", json={"case": "case.json"})
    assert answer.status_code == 201
    done = ended(client, answer.json()["id"])
    assert done["state"] == "done" and done["result"]["verdict"] in ("accept", "check")


def test_it_stops_one_that_is_not_needed(client):
    name = client.post("/registrations", json={"case": "case.json"}).json()["id"]
    assert client.delete(f"/registrations/{name}").status_code == 204
    assert ended(client, name)["state"] == "cancelled"


def test_it_takes_no_more_than_it_can_do(client):
    names = [client.post("/registrations", json={"case": "case.json"}) for _ in range(2)]
    assert [answer.status_code for answer in names] == [201, 201]
    assert client.post("/registrations", json={"case": "case.json"}).status_code == 503
    for answer in names:
        client.delete(f"/registrations/{answer.json()['id']}")
        ended(client, answer.json()["id"])


@pytest.mark.parametrize("case", ["../case.json", "/etc/passwd", "no.json", ""])
def test_it_reads_nothing_beside_its_folder(client, case):
    answer = client.post("/registrations", json={"case": case})
    assert answer.status_code == 404 and "problem" in answer.json()


def test_it_answers_nobody_without_the_token(client):
    client.headers["Authorization"] = "Bearer another"
    assert client.post("/registrations", json={"case": "case.json"}).status_code == 401
    assert client.get("/registrations/x").status_code == 401
