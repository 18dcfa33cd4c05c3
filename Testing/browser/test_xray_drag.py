"""What the page shows of the CT while it is dragged, in a real Chromium, against the server's DRR."""

import asyncio
import threading
from dataclasses import replace

import numpy as np
import pytest
from helpers.phantom import off
from helpers.phantom_scene import START, make_registration

pytest.importorskip("trame_slicer", reason='needs slicer-core: pip install -e ".[viewer]"')
pytest.importorskip("playwright", reason="needs Playwright: pip install playwright")

from xray_page import XRayPage

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.machines import CArm, SlotScan
from MultiViewRegistrationLib.imaging.ct import load_ct
from MultiViewRegistrationLib.imaging.xray import View, XRay
from MultiViewRegistrationLib.io.datasets.chest import chest_ct
from MultiViewRegistrationLib.mrml import manual_pose
from MultiViewRegistrationLib.mrml.image import set_source
from MultiViewRegistrationLib.mrml.loading import volume_node
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.viewer import xray_pane
from MultiViewRegistrationLib.viewer.xray_pixels import FIRST, LAST

pytestmark = pytest.mark.slow

#: All of a scout of the chest, seen from the front; rows run to the feet.
SCOUT = {
    "isocentre": [0, 0, 190],
    "isocentre_to_source": [0.1, -1, 0],
    "source_to_isocentre_mm": 550,
    "columns_along": [1, 0.1, 0],
    "rows_along": [0, 0, -1],
    "pixel_mm": [1.0, 1.0],
    "size": [480, 400],
}
#: Rotation vectors in degrees and shifts in mm from where the CT is in the middle.
POSES = (
    ([0, 0, 0], [0, 0, 0]),
    ([12, -25, 8], [15, -20, 10]),
    ([-40, 15, 70], [0, 30, -25]),
    ([95, 0, 0], [-60, 0, 40]),
)


def chest_registration(scene):
    """The chest CT in an X-ray of it, and in a scout."""
    ct, random = load_ct(chest_ct()), np.random.default_rng(1)
    camera = CArm(
        source_to_detector_mm=1020,
        source_to_isocentre_mm=620,
        pixel_mm=(0.8, 0.8),
        size=(500, 480),
        rao_lao_deg=20,
        cra_cau_deg=-15,
    ).camera()
    mirrored = camera.intrinsics * [[-1], [1], [1]]  # stored as seen from the detector
    mirrored[0, 2] = camera.intrinsics[0, 2]
    camera = replace(camera, intrinsics=mirrored)
    pose = rigid.translation(-ct.centroid())
    detected = (
        random.poisson(3e4 * np.exp(-0.8 * PreparedCT(ct).projector(1).render(camera, pose).image))
        + 1
    )
    xray = XRay(-np.log(detected / 3e4).astype(np.float32), np.ones((480, 500), bool))
    registration = make_registration(scene, ct, [View("pinhole", xray, camera)], pose, "Chest")
    scout = registration.add_xray("scout")
    scout.change(geometry=SlotScan(**SCOUT), intensity="log")
    set_source(
        scout,
        volume_node(
            scene, "scout image", random.uniform(0, 4, (1, 400, 480)).astype(np.float32), np.eye(4)
        ),
    )
    return registration


@pytest.fixture(scope="module")
def chest(chromium):
    try:
        chest_ct()
    except InputError as error:
        pytest.skip(str(error))
    page = XRayPage(chromium, registration=chest_registration)
    page(page.settled(60))
    yield page
    page.close()


def pixel_mm(registration, view):
    """How far (2,) the CT moves parallel to the image when its centre moves by a pixel."""
    depth_mm = float(view.camera.depth(manual_pose.centre(registration)))
    return np.linalg.norm(view.camera.plane_at(depth_mm)[:, :2], axis=0)


