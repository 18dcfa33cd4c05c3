"""The protocol's page tells what is done, what could not be simulated, and shows every miss."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from protocol_rows import failed, row

from MultiViewRegistrationLib.studies.failure_figure import ACROSS, CAPTION, GAP, SIDE
from MultiViewRegistrationLib.studies.protocol import Outcome, Records
from MultiViewRegistrationLib.studies.protocol_page import page


@pytest.fixture
def records(tmp_path):
    ct = tmp_path / "ct.nii.gz"
    ct.write_bytes(b"any")
    return Records(tmp_path / "out", [ct], 0)


def jpeg(number, size=(848, 848)):
    """As bright as its number says."""
    file = io.BytesIO()
    Image.new("L", size, 10 * number).save(file, "JPEG")
    return file.getvalue()


def page_of(records, rows, pictured=()):
    for each in rows:
        records.keep(each, jpeg(each["number"]) if each["number"] in pictured else None)
    return page(Outcome(records.rows(), 2070, records), "Some CTs.", "Title", "folder")


def test_it_says_how_many_are_done_and_what_was_left_out(records):
    skipped = {key: row(1)[key] for key in ("number", "part", "condition", "group", "ct", "error")} | {
        "skipped": "No bone."
    }
    text, files = page_of(records, [row(0), skipped, failed(2), row(3)])
    assert text.startswith("# Title\n") and "Some CTs." in text
    assert "**4 of 2070 registrations are done**" in text and "1 could not be simulated (No bone.)" in text
    assert "| all | 3 |" in text  # the skipped one is in no table
    assert "| 2 | a | body | 2 views, 90 degrees | 5.0 | Nothing to be seen. | none |" in text
    assert set(files) == {"protocol-reliability.svg"} and "nan" not in text


def test_nothing_done_is_a_page_too(records):
    text, files = page_of(records, [])
    assert "**0 of 2070" in text and not files


def test_every_failure_is_shown_those_from_the_nearest_starts_first(records):
    wrong = [row(n, 9.0, "reject", 0.9, start_mm=20.0 - n) for n in range(11)]
    wrong += [
        failed(11, start_mm=39.0),
        row(12, 9.0, "reject", 0.9, start_mm=1.0, error="turned", condition="turned", part="bone"),
    ]
    text, files = page_of(records, [*wrong, row(13)], pictured=range(14))
    assert set(files) == {
        "protocol-reliability.svg",
        "protocol-body-2-views-90-degrees.jpg",
        "protocol-bone-turned.jpg",
    }
    assert "![body, 2 views, 90 degrees](folder/protocol-body-2-views-90-degrees.jpg)" in text
    assert "![bone, turned](folder/protocol-bone-turned.jpg)" in text
    sheet = Image.open(io.BytesIO(files["protocol-body-2-views-90-degrees.jpg"])).convert("L")
    cells = [
        sheet.getpixel(
            (SIDE // 2 + (SIDE + GAP) * (n % ACROSS), CAPTION + SIDE // 2 + (SIDE + CAPTION + GAP) * (n // ACROSS))
        )
        for n in range(12)
    ]
    expected = [
        10 * n for n in [*range(10, -1, -1), 11]
    ]  # number 10 started nearest, the one without an answer farthest
    assert np.abs(np.subtract(cells, expected)).max() < 6
    listed = text.split("## Failures")[1]
    assert "| 10 | a |" in listed and "| 12 | a |" not in listed  # its geometry is wrong, and nobody said so


def test_a_failure_without_a_picture_is_listed_all_the_same(records):
    text, files = page_of(records, [row(0, 9.0, "reject", 0.9)])
    assert set(files) == {"protocol-reliability.svg"} and "### Pictures" not in text and "| 0 | a |" in text


def test_without_failures_it_says_so(records):
    text, _ = page_of(records, [row(0)])
    assert "## Failures" not in text and "No registration is wrong." in text
