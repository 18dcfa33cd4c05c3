"""The record of an X-ray: what is read is what is written, and two that say the same are equal."""

from dataclasses import replace

import pytest
from tiny_case import full

from MultiViewRegistrationLib.io.files import JsonObject
from MultiViewRegistrationLib.io.view_record import ViewRecord

VIEWS = full()["views"]
KINDS = "projection_matrix projection_matrix camera c_arm slot_scan".split()


def read(entry, folder=None):
    return ViewRecord.read(JsonObject("case.json", "views[0]", entry), folder)


@pytest.mark.parametrize("entry", VIEWS)
def test_a_record_writes_what_it_reads(case_folder, entry):
    record = read(entry, case_folder)
    written = record.to_json()
    assert entry["name"] == written["name"] and entry["image"] == written["image"]
    assert read(written, case_folder) == record and len({record, read(written, case_folder)}) == 1
    other = replace(record, uncertainty={**record.uncertainty, "translation_sd_mm": 9.5})
    assert other != record and other.fingerprint != record.fingerprint


def test_each_kind_of_geometry_has_its_camera_and_what_is_usual_for_it(case_folder):
    records = [read(entry, case_folder) for entry in VIEWS]
    assert [record.kind for record in records] == KINDS
    usual = [
        replace(record, uncertainty={}).deviations["principal_point_sd_px"] for record in records
    ]
    assert usual == [0.5, 0.5, 0.5, 3 / 4, 0.5 / 4]  # a pixel is 4 mm
    assert {record.camera((20, 16)).size for record in records} == {(20, 16)}
