"""The protocol's page tells what is done, what could not be simulated, and shows the worst misses first."""

from __future__ import annotations

import pytest
from protocol_rows import failed, row

from MultiViewRegistrationLib.protocol.page import MOST_PICTURES, page
from MultiViewRegistrationLib.protocol.records import Records
from MultiViewRegistrationLib.protocol.run import Outcome


@pytest.fixture
def records(tmp_path):
    ct = tmp_path / "ct.nii.gz"
    ct.write_bytes(b"any")
    return Records(tmp_path / "out", [ct], 0)


def page_of(records, rows, pictured=()):
    for each in rows:
        records.keep(each, b"jpeg of %d" % each["number"] if each["number"] in pictured else None)
    return page(Outcome(records.rows(), 2070, records), "Some CTs.", "Title", "folder")


def test_it_says_how_many_are_done_and_what_was_left_out(records):
    skipped = {key: row(1)[key] for key in ("number", "part", "condition", "group", "ct", "error")} | {"skipped": "No bone."}
    text, files = page_of(records, [row(0), skipped, failed(2), row(3)])
    assert text.startswith("# Title\n") and "Some CTs." in text
    assert "**4 of 2070 registrations are done**" in text and "1 could not be simulated (No bone.)" in text
    assert "| all | 3 |" in text  # the skipped one is in no table
    assert "| 2 | a | body | 2 views, 90 degrees | 5.0 | Nothing to be seen. | none |" in text
    assert set(files) == {"protocol-reliability.png"} and "nan" not in text


def test_nothing_done_is_a_page_too(records):
    text, files = page_of(records, [])
    assert "**0 of 2070" in text and not files


def test_wrong_accepts_are_shown_first_then_the_nearest_starts(records):
    wrong = [row(n, 9.0, "reject", 0.9, start_mm=20.0 - n) for n in range(10)]
    wrong += [row(10, 3.0, "accept", 0.01, start_mm=39.0), row(11, 9.0, "reject", 0.9, start_mm=1.0, error="turned", condition="turned")]
    text, files = page_of(records, [*wrong, row(12)], pictured=range(13))
    shown = [int(line.split("(folder/protocol-")[1][:4]) for line in text.splitlines() if line.startswith("![") and "reliab" not in line]
    assert shown == [10, 9, 8, 7, 6, 5, 4, 3] and len(shown) == MOST_PICTURES
    assert files["protocol-0010.jpg"] == b"jpeg of 10" and "protocol-0012.jpg" not in files
    listed = text.split("## Failures")[1]
    assert "| 10 | a |" in listed and "| 11 | a |" not in listed  # its geometry is wrong, and nobody said so


def test_without_failures_it_says_so(records):
    text, _ = page_of(records, [row(0), row(1, 5.0, "reject", 0.9, error="flipped")])
    assert "## Failures" not in text and "is wrong." in text
