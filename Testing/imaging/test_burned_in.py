"""Screenshots: their frame is no part of the field, and nobody can read their text."""

import numpy as np
import pytest
from helpers.screenshots import make_screenshot

from MultiViewRegistrationLib.imaging.burned_in import find_burned_in
from MultiViewRegistrationLib.imaging.reading import raw_image
from MultiViewRegistrationLib.imaging.xray import load_image, to_line_integrals
from MultiViewRegistrationLib.report.overlays import film_of

#: Of the screenshots by which the search was made; test_case_anonymise.py has others.
SEEDS = {0: 3, 255: 5}


@pytest.fixture(scope="module", params=[0, 255])
def screenshot(request):
    return make_screenshot(SEEDS[request.param], request.param)


@pytest.fixture(scope="module")
def xray(screenshot):
    """As line integrals its grey levels are what they were."""
    return to_line_integrals(raw_image(screenshot.pixels), "log")


@pytest.mark.slow
def test_screenshot_text_is_legible(screenshot):
    assert len(screenshot.legible(screenshot.pixels)) == len(screenshot.characters) > 40


def test_line_integrals_contain_no_legible_text(screenshot, xray):
    assert not screenshot.legible(xray.line_integrals)


def test_report_image_contains_no_legible_text(screenshot, xray):
    grey = film_of(xray).grey
    assert np.ptp(grey[xray.valid]) > 0.9
    assert not screenshot.legible(255 * grey)


def test_frame_of_screenshot_is_outside_the_field(screenshot, xray):
    outside = np.ones(xray.valid.shape, bool)
    near = tuple(slice(max(side.start - 3, 0), side.stop + 3) for side in screenshot.field)
    outside[near] = False
    assert outside.mean() > 0.2 and not xray.valid[outside].any()
    assert xray.valid[screenshot.field].mean() > 0.85


def test_limb_in_saturated_air_has_wide_margins_and_no_frame():
    across = np.maximum(1 - ((np.arange(500) - 250) / 120) ** 2, 0)
    depth = np.broadcast_to(2.5 * np.sqrt(across), (400, 500))
    counts = np.random.default_rng(1).poisson(3000 * np.exp(-depth)) / 3000
    raw = raw_image(np.rint(np.minimum(1.5 * counts, 1) * 255).astype(np.uint8))
    everything = np.ones(depth.shape, bool)
    margins = find_burned_in(raw).margins
    assert margins.has_wide(everything)
    assert to_line_integrals(raw).valid.all()


@pytest.mark.slow
@pytest.mark.parametrize(
    "pattern",
    ["wrist/*.png", "sim/*/view*.mha", "scout/*.dcm", "dicom/*.dcm"],
)
def test_real_xrays_have_no_text_and_no_unknown_margins(shared_data, pattern):
    paths = sorted(shared_data.glob(pattern))
    assert paths
    for path in paths:
        raw = load_image(path)
        xray = to_line_integrals(raw, "linear" if raw.curve is None else raw.curve)
        assert not xray.burned_in.text.any(), path
        assert not xray.burned_in.margins.has_wide(xray.valid), path
