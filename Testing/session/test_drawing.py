"""Overlays follow the CT: coarse while it moves, sharp at rest, in steps that a window can wait for, and in the greys of the X-ray."""

import numpy as np
import pytest
import slicer
from helpers.phantom import TRUE_POSE, off
from helpers.phantom_scene import phantom

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.mrml import drawing as mrml_drawing
from MultiViewRegistrationLib.mrml import overlay
from MultiViewRegistrationLib.mrml.case import xray_of
from MultiViewRegistrationLib.mrml.drawing import FRAME_BUDGET_S, Drawing, ToneMatch
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT


@pytest.fixture(scope="module")
def anatomy():
    return PreparedCT(phantom()[0])


class Clock:
    """A clock that advances by `tick` seconds whenever it is read."""

    def __init__(self):
        self.now, self.tick = 100.0, 0.0

    def __call__(self):
        self.now += self.tick
        return self.now


@pytest.fixture
def clock(monkeypatch):
    """The X-rays have 128 x 128 pixels; the scale of fineness is made for them."""
    clock = Clock()
    monkeypatch.setattr(mrml_drawing, "perf_counter", clock)
    monkeypatch.setattr(mrml_drawing, "COARSE", ((64, 3.0), (43, 3.0), (32, 3.0)))
    monkeypatch.setattr(mrml_drawing, "DRAWING_COSTS", (4, 2, 1))
    monkeypatch.setattr(mrml_drawing, "FIRST_COARSENESS", 0)
    monkeypatch.setattr(mrml_drawing, "SHARP", (128, 1.0))
    return clock


def drawing_of(registration, anatomy, xray=None, busy=lambda: False):
    made = {}

    def kept(view):
        if view.name not in made:
            made[view.name] = xray_of(view)
        return made[view.name]

    return Drawing(
        registration, lambda: anatomy and (anatomy, registration.world_from_ct), xray or kept, busy
    )


@pytest.fixture
def drawing(registration, anatomy, clock):
    return drawing_of(registration, anatomy)


def sides(registration, mode="blend"):
    """Columns of each view's overlay, 0 where there is none."""
    shown = [overlay.SliceCanvas().foreground(view, mode) for view in registration.xrays]
    return [node.GetImageData().GetDimensions()[0] if node is not None else 0 for node in shown]


def rest(drawing, clock):
    drawing.step()
    clock.now += 1
    while drawing.step():
        pass


def values(registration, number=0):
    return slicer.util.arrayFromVolume(registration.xrays[number].node.GetNodeReference("drr"))[0]


def window(registration, number=0):
    display = registration.xrays[number].node.GetNodeReference("drr").GetDisplayNode()
    return display.GetWindowLevelMin(), display.GetWindowLevelMax()


def test_drr_is_coarse_while_the_ct_moves_and_sharp_at_rest(drawing, registration, clock):
    assert drawing.step()
    assert sides(registration) == [64, 64]
    assert not drawing.step() and not drawing.at_rest
    clock.now += 1
    assert drawing.at_rest and drawing.step()
    assert sides(registration) == [128, 64]  # one view per step
    assert drawing.step() and not drawing.step()
    assert sides(registration) == [128, 128]
    registration.world_from_ct = TRUE_POSE
    assert drawing.step()
    assert sides(registration) == [64, 64]


def test_while_a_registration_runs_it_is_drawn_sharp_only_after_a_long_rest(
    registration, clock, anatomy
):
    busy = [True]
    drawing = drawing_of(registration, anatomy, busy=lambda: busy[0])
    drawing.step()
    clock.now += 1
    assert not drawing.step()
    busy[0] = False
    assert drawing.step()
    assert sides(registration) == [128, 64]
    busy[0] = True
    clock.now += 10
    assert drawing.step()
    assert sides(registration) == [128, 128]


def test_sharp_drr_is_drawn_in_bands_until_the_ct_moves(drawing, registration, clock, anatomy):
    drawing.step()
    clock.now += 1
    clock.tick = 0.03  # a slow machine: a band or two per step
    steps = 0
    while sides(registration)[0] != 128:
        assert drawing.step()
        steps += 1
    assert steps >= 3
    whole = anatomy.drr(registration.xrays[0].camera, registration.world_from_ct, 0)
    drawn = values(registration)
    assert np.array_equal(drawn[drawn > 0], whole[drawn > 0])
    assert (whole[drawn < 0] < 0.05).all()
    drawing.step()
    registration.world_from_ct = TRUE_POSE
    clock.tick = 0.0
    assert drawing.step()
    assert sides(registration) == [64, 64]


