"""The DRR that the page draws by WebGL2 against the server's, in a real Chromium."""

import asyncio
from base64 import b64decode
from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from phantom import off
from phantom_scene import START, make_registration, phantom, phantom_registration
from PIL import Image
from scipy import ndimage

pytest.importorskip("trame_slicer", reason='needs slicer-core: pip install -e ".[viewer]"')
pytest.importorskip("playwright", reason="needs Playwright: pip install playwright")

from xray_page import XRayPage

from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.geometry import rigid
from MultiViewRegistrationLib.geometry.machines import CArm, SlotScan
from MultiViewRegistrationLib.imaging.body import Structures
from MultiViewRegistrationLib.imaging.ct import load_ct
from MultiViewRegistrationLib.imaging.field import hull
from MultiViewRegistrationLib.imaging.xray import View, XRay
from MultiViewRegistrationLib.io.datasets.chest import chest_ct
from MultiViewRegistrationLib.mrml import manual_pose
from MultiViewRegistrationLib.mrml.ct_3d import bones_of, choose_bone, put_bones
from MultiViewRegistrationLib.mrml.image import add_mask, set_source, structures_node
from MultiViewRegistrationLib.mrml.loading import volume_node
from MultiViewRegistrationLib.registration.prepared_ct import PreparedCT
from MultiViewRegistrationLib.report.overlays import film_of, live_layer

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


#: What the mask of the X-ray leaves: a collimator's field, and in it an implant.
MASK = np.zeros((480, 500), bool)
MASK[50:, 70:440], MASK[260:300, 150:330] = True, False


def chest_registration(scene):
    """The chest CT in an X-ray of it, with a mask, and in a scout."""
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
    xray = XRay(-np.log(detected / 3e4).astype(np.float32), np.ones(MASK.shape, bool))
    registration = make_registration(scene, ct, [View("pinhole", xray, camera)], pose, "Chest")
    add_mask(registration.xrays[0], "mask", MASK)
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
    page = XRayPage(chromium, registration=chest_registration, webgl=True)
    page(page.loaded())
    yield page
    page.close()


def drawn_here(page, number, *poses):
    """(rows, columns, 4) what the page draws of CT and bones at poses, at full size."""
    columns, rows = page.registration.xrays[number].size
    numbers = page(
        page.js(
            """([n, poses]) => {
                const { picture: { graphics }, view } = xrays[n];
                const image = graphics.image(...view.size);
                graphics.drr(image, view.camera, view.size, poses);
                const bytes = new Uint8Array(graphics.read(image).buffer);
                graphics.release(image);
                let text = '';
                for (let i = 0; i < bytes.length; i += 30000)
                    text += String.fromCharCode(...bytes.subarray(i, i + 30000));
                return btoa(text);
            }""",
            [number, [pose.tolist() for pose in poses]],
        )
    )
    return np.frombuffer(b64decode(numbers), np.float32).reshape(rows, columns, 4)


def pictures(page, mode, pose, number=0):
    """(rows, columns, 3) of an X-ray's pixels in a mode at a pose, as the page draws it by itself, of "edges" (rows, columns) where they
    are; and (rows, columns, 4) the layer that the server would lay over it."""
    view, anatomy, before = page.registration.xrays[number], page.session.anatomy, page.pose
    drr = anatomy.drr(view.camera, pose, bones=mode == "edges")
    layer = live_layer(mode, film_of(page.session.xray(view)), drr, structure=anatomy.structure)

    async def draw():
        page.show(mode)
        await asyncio.sleep(0.2)
        await page.settled(60)
        return await page.js(
            """(n) => {
                const { picture, frame, ratio, $refs } = xrays[n];
                picture.setLayer(null);
                picture.graphics.msPerPixel = 1e-9;
                xrays[n].paint();
                return [$refs.canvas.toDataURL(), picture.source, frame.toView([0, 0]),
                    frame.scale * ratio];
            }""",
            number,
        )

    page.registration.world_from_ct = pose
    try:
        png, source, corner, step = page(draw())
    finally:
        page.registration.world_from_ct = before
    assert source == "browser"
    picture = np.asarray(
        Image.open(BytesIO(b64decode(png.partition(",")[2]))).convert("RGB")
    ).astype(int)
    rows, columns = (
        np.floor(begin + step * np.arange(size)).astype(int)
        for begin, size in zip(corner[::-1], layer.shape[:2], strict=True)
    )
    if mode == "edges":
        picture = ndimage.maximum_filter(picture[..., 0] - picture[..., 2] > 60, size=int(step))
    return picture[rows][:, columns], layer.astype(int)