@pytest.mark.parametrize("number", [0, 1], ids=["pinhole", "scout"])
@pytest.mark.parametrize(
    "kind, numbers",
    [
        ("shift", [31.5, -12]),
        ("shift_mm", [0.1, -7]),
        ("turn", [-33.0]),
        ("tilt", [12.5, -40]),
        ("beam", [-25.0]),
    ],
)
def test_a_movement_in_the_page_is_that_in_the_scene(chest, kind, numbers, number):
    registration, start = chest.registration, chest.registration.world_from_ct
    view, poses = registration.xrays[number], []
    moves = {
        "shift": manual_pose.shift,
        "shift_mm": lambda registration, view, *mm: manual_pose.shift(
            registration, view, *np.divide(mm, pixel_mm(registration, view))
        ),
        "turn": manual_pose.turn,
        "tilt": manual_pose.tilt,
        "beam": manual_pose.along_beam,
    }
    try:
        for rotation, shift in POSES:
            registration.world_from_ct = before = off(start, rotation, shift)
            centre = manual_pose.centre(registration)
            moves[kind](registration, view, *numbers)
            poses.append((before, centre, registration.world_from_ct))
    finally:
        registration.world_from_ct = start
    module = chest.page.locator("script[src$='xray_view.js']").first
    address = chest(module.get_attribute("src")).replace("xray_view", "pose")
    for before, centre, expected in poses:
        found = chest(
            chest.js(
                "async ([n, address, kind, pose, centre, numbers]) => (await "
                "import(address)).MOVES[kind](xrays[n].view.camera, pose, centre, ...numbers)",
                [number, f"/{address}", kind, before.tolist(), centre.tolist(), numbers],
            )
        )
        corners = np.array([*np.ndindex(2, 2, 2)]) * 400.0
        apart = rigid.transform_points(np.array(found), corners) - rigid.transform_points(
            expected, corners
        )
        assert np.linalg.norm(apart, axis=1).max() < 1e-6
        assert np.linalg.norm(expected - before) > 0.05


LAYER = """(n) => { const { layer } = xrays[n].picture; return layer && {
  sharp: layer.sharp, columns: layer.columns, low: layer.low, high: layer.high, codes: Array.from(layer.codes) }; }"""


def layer_values(layer):
    """The DRR that the page has over an X-ray, NaN where it shows nothing."""
    codes = np.reshape(layer["codes"], (-1, layer["columns"])).astype(float)
    values = layer["low"] + (codes - FIRST) / (LAST - FIRST) * (layer["high"] - layer["low"])
    return np.where(codes == 0, np.nan, values)


def test_the_drr_follows_a_drag_and_the_last_one_is_sharp(chest):
    """In both X-rays, with one picture on its way at a time."""

    async def drag():
        await chest.settled(60)
        places = [await chest.place(pixel) for pixel in ((200, 200), (260, 230))]
        await chest.page.mouse.move(*places[0])
        await chest.page.mouse.down()
        seen = [set(), set()]
        for share in np.linspace(0.05, 1, 20):
            await chest.page.mouse.move(*np.add(places[0], share * np.subtract(*places[::-1])))
            await asyncio.sleep(0.1)
            layers = await chest.js(
                "() => xrays.map(({ have, picture: { layer } }) => [have.layer, layer && layer.sharp])"
            )
            for stamps, (stamp, sharp) in zip(seen, layers, strict=True):
                stamps.add((stamp, sharp))
        await chest.page.mouse.up()
        await chest.settled(60)
        return seen, [await chest.js(LAYER, number) for number in (0, 1)]

    chest.show("blend", 1.0)
    chest(chest.settled(60))
    before = chest.pose
    seen, last = chest(drag())
    assert np.linalg.norm(chest.pose[:3, 3] - before[:3, 3]) > 20
    for stamps in seen:
        assert len({stamp for stamp, sharp in stamps if not sharp}) >= 5
    assert [layer["sharp"] for layer in last] == [True, True]
    found = layer_values(last[0])
    expected = chest.session.anatomy.drr(chest.registration.xrays[0].camera, chest.pose)
    shown = expected > 0.02
    assert found.shape == expected.shape and shown.mean() > 0.3
    assert np.abs(found - expected)[shown].max() < 1e-3 * np.nanmax(expected)


def test_a_page_that_is_gone_ends_its_drag_and_leaves_no_thread(chromium, monkeypatch):
    """And another page still shows the CT where the first left it."""
    monkeypatch.setattr(xray_pane, "DRAG_TIMEOUT_S", 0.5)
    page = XRayPage(chromium)

    async def leave():
        await page.settled()
        second = await page.page.context.browser.new_page()
        await second.goto(page.page.url)
        await page.page.bring_to_front()
        begin, end = await page.place((50, 70)), await page.place((62, 61))
        await page.page.mouse.move(*begin)
        await page.page.mouse.down()
        await page.page.mouse.move(*end, steps=9)
        await asyncio.sleep(0.3)
        gone, page.page = page.page, second
        await gone.close()
        await asyncio.sleep(1.0)
        await page.settled()
        return await page.js(
            "() => JSON.parse(JSON.stringify(xrays.map((x) => x.view.pose.world_from_ct)))"
        )

    try:
        page(page.settled())
        threads = threading.active_count()
        poses = page(leave())
        assert page.called[0] == "begin" and page.called[-1] == "end"
        assert not np.array_equal(page.pose, START)
        assert all(np.allclose(pose, page.pose) for pose in poses)
        assert threading.active_count() <= threads
    finally:
        page.close()
