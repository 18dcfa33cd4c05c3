"""`mvreg case anonymise`: the same registration, and nothing of a person."""

import io
import json
import shutil

import numpy as np
import pytest
from helpers.file_io import write_json
from helpers.planted_dicom import SECRETS, write_ct, write_xray
from helpers.screenshots import FONTS, FRAME_GREYS, QUALITIES, make_screenshot
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from tiny_case import DISTANCE, PLACE, START, camera, full, minimal, run

from MultiViewRegistrationLib import Case
from MultiViewRegistrationLib.cli.main import main
from MultiViewRegistrationLib.imaging.xray import load_image

NAME = "Plantagenet"


@pytest.fixture
def planted(tmp_path):
    """A case.json of DICOM files, full of a person.

    In headers, in names of files, views and landmarks, in keys and words.
    """
    folder = tmp_path / f"{NAME} Eleonore"
    write_ct(folder / f"{NAME}_CT", np.where(DISTANCE < 4, 900, -1000), PLACE)
    random, lateral = np.random.default_rng(2), f"{NAME} seitlich"
    views = []
    for name in ("AP", lateral):
        pixels = random.integers(2000, 4000, (16, 20))
        write_xray(folder / f"{NAME}_{name}.dcm", pixels, ImagerPixelSpacing=["4", "4"])
        views.append({"name": name, "image": f"{NAME}_{name}.dcm", "comment": NAME})
    views[0]["projection_matrix"] = camera(0).projection_matrix
    views[1]["c_arm"] = {**full()["views"][3]["c_arm"], "rao_lao_deg": 90, "operator": NAME}
    views[1]["assumptions"] = [NAME]
    pose, pixels = START, {"AP": [9, 7], lateral: [10, 7.5]}
    case = {
        "version": 1,
        "$schema": f"/home/{NAME}/case.schema.json",
        "ct": f"{NAME}_CT",
        "views": views,
        "world_from_ct": pose,
        "patient": {"name": NAME},
        "training": {"orbital_deg": 12, NAME: 1},
        "search": {"rotation_deg": 9, "translation_mm": 9, "comment": [NAME]},
        "truth": {"world_from_ct": pose, NAME: {"name": NAME}},
        "targets": [[1, 2, 3]],
        "landmarks": [{"name": f"{NAME}s Zahn", "ct": [1, 2, 3], "views": pixels}],
    }
    write_json(folder / "case.json", case)
    return folder / "case.json"


def assert_same_views(after, before):
    for new, old in zip(after.views, before.views, strict=True):
        valid, matrix = old.xray.valid, old.camera.projection_matrix
        assert_allclose(new.camera.projection_matrix, matrix, rtol=1e-12, atol=1e-12)
        assert_array_equal(new.xray.valid, valid)
        difference = (new.xray.line_integrals - old.xray.line_integrals)[valid]
        assert np.ptp(difference) < 2e-6  # a constant is free
        assert new.xray.pixel_mm == pytest.approx(old.xray.pixel_mm)


@pytest.mark.filterwarnings("ignore:.*is not known and was ignored")
def test_the_copy_is_the_same_case_without_a_person(planted, tmp_path, capsys):
    out = tmp_path / "shared"
    assert main(["case", "anonymise", str(planted), "--out", str(out)]) == 0
    printed = capsys.readouterr().out.replace(str(planted.parent), "")
    before, after = Case.load(planted), Case.load(out)
    assert_array_equal(after.ct.volume.values, before.ct.volume.values)
    assert_allclose(after.ct.volume.ct_from_index, before.ct.volume.ct_from_index, atol=1e-12)
    assert_same_views(after, before)
    assert [view.name for view in after.views] == ["AP", "view2"]
    (landmark,) = after.landmarks
    assert landmark.name == "landmark 1" and set(landmark.pixels) == {"AP", "view2"}
    assert_allclose(after.targets, before.targets)
    assert after.training == before.training
    told = [printed.encode(), *(path.name.encode() + path.read_bytes() for path in out.iterdir())]
    for secret in SECRETS:
        for spelling in (secret.encode(), secret.encode("utf-16-le")):
            assert not any(spelling in each for each in told), secret