def ncc(a, b):
    return float(np.corrcoef(a, b)[0, 1])


@pytest.mark.parametrize("number", [0, 1], ids=["pinhole", "scout"])
@pytest.mark.parametrize("rotation, shift", POSES)
def test_the_drr_of_the_page_is_that_of_the_server(chest, number, rotation, shift):
    pose = off(chest.registration.world_from_ct, rotation, shift)
    found, camera, anatomy = (
        drawn_here(chest, number, pose),
        chest.registration.xrays[number].camera,
        chest.session.anatomy,
    )
    expected, bones = (
        anatomy.drr(camera, pose),
        anatomy.projector(1, bones=True).render(camera, pose).image,
    )
    true, here = np.isfinite(expected), found[..., 2] > 0.5
    assert (true == here).mean() > 0.997  # of the rays that the CT's ends take their value
    both = true & here
    assert both.mean() > 0.7
    assert ncc(found[both, 0], expected[both]) >= 0.999
    assert np.abs(found[both, 0] - expected[both]).mean() < 0.003 * expected[both].max()
    assert ncc(found[both, 1], bones[both]) >= 0.997


@pytest.mark.parametrize("mode", ["difference", "colours"])
def test_what_is_compared_in_the_page_is_what_the_server_compares(chest, mode):
    """Neither what the mask leaves out, nor where the CT ends; and no noisier."""
    found, layer = pictures(
        chest, mode, off(chest.registration.world_from_ct, [0, 0, 3], [6, 0, 4])
    )
    compared = layer[..., 3] == 255
    assert 0.3 < compared.mean() < 0.7 and not compared[~MASK].any()
    assert np.ptp(found[~MASK], axis=1).max() == 0  # the X-ray alone
    apart = [
        each[..., 0].astype(float) - each[..., 2] for each in (found, layer)
    ]  # orange against blue
    inner = ndimage.binary_erosion(compared, iterations=2)
    assert ncc(apart[0][inner], apart[1][inner]) > (0.95 if mode == "difference" else 0.9)
    if mode == "difference":
        rough = [np.abs(np.diff(each, axis=1))[inner[:, 1:]].mean() for each in apart]
        assert rough[0] < 1.15 * rough[1]


@pytest.mark.parametrize("number", [0, 1], ids=["pinhole", "scout"])
@pytest.mark.parametrize("rotation, shift", POSES[:3])
def test_the_edges_of_the_page_are_those_of_the_server(chest, number, rotation, shift):
    """Within the field, and none where bone was cut off with the CT."""
    pose = off(chest.registration.world_from_ct, rotation, shift)
    here, layer = pictures(chest, "edges", pose, number)
    there = layer[..., 3] > 127
    assert here.mean() > 0.01 and there.mean() > 0.01
    beside = [ndimage.distance_transform_edt(~each) for each in (here, there)]
    assert (beside[1][here] <= 2).mean() > 0.75 and (beside[0][there] <= 2).mean() > 0.85
    untrue = np.isnan(
        chest.session.anatomy.drr(chest.registration.xrays[number].camera, pose, bones=True)
    )
    assert untrue.mean() > 0.005 and here[untrue].mean() < 0.003
    if number == 0:
        assert not here[~ndimage.binary_dilation(hull(MASK), iterations=2)].any()


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


