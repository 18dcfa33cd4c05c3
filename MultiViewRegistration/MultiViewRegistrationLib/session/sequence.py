"""The sequence of a session: tracked here or opened, and played; its video and stills; and how two bones move in it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import chain
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..geometry import rigid
from ..imaging.xray import View, XRay
from ..io.files import write_json
from ..io.folders import staged
from ..io.sequence import FrameFiles
from ..known import Known
from ..mrml.ct_3d import named_bones
from ..mrml.fingerprints import fingerprint
from ..mrml.image import frames_in, greys, how_many
from ..mrml.layout import css
from ..mrml.nodes import Colour, transform_to_ras
from ..mrml.structures import outlined
from ..mrml.xray import DetectorPlane, GreyRange
from ..translation import _
from . import player as saved_sequence
from .assessment import stale_reason
from .bones import surfaces
from .player import Played, Player
from .registering import Tracking, frames_of
from .tasks import BackgroundValue, Task, Writer, ended

if TYPE_CHECKING:
    from PIL.Image import Image

    from ..registration.prepared_ct import PreparedCT
    from ..sequence.motion import Motion
    from ..sequence.tracker import Tracked
    from .session import Session

VIDEO = "sequence.gif"
#: Rows of an X-ray in a picture, columns between two, and the size of the letters.
ROWS = 480
GAP = 8
LETTERS = 18


def take_video(session: Session, folder: Path) -> Writer:
    """Return a function that writes a video of all frames so far, and a still, in any thread.

    Each shows the X-rays side by side, with the outline of each bone where it was found; where none
    was, with the edges of the CT's bone.

    Raises
    ------
    InputError
        Without a sequence, and as `Inputs.bodies`.
    """
    player = session.sequence.player
    if player is None or not player.played.frames:
        raise InputError(
            _("Video: there is no sequence, expected one that was tracked; track it, or open one.")
        )
    played = player.played
    rate = player.rate
    shown = player.number or 0
    frames = list(played.frames)
    images = played.images
    views = {view.name: view for view in session.registration.xrays}
    views = {name: view for name, view in views.items() if name in played.views and view.placed}
    given = {name: view.camera for name, view in views.items()}
    colours = named_bones(session.registration)
    bodies = session.bodies()
    ready = session.ready()

    def write() -> list[Path]:
        anatomy = ready(lambda progress: True)
        windows: dict[str, GreyRange] = {}
        made = surfaces(bodies)

        def picture(frame: Tracked) -> Image:
            try:
                found = images.read(frame.number)
            except InputError:  # the frame's own verdict says why: it shows nothing
                found = {}
            cameras = given | dict(zip(played.views, frame.cameras, strict=False))
            poses = frame.bone_poses
            outlines = [name for name in colours if name in made and name in poses]
            panes = []
            for name, view in views.items():
                xray = found[name].xray if found else None
                if xray is not None and name not in windows:
                    windows[name] = greys(xray)[0]
                detector = DetectorPlane(view, None, cameras[name], np.eye(4), ())
                lines = []
                for bone in outlines:
                    drawn = outlined(made[bone][1], transform_to_ras(poses[bone]), detector)
                    lines.append((colours[bone], drawn))
                window = windows.get(name, (0.0, 1.0))
                pane = _pane(_grey(xray, window, cameras[name].size), lines)
                if xray is not None and frame.kept and not outlines:
                    _draw_edges(pane, View(name, xray, cameras[name]), anatomy, frame)
                panes.append(pane)
            return _beside(panes, f"{frame.number}: {frame.overall_verdict}")

        with staged(folder, last=VIDEO) as staging:
            still = f"frame_{shown}.png"
            picture(frames[shown]).save(staging / still)
            rest: Iterator[Image] = map(picture, frames[1:])
            first = picture(frames[0])
            milliseconds = round(1000 / rate)
            first.save(
                staging / VIDEO, save_all=True, append_images=rest, duration=milliseconds, loop=0
            )
        return [folder / name for name in (still, VIDEO)]

    return write


def _grey(xray: XRay | None, window: GreyRange, size: tuple[int, int]) -> np.ndarray:
    """Return uint8 (rows, columns): an X-ray in a window, black without one."""
    if xray is None:
        return np.zeros(size[::-1], np.uint8)
    low, high = window
    share = np.clip((xray.line_integrals - low) / (high - low), 0, 1)
    return (255 * share * xray.valid).astype(np.uint8)


def _pane(grey: np.ndarray, lines: list[tuple[Colour, np.ndarray]]) -> Image:
    """Return an X-ray in ROWS rows with lines (k, 2, 2), in its pixels, in their colours."""
    from PIL import Image, ImageDraw

    scale = ROWS / len(grey)
    size = round(scale * grey.shape[1]), ROWS
    pane = Image.fromarray(grey).resize(size).convert("RGB")
    pen = ImageDraw.Draw(pane)
    for colour, pieces in lines:
        for piece in scale * (pieces + 0.5):
            pen.line([tuple(point) for point in piece.tolist()], css(colour))
    return pane


def _draw_edges(pane: Image, view: View, anatomy: PreparedCT, frame: Tracked) -> None:
    """Draw the edges of the CT's bone at the pose of a frame over an X-ray."""
    from PIL import Image

    from ..report.overlays import film_of, live_layer

    small = view.pooled(max(len(view.xray.valid) // ROWS, 1))
    assert frame.world_from_ct is not None, "the frame was lost"
    bones = anatomy.drr(small.camera, frame.world_from_ct, bones=True)
    layer = live_layer("edges", film_of(small.xray), bones, structure=anatomy.structure)
    over = Image.fromarray(layer).resize(pane.size)
    pane.paste(over, (0, 0), over)


def _beside(panes: list[Image], words: str) -> Image:
    """Return pictures beside each other, with a few words."""
    from PIL import Image, ImageDraw, ImageFont

    gap = np.zeros((ROWS, GAP, 3), np.uint8)
    parts = list(chain(*((gap, np.asarray(pane)) for pane in panes)))
    whole = Image.fromarray(np.concatenate(parts[1:], axis=1))
    font = ImageFont.load_default(LETTERS)
    ImageDraw.Draw(whole).text(
        (GAP, GAP), words, "white", font, stroke_width=2, stroke_fill="black"
    )
    return whole


#: Seconds between two times that the frames so far are kept in the scene: all of them are written
#: each time.
KEEP_S = 2.0


class Sequence:
    """The sequence that a session tracks and plays.

    Attributes
    ----------
    player
        None without a sequence.
    message
        Why the tracking failed, or the scene's own sequence is not here; "" else.
    ended
        How the last tracking ended, "done", "failed" or "cancelled"; "" before it has.
    seeking
        The frame to be shown, and what seeks the files of the scene's own sequence; None where
        nothing does.
    count
        How many frames the X-rays have, from the one that is shown on; None as long as that is not
        known.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._registration = session.registration
        self.player: Player | None = None
        self.tracking: Tracking | None = None
        self.message = ""
        self.ended = ""
        self._counted = BackgroundValue()
        self._files: FrameFiles | None = None
        self._restored = False
        self.seeking: tuple[int, Task] | None = None
        self._kept = 0.0
        self._known = Known()

    def restore_scene_before_sequence(self) -> tuple[int, Callable[[], tuple]] | None:
        """Put all back as it was before the sequence, where the scene was saved while it was played; only the first time.

        What `saved_sequence.saved` has of it.
        """
        registration = self._registration
        if self._restored or registration.scene is None or registration.scene.IsImporting():
            return None
        saved = saved_sequence.saved(registration)
        self._restored = True
        if saved is not None:
            saved_sequence.put_back(self._session, {})
        return saved

    @property
    def working(self) -> bool:
        """Whether frames are tracked, or the files of the scene's own sequence are sought."""
        return self.tracking is not None or self.seeking is not None

    @property
    def frame(self) -> Tracked | None:
        """The result of the frame whose pose the CT has.

        None without one, and where that pose was assessed by itself since.
        """
        history = self._session.history
        player = self.player
        if player is None or not player.at_frame:
            return None
        entry = None if history.moved else history.current
        assessed = entry and entry.assessed == fingerprint(self._registration)
        return None if assessed else player.frame

    @property
    def start(self) -> str:
        """The start of the first frame: the result of a registration, where the CT lies at one.

        Else as the step Start says.
        """
        searched = self.player is not None or stale_reason(self._session)
        return self._registration.start if searched else "given"

    @property
    def count(self) -> int | None:
        """How many frames the X-rays have, from the one that is shown on; None as long as that is not known."""
        session = self._session
        if self._files is not None:
            return len(self._files)
        in_scene = frames_in(session.registration)
        if in_scene > 1 or session.case_path is None:
            return in_scene
        path = session.case_path
        if session.anatomy is not None:  # opening a case waits for other things first
            self._counted.update(path, lambda: partial(how_many, path))
        return self._counted.value or 1 if self._counted.made_of == path else None

    def track(self, pace: str = "thorough", start: str | None = None) -> None:
        """Begin to track the X-rays' frames from the first one on.

        Parameters
        ----------
        pace
            One of `sequence.PACES`.
        start
            Of the first frame, one of `session.STARTS`; by default `self.start`.

        Raises
        ------
        InputError
            Where that cannot be.
        """
        session = self._session
        session.require_idle()
        saved_sequence.refuse_lost(session.registration)
        self.close()
        start = start or self.start
        images = self._files or frames_of(session)
        case = session.case(placed=session.is_placed(start))
        session.history.note_here()
        device = session.registration.device
        self.tracking = Tracking(case, images, session.ready(), start, pace, device)

    def cancel(self) -> None:
        """Make an end of the tracking; the frames that are done stay."""
        if self.tracking is not None:
            self.tracking.task.cancel()

    def open(self, played: Played, number: int = 0) -> None:
        """Play a sequence that was tracked before, from this frame on.

        InputError while another is being tracked, and without the volumes of X-rays.
        """
        self._session.require_idle()
        saved_sequence.refuse_lost(self._registration)
        self.close()
        history = self._session.history
        history.note_here()
        player = self._play(played)
        self._files = played.images.files
        player.go(number)

    def _play(self, played: Played) -> Player:
        self.player = player = Player(self._session, played)
        self._session.history.unnoted = "tracked"
        self._keep(player)
        return player

    def _keep(self, player: Player) -> None:
        """Have a scene that is saved now bring the sequence back."""
        self._kept = monotonic()
        saved_sequence.keep_track(self._registration, player.played.content(None))

    def motion_of_bones(self) -> Motion | None:
        """Return how the moving bone of `Bones.pair` moves against the fixed one, in its frame.

        None without a sequence of these bones, and where no two frames have both.
        """
        bones = self._session.bones
        player = self.player
        fixed, moving, _frame = bones.pair
        if player is None or not (fixed and moving):
            return None
        find = partial(self._find_motion, player.played, fixed, moving)
        return self._known.value("motion", (player, player.last, bones.pair), find)

    def _find_motion(self, played: Played, fixed: str, moving: str) -> Motion | None:
        from ..sequence.motion import Motion

        bones = self._session.bones
        try:
            frame = bones.ct_from_frame()
            middle = bones.middle(moving)
        except InputError:
            return None
        # of a CT of its own the moving bone has a frame of its own, which is kept
        own = np.eye(4) if moving in self._registration.apart else frame
        one = fixed, _in_frame(played, fixed, frame)
        other = moving, _in_frame(played, moving, own)
        centre = rigid.transform_points(rigid.inverse(own), middle)
        motion = Motion.of(one, other, centre, played.count)
        return motion if len(motion.found) > 1 else None

    def close(self) -> None:
        """Put everything back as it was before the sequence was played."""
        self.message = self.ended = ""
        if self.player is not None:
            player = self.player
            self.player = None
            self._session.history.unnoted = "moved"
            if self._registration.scene is not None:
                player.close()

    def save(self, folder: Path, unit: str = "mm", *, moves: bool = False) -> Writer:
        """Return a function that writes poses.csv, track.tra and track.json into a folder, in any thread; it returns the files.

        A sequence that was tracked now has those of the case's structures, too.

        Parameters
        ----------
        unit, moves
            See `track_files.Track.save`.

        Raises
        ------
        InputError
            Without a sequence, and as `Inputs.ct`.
        """
        if self.player is None:
            raise InputError(
                _("Sequence: there is none, expected one that was tracked; track it, or open one.")
            )
        ct = self._session.ct()
        played = self.player.played
        played = replace(played, frames=list(played.frames))

        def write() -> list[Path]:
            from ..sequence.track_files import FILE, Track, write_tables

            if isinstance(played.track, Track):
                return replace(played.track, frames=played.frames).save(folder, unit, moves=moves)
            with staged(folder, last=FILE) as staging:
                write_tables(staging, played.frames, played.count, ct, unit)
                content = played.content(None if moves else folder)
                write_json(staging / FILE, content)
            return [folder / name for name in ("poses.csv", "track.tra", FILE)]

        return write

    def poll(self) -> bool:
        """Take the frames that have come, and show what is due.

        Returns
        -------
        bool
            Whether a tracking has ended, or another frame is shown that stays.
        """
        saved = self.restore_scene_before_sequence()
        if saved is not None:
            self.seeking = saved[0], Task(lambda on_progress: saved[1]())
        ended = self._look_for_saved()
        if self.tracking is not None:
            ended |= self._look_at(self.tracking)
        player = self.player
        if player is None:
            return ended
        changed = self._session.running_registration is None and player.tick()
        return ended or (changed and not player.playing and self.tracking is None)

    def _look_for_saved(self) -> bool:
        """Play the scene's own sequence once it is found.

        Returns
        -------
        bool
            Whether that is now, or it was not found.
        """
        if self.seeking is None:
            return False
        number, task = self.seeking
        if not ended(task):
            return False
        self.seeking = None
        self.message = task.message
        if not task.message:
            track, files, warning = task.result
            try:
                images = saved_sequence.images_of(self._session, track, files)
                self.open(Played.of(track, track.views, images), number)
                self.message = warning
            except InputError as error:
                self.message = str(error)
        if self.player is None:
            self.message = f"{self.message} {saved_sequence.PUT_BACK}"
        if self.message:
            self._session.notices.warn(self.message)
        return True

    def _look_at(self, tracking: Tracking) -> bool:
        """Return whether the tracking has just ended."""
        tracking.task.poll(0)
        self._take(tracking)
        task = tracking.task
        if not ended(task):
            return False
        self.tracking = None
        self.message = task.message
        self.ended = task.state
        if self.player is not None:
            self._keep(self.player)
        return True

    def _take(self, tracking: Tracking) -> None:
        """Show the newest frame, if any has come."""
        track = tracking.track
        images = tracking.images
        player = self.player
        if track is None or images is None or not track.frames:
            return
        if player is None:
            first = track.sequence.first
            views = [view.name for view in first.views]
            player = self._play(
                Played(first.name, track.frames, len(track.sequence), views, images, track)
            )
        elif monotonic() - self._kept > KEEP_S:
            self._keep(player)
        player.show_newest()


def _in_frame(played: Played, bone: str, ct_from_frame: np.ndarray) -> list[Tracked]:
    """Return the results of a bone with the poses (4, 4) of an anatomical frame that goes with it."""
    placed = []
    for each in played.frames:
        found = each.bones.get(bone)
        if found is not None:
            pose = found.world_from_ct
            placed.append(
                replace(found, world_from_ct=None if pose is None else pose @ ct_from_frame)
            )
    return placed
