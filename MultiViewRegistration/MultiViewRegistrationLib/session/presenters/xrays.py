"""The X-rays: a table of them, files that are added, and editors of the one that is selected."""

from __future__ import annotations

from functools import partial

from ...errors import InputError
from ...io.dicom_identity import DAY
from ...io.files import redact_upload_paths
from ...io.recognise import XRAY
from ...mrml.identity import identity_mismatches, true_pose
from ...mrml.image import change_image, set_mask
from ...mrml.layout import css_colour
from ...mrml.nodes import segmentations, volumes
from ...mrml.xray import XRayView
from ...translation import _
from .. import adding
from ..adding import rename
from ..geometry import certainty, describe, needs_geometry, reference_of
from ..inputs import ALIKE, problem_of_twins, twins
from .certainty import EditorPresenter, XRaySelection
from .form import (
    Button,
    Cell,
    Choice,
    Files,
    Form,
    Picture,
    Switch,
    Table,
    TableRow,
    Text,
    TextField,
    group,
    line,
    quiet,
    row,
)
from .geometry import GeometryPresenter
from .number import Number
from .section import Host, State, node_options

PICTURE_HEIGHT_PX = 120


class XRaysPresenter(XRaySelection):
    """The step X-rays. `tick` monitors images for changes."""

    TITLE = _("X-rays")
    BEGINS = True

    def __init__(self, host: Host) -> None:
        self.host = host
        self.geometry = GeometryPresenter(self)
        self.image = ImagePresenter(self)
        super().__init__(host)

    def reset(self) -> None:
        """Discard all state of the previous registration."""
        self._selected = ""
        self.geometry.reset()

    # The form

    def form(self) -> Form:
        """Return the controls."""
        open_ = self.host.registration
        there = [] if open_ is None else [open_.ct, *(view.node for view in open_.xrays)]
        found = [node for node in volumes(self.host.scene) if node not in there]
        add = Choice(
            "volume",
            _("From the scene"),
            self.add_volume,
            options=node_options(_("choose a volume to add"), found),
            tip=_(
                "An image, a run of frames, or what a sequence shows now, that is loaded already. "
                "It stays as it is."
            ),
        )
        return [
            Files(
                "files",
                _("Add X-rays from files..."),
                partial(self.host.take_files, preferred=XRAY),
                hint=_("X-rays: DICOM, PNG, TIFF, MHA, NRRD; or a case.json with its files"),
                several=True,
                folders=True,
            ),
            add if found else None,
            *self._scouts(),
            *(self._of_xrays() if self.views else []),
        ]

    def _scouts(self) -> Form:
        """Return the scouts found with the CT, until all are added."""
        scouts = self.session.scouts if self.host.session is not None else None
        if scouts is None:
            return []
        missing = scouts.missing_in(self.registration)
        tip = _(
            "Add the CT scanner's own X-rays of this examination ({names}), with the geometry that "
            "their headers give. They lie in the CT's frame of reference: a registration can be "
            "held against the scanner's own pose."
        )
        return [
            row(
                "of_ct",
                Button(
                    "scouts",
                    _("Use the scouts of this CT"),
                    self.use_scouts,
                    tip=tip.format(names=", ".join(missing)),
                ),
            )
            if missing
            else None,
            quiet("scouts_left_out", redact_upload_paths("\n".join(scouts.left_out))),
        ]

    def _of_xrays(self) -> Form:
        views = self.views
        selected = self.current
        name = selected.name
        rename_selected = partial(rename, self.registration, selected)
        return [
            Table(
                "xrays",
                _("X-rays"),
                lambda node_id, _column: self.select(node_id),
                columns=(_("Name"), _("Geometry"), _("Certainty")),
                lines=tuple(self._line(view) for view in views),
                selected=selected.id,
                switch=self.use,
                tip=_(
                    "Those that are checked are used. The settings of the selected one are below."
                ),
            ),
            Text("problem", self._problem(), tone="error"),
            quiet("truth", self._truth()),
            quiet("days", self._date_note()),
            row(
                "selected",
                TextField("name", _("Name"), rename_selected, text=name, of=selected.id),
                Button(
                    "up",
                    _("Earlier"),
                    partial(self.move, -1),
                    icon="up",
                    enabled=selected != views[0],
                    tip=_(
                        "Earlier: the first X-ray is the one that the others' geometry is relative "
                        "to."
                    ),
                ),
                Button(
                    "down",
                    _("Later"),
                    partial(self.move, 1),
                    icon="down",
                    enabled=selected != views[-1],
                ),
                Button(
                    "remove",
                    _("Remove this X-ray"),
                    self.remove,
                    icon="remove",
                    question=_("Remove the X-ray {name}, with its geometry and mask?").format(
                        name=name
                    ),
                ),
            ),
            row(
                "geometries",
                Button(
                    "geometry",
                    _("Geometry..."),
                    lambda: self.host.show_geometry(self.selected),
                    tip=_(
                        "A table of how each X-ray was taken: angles, distances, pixels, left and "
                        "right, and how well they are known."
                    ),
                ),
            ),
            group("image", _("Image of {name}").format(name=name), *self.image.form(), open=False),
        ]

    def _line(self, view: XRayView) -> TableRow:
        known = _("reference") if view == reference_of(self.registration) else certainty(view)
        source = view.source
        origin = view.record.origin
        error = self.geometry.error_of(view)
        trouble = error or self.session.problem(view)
        image = _("its volume is gone")
        if source:
            image = _("made from {volume}").format(volume=source.GetName())
        geometry = _("not as typed") if error and view.placed else describe(view)
        whence = f"{geometry} ({origin})" if origin else geometry
        return line(
            view.id,
            Cell(view.name, f"{view.name}, {image}"),
            Cell(geometry, trouble or whence, "caution" if trouble else ""),
            known if view.placed else "",
            on=view.used,
            colour=css_colour(view),
        )

    def _problem(self) -> str:
        """Return warnings: duplicate X-rays, and problems of the selected X-ray."""
        view = self.current
        return (
            problem_of_twins(self.registration)
            or self.geometry.first_error()
            or ("" if needs_geometry(view) else self.session.problem(view))
        )

    def _truth(self) -> str:
        if true_pose(self.registration) is None:
            return ""
        return _(
            "These are scouts of this CT: the step Check tells how far a result is from the "
            "scanner's own pose, which is good to some 1.5 mm, as the patient may have moved "
            "between scout and slices."
        )

    def _date_note(self) -> str:
        """Return a note if CT and X-rays have different acquisition dates, otherwise an empty string."""
        found = identity_mismatches(self.registration)
        return " ".join(each.sentence for each in found if each.kind == DAY)

    def state(self) -> State:
        """Return the state of this step."""
        used = [view for view in self.views if view.used]
        scouts = self.session.scouts
        if not used:
            waiting = scouts is not None and scouts.missing_in(self.registration)
            add = _("add X-rays, or use the CT's scouts") if waiting else _("add X-rays")
            return State("todo", _("none is used") if self.views else add)
        if same := twins(self.registration):
            what, one, other = same
            return State("problem", ALIKE[what].format(one.name, other.name))
        for view in used:
            if needs_geometry(view):
                return State("todo", _("{name} needs geometry").format(name=view.name))
            if self.session.problem(view):
                return State("problem", _("{name} cannot be used").format(name=view.name))
        if self.geometry.first_error():
            return State("problem", _("a typed value is not taken"))
        words = _("1 view ready") if len(used) == 1 else _("{count} views ready")
        return State("ready", words.format(count=len(used)))

    def tick(self) -> bool:
        """Return whether an image has changed."""
        return self.host.session is not None and self.session.check_next()

    def add_volume(self, node_id: str) -> None:
        """Add an X-ray from a volume of the scene.

        Raises
        ------
        InputError
            If the volume is not an X-ray.
        """
        if node_id:
            self.host.begin()
            self._selected = adding.add_volume(
                self.registration, self.host.scene.GetNodeByID(node_id)
            ).id

    def use_scouts(self) -> None:
        """Add the scouts of the CT, and select the first.

        Raises
        ------
        InputError
            As `Scouts.add_to`.
        """
        scouts = self.session.scouts
        if scouts is None:
            raise InputError(_("X-rays: the scouts are not there any more; choose their CT."))
        self._selected = scouts.add_to(self.registration)[0].id

    # What a person does in the table

    def use(self, node_id: str, on: bool) -> None:
        """Use an X-ray, or skip it."""
        self.view(node_id).change(use=bool(on))

    def move(self, by: int) -> None:
        """Move the selected X-ray up or down the list."""
        selected = self.current
        self._selected = selected.id
        self.registration.move_xray(selected, self.views.index(selected) + by)

    def remove(self) -> None:
        """Remove the selected X-ray, and select its neighbour."""
        selected = self.current
        place = self.views.index(selected)
        self.registration.remove_xray(selected)
        left = self.views
        self._selected = left[min(place, len(left) - 1)].id if left else ""