def test_a_drag_is_drawn_by_the_page_and_sharpened_by_the_server(chest):
    """The page draws every movement at once, before the server has answered."""

    async def drag():
        await chest.settled()
        sources = [await chest.js("() => xrays[0].picture.source")]
        chest.called.clear()
        sources.append(
            await chest.js(
                "() => "
                "{ const x = xrays[0]; x.move('shift', 20, 5); x.paint(); const seen = "
                "x.picture.source; x.ended(); return seen; }"
            )
        )
        await chest.settled()
        await chest.js("() => xrays[0].paint()")
        return [*sources, await chest.js("() => xrays[0].picture.source")]

    chest.show("blend", 1.0)
    before = chest.pose
    assert chest(drag()) == ["server", "browser", "server"]
    assert np.linalg.norm(chest.pose[:3, 3] - before[:3, 3]) > 5
    assert chest.called == ["begin", "moved", "end"]
    here = chest(
        chest.js("() => JSON.parse(JSON.stringify(xrays.map((x) => x.view.pose.world_from_ct)))")
    )
    assert all(np.array_equal(pose, chest.pose) for pose in here)


def test_without_webgl2_a_sentence_says_so_and_the_server_draws(chromium):
    page = XRayPage(chromium, webgl=True, arguments=("--disable-webgl2",))
    try:
        page(page.settled())
        said = page.page.get_by_text("no WebGL2")
        assert page(said.count()) == 1
        start = page.pose
        page(page.drag((50, 70), (62, 61)))
        assert not np.array_equal(page.pose, start)
        assert page(page.js("() => Boolean(xrays[0].picture.layer) && !xrays[0].picture.graphics"))
        page(page.page.get_by_role("button", name="Understood").click())
        assert page(said.count()) == 0
        page(page.page.reload())
        page(page.settled())
        assert page(said.count()) == 0  # a person has read it
    finally:
        page.close()


AWAY = rigid.translation([8.0, -5.0, 4.0])


def registration_of_bones(scene):
    """The phantom, whose bone is two, of which the second lies elsewhere."""
    registration = phantom_registration(scene)
    bone = np.argwhere(phantom()[0].volume.values > 300)
    labels = np.zeros(phantom()[0].volume.values.shape, np.uint8)
    for n, voxels in enumerate(np.array_split(bone, 2), start=1):
        labels[tuple(voxels.T)] = n
    made = structures_node(scene, "bones", Structures(("one", "two"), labels), registration.ct)
    registration.choose_segment(made)
    put_bones(registration, {"one": START, "two": AWAY @ START})
    return registration


def test_bones_are_drawn_by_the_page_at_their_own_poses_and_follow_the_hand(chromium):
    page = XRayPage(chromium, registration=registration_of_bones, webgl=True)
    try:
        for _ in range(600):
            page(asyncio.sleep(0.1))
            if page(
                page.js(
                    "() => xrays.length > 0 && xrays.every((x) => x.picture?.graphics?.ct?.bodies.length === 3)"
                )
            ):
                break
        camera = page.registration.xrays[0].camera
        anatomy, pose = page.session.bones.parts.placed
        expected = anatomy.drr(camera, pose)
        whole = page.session.anatomy.drr(camera, pose)
        found = drawn_here(page, 0, START, START, AWAY @ START)[..., 0]
        true = np.isfinite(expected)
        assert np.abs(expected - whole)[true].max() > 0.1
        assert ncc(found[true], expected[true]) > 0.999 > ncc(found[true], whole[true])
        choose_bone(page.registration, "one")
        page(page.settled())
        page.show("blend", 1.0)
        page(page.settled())
        before = page(page.colours())
        page(page.drag((50, 70), (62, 61)))
        moved = bones_of(page.registration)["one"].world_from_ct
        assert np.linalg.norm(moved[:3, 3] - START[:3, 3]) > 3 and (page.pose == START).all()
        assert np.abs(page(page.colours()) - before).max() > 40
    finally:
        page.close()