def test_text_burnt_in_beyond_the_field_is_blanked(write_case, tmp_path):
    """What the mask leaves out cannot be read in the copy."""
    path = write_case(full())  # its AP has a mask without the first three rows
    out = tmp_path / "copy"
    run(f"case anonymise {path} --out {out}")
    before, after = Case.load(path), Case.load(out)
    left_out = ~before.views[0].xray.valid
    assert left_out[:3].all() and np.ptp(before.views[0].xray.line_integrals[left_out]) > 0.1
    assert np.ptp(after.views[0].xray.line_integrals[left_out]) == 0
    assert_array_equal(after.views[0].xray.valid, before.views[0].xray.valid)
    assert_array_equal(after.ct.mask, before.ct.mask)
    assert_allclose(after.reference_from_world, before.reference_from_world)


def test_a_folder_with_something_in_it_is_refused(write_case, refused, tmp_path):
    path, there = write_case(full()), tmp_path / "there"
    there.mkdir()
    (there / "mine.txt").write_text("mine")
    refused(f"case anonymise {path} --out {there}", "choose another")
    assert (there / "mine.txt").read_text() == "mine"


@pytest.fixture
def anonymised(write_case, tmp_path, capsys):
    """A function: exit status, what was printed and the images of the copy, of a case with these image files."""

    def anonymise(files, sizes, *words):
        case = minimal()
        for view, (name, content), size in zip(case["views"], files, sizes, strict=True):
            (tmp_path / name).write_bytes(content)
            matrix = camera(0 if view["name"] == "AP" else 90, size=list(size)).projection_matrix
            view |= {"image": name, "projection_matrix": matrix, "intensity": "linear"}
        out = tmp_path / "copy"
        path = write_case(json.loads(json.dumps(case, default=np.ndarray.tolist)))
        status = main(["case", "anonymise", str(path), "--out", str(out), *words])
        copies = [load_image(file).values for file in sorted(out.glob("view?.mha"))]
        return status, capsys.readouterr(), copies

    return anonymise


def files_of(screenshots):
    files = [(f"image{n}{each.suffix}", each.file) for n, each in enumerate(screenshots)]
    return files, [each.pixels.shape[::-1] for each in screenshots]


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_unknown_margins_are_refused_unless_accepted(anonymised):
    """The skin of a limb in saturated air is no straight edge of an X-ray."""
    rows, columns = np.indices((200, 240))
    depth = 2.5 * np.sqrt(np.maximum(1 - ((columns - 120 - rows / 9) / 60) ** 2, 0))
    limb = np.minimum(250 * np.exp(-depth) * 1.3, 255).astype(np.uint8)
    files = [("ap.png", png(limb)), ("lat.png", png(limb[:, ::-1]))]
    sizes = [(240, 200)] * 2
    status, printed, copies = anonymised(files, sizes)
    assert status == 2 and not copies
    assert "AP has wide uniform margins" in printed.err and "--accept-unrecognised" in printed.err
    status, printed, copies = anonymised(files, sizes, "--accept-unrecognised")
    assert status == 0 and len(copies) == 2
    assert "AP: text: none found; frame: not recognised." in printed.out


def test_an_image_that_says_it_has_text_is_refused(anonymised, tmp_path):
    paths = [tmp_path / f"{name}.dcm" for name in ("ap", "lat")]
    write_xray(paths[0], BurnedInAnnotation="YES")
    write_xray(paths[1], BurnedInAnnotation="NO")
    files = [(path.name, path.read_bytes()) for path in paths]
    status, printed, copies = anonymised(files, [(20, 16)] * 2)
    assert status == 2 and not copies
    assert "AP has burned-in text (BurnedInAnnotation is YES)" in printed.err
    assert "LAT" not in printed.err


#: Of screenshots that were not looked at while the search for text was made.
JUDGED = range(9500, 9560)
#: Of these, refused since no frame is recognised.
MAX_REFUSED = 3


@pytest.mark.slow
def test_nobody_can_read_the_text_of_screenshots_in_the_copy(anonymised, tmp_path):
    """Four frames, four fonts of four sizes, text in frames and on X-rays, PNG and JPEG."""
    other, refused = make_screenshot(2, 12), 0
    for seed in JUDGED:
        n = seed - JUDGED[0]
        frame, font = FRAME_GREYS[n % 4], n // 4 % len(FONTS)
        shot = make_screenshot(seed, frame, font, QUALITIES[n // 16 % 4])
        assert len(shot.legible(shot.pixels)) > 40
        status, printed, copies = anonymised(*files_of([shot, other]))
        if status == 2:
            assert "not recognised" in printed.err and not copies
            refused += 1
        else:
            assert status == 0 and not shot.legible(copies[0]), shot.description
            shutil.rmtree(tmp_path / "copy")
    assert refused <= MAX_REFUSED