class ImagePresenter(EditorPresenter):
    """The display of an X-ray's image, and the region that is used."""

    TITLE = _("Image")

    def form(self) -> Form:
        """Return the controls."""
        view = self.view
        source = self.view.source
        masks = segmentations(self.registration.scene)
        record = view.record
        there = source is not None
        hint = _("{name}, {columns} \u00d7 {rows} pixels").format(
            name=source.GetName() if there else _("(its volume is gone)"),
            columns=view.size[0],
            rows=view.size[1],
        )
        mask = Choice(
            "mask",
            _("Mask"),
            self.set_mask,
            value=view.mask.GetID() if view.mask is not None else "",
            options=node_options(_("none: the X-ray's field"), masks),
            tip=_("Use only what the segments of a segmentation cover."),
        )
        tools = self.host.slicer_tools
        draw = (
            None
            if tools is None
            else Button(
                "draw",
                _("Draw mask..."),
                lambda: tools.draw_mask(self.view),
                tip=_(
                    "Open a mask of what is used now in the Segment Editor: erase what is not to "
                    "be used."
                ),
            )
        )
        return [
            quiet("source", hint),
            Picture(
                "picture",
                rgb=self.picture(view, 2 * PICTURE_HEIGHT_PX),
                aspect=view.pixel_aspect,
                height=PICTURE_HEIGHT_PX,
            )
            if self.in_slicer
            else None,
            *self._frames(),
            Switch(
                "flipped",
                _("Turn the image over, left to right"),
                lambda on: change_image(self.view, flipped=bool(on)),
                on=record.flipped,
                enabled=there and record.kind != "slot_scan",
                tip=_("The geometry of a slot scan says which way its columns run.")
                if record.kind == "slot_scan"
                else _(
                    "Where the file was stored the other way round than its matrix or calibration "
                    "says."
                ),
            ),
            mask if masks else None,
            draw,
        ]

    def _frames(self) -> Form:
        """Return the control that selects the registered frame of a run."""
        view = self.view
        image = view.source and view.source.GetImageData()
        last = image.GetDimensions()[2] - 1 if image else 0
        frame = view.record.shown_frame
        number = Number(_("Frame"), 0, last, _(" of {last}").format(last=last), whole=True)

        if last <= 0:
            return []
        return [
            row(
                "frames",
                TextField(
                    "frame",
                    _("Frame"),
                    lambda text: self.show_frame(round(number.read(text))),
                    text=str(frame),
                    number=number,
                    of=view.id,
                ),
                Button(
                    "frame_back",
                    _("Frame before"),
                    partial(self.show_frame, frame - 1),
                    icon="back",
                    enabled=frame > 0,
                ),
                Button(
                    "frame_on",
                    _("Next frame"),
                    partial(self.show_frame, frame + 1),
                    icon="on",
                    enabled=frame < last,
                ),
            )
        ]

    def show_frame(self, frame: int) -> None:
        """Register another frame, counted from 0."""
        change_image(self.view, frame=frame)

    def set_mask(self, node_id: str) -> None:
        """Use only the region covered by a segmentation, given by node ID."""
        set_mask(self.view, self.registration.scene.GetNodeByID(node_id) if node_id else None)
