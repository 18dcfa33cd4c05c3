"""The record of an X-ray: what is read is what is written, and two that say the same are equal."""

from dataclasses import replace

import pytest
from helpers.eos_images import write_eos
from imaging.xray_files import write_xa
from tiny_case import full, refusal

from MultiViewRegistrationLib import CArm
from MultiViewRegistrationLib.geometry.fields import TABLES
from MultiViewRegistrationLib.geometry.machines import SlotScan
from MultiViewRegistrationLib.io.files import JsonObject
from MultiViewRegistrationLib.io.view_headers import complete_by_headers
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
    assert [record.lens is not None for record in records] == [False, False, True, False, True]
    assert not any(record.flat.lens for record in records)


def test_the_fields_of_the_tables_are_those_of_the_classes():
    assert set(TABLES["c_arm"]) == set(CArm.__dataclass_fields__)
    assert set(TABLES["slot_scan"]) == set(SlotScan.__dataclass_fields__)


def test_a_header_says_whether_rows_have_a_distance_of_their_own(tmp_path):
    write_eos(tmp_path / "eos.dcm")
    write_xa(tmp_path / "xa.dcm", 30, -10, FieldOfViewHorizontalFlip="NO")
    scan, c_arm = (
        read({"name": name, "image": f"{name}.dcm", "step_sd_percent": 0.3}, tmp_path)
        for name in ("eos", "xa")
    )
    (completed,) = complete_by_headers("case.json", [scan])
    assert completed.kind == "slot_scan" and completed.deviations["step_sd_percent"] == 0.3
    message = refusal(complete_by_headers, "case.json", [c_arm])
    assert message.startswith("case.json: views[0].step_sd_percent stands beside another geometry")