def test_it_adapts_to_the_machine_but_not_to_a_moment(drawing, registration, clock):
    def move(tick):
        clock.tick = tick
        registration.world_from_ct = off(registration.world_from_ct, [0, 0, 0.1], [0, 0, 0])
        drawing.step()
        clock.tick = 0.0
        registration.world_from_ct = off(registration.world_from_ct, [0, 0, 0.1], [0, 0, 0])
        return sides(registration)[0]

    usual, slow = 0.35 * FRAME_BUDGET_S, 1.9 * FRAME_BUDGET_S
    assert {move(usual) for _ in range(6)} == {64}
    move(slow)
    assert move(usual) == 64  # once: the processor was busy
    coarser = [move(slow) for _ in range(8)]
    assert coarser[-1] == 32
    assert sorted(coarser, reverse=True) == coarser
    fast = [move(0.001) for _ in range(12)]
    assert fast[-1] == 64


def test_unusable_x_ray_does_not_stop_the_others(registration, anatomy, clock):
    def broken(view):
        if view.name == "view1":
            raise InputError("view1: shows nothing.")
        return usable

    usable = xray_of(registration.xrays[1])
    drawing = drawing_of(registration, anatomy, broken)
    drawing.step()
    assert sides(registration) == [0, 64]
    registration.xrays[1].node.SetAttribute("MultiViewRegistration.view", "{}")  # no geometry
    drawing.step()
    assert sides(registration) == [0, 0]
    assert not drawing_of(registration, None).step()  # the CT is not ready


def test_overlay_mode_replaces_the_previous_one(drawing, registration, clock):
    drawing.step()
    drawing.mode = "edges"
    assert drawing.step()
    assert (sides(registration), sides(registration, "edges")) == ([0, 0], [64, 64])
    drawing.mode = "off"
    assert not drawing.step()
    assert (sides(registration), sides(registration, "edges")) == ([0, 0], [0, 0])
    drawing.mode = "flicker"
    assert drawing.step()
    drawing.mode = "blend"
    assert not drawing.step()  # uses the same volume


def test_drr_has_the_greys_of_the_x_ray(drawing, registration, clock):
    """The line integrals of the phantom's X-rays are 1.3 times those of the DRR, plus 0.2."""
    registration.world_from_ct = TRUE_POSE
    rest(drawing, clock)
    display = registration.xrays[0].node.GetDisplayNode()
    low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
    tolerance = 0.02 * (high - low)
    expected = ((low - 0.2) / 1.3, (high - 0.2) / 1.3)
    assert window(registration) == pytest.approx(expected, abs=tolerance)
    display.SetWindowLevelMinMax(low + 0.5, high - 0.5)  # as the user does with the mouse
    drawing.step()
    expected = ((low + 0.3) / 1.3, (high - 0.7) / 1.3)
    assert window(registration) == pytest.approx(expected, abs=tolerance)


def test_distant_ct_has_an_empty_drr(drawing, registration, clock):
    registration.world_from_ct = off(TRUE_POSE, [0, 0, 0], [0, 0, 900.0])
    rest(drawing, clock)
    assert sides(registration) == [128, 128]
    assert np.isfinite(window(registration)).all() and (values(registration) < 0).all()


def test_a_view_that_is_looked_at_is_drawn_first_and_alone(drawing, registration, clock):
    second = registration.xrays[1]
    assert drawing.step(second)
    assert sides(registration) == [0, 64]
    assert drawing.step(second)  # it is up to date: now the others
    assert sides(registration) == [32, 64]
    assert not drawing.step(second)


DRR = np.linspace(1, 5, 4000, dtype=np.float32).reshape(50, 80)


def test_gain_and_offset_are_found_of_what_both_show():
    line_integrals, drr, valid = (
        (0.7 * DRR + 2).astype(np.float32),
        DRR.copy(),
        np.ones(DRR.shape, bool),
    )
    line_integrals[:10], valid[:10] = 11, False  # a blade
    drr[40:] = np.nan  # beyond the CT's end
    line_integrals.ravel()[::200] = 9  # a few pixels of metal
    tones = ToneMatch.of(line_integrals, valid, drr)
    assert tones.window(2.7, 5.5) == pytest.approx((1, 5), abs=0.1)
    gain, offset = tones.line
    assert np.allclose(gain * DRR + offset, 0.7 * DRR + 2, atol=0.1)


def test_drr_without_overlap_fills_the_window():
    assert ToneMatch.of(DRR, np.zeros(DRR.shape, bool), DRR) is None
    assert ToneMatch.alone(DRR, (10, 20)).window(10, 20) == pytest.approx((1.04, 4.96), abs=0.01)
    assert np.isfinite(ToneMatch.alone(np.full_like(DRR, np.nan), (10, 20)).window(10, 20)).all()


def test_slicer_is_given_one_new_overlay_in_a_step(drawing, registration):
    drawing.one_by_one = True
    drawing.step()
    assert sides(registration) == [64, 0]
    drawing.step()
    assert sides(registration) == [64, 64]
