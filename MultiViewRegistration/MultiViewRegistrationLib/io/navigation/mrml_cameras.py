"""The views' cameras as a scene file of 3D Slicer (.mrml)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np

from ...geometry import rigid
from ...geometry.camera import Camera
from ..files import write_atomically

VERSION = "Slicer 5.10.0 0"  # whose camera nodes these are
RAS_FROM_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


def write_cameras(
    path: str | os.PathLike,
    cameras: Sequence[Camera],
    target_from_world: np.ndarray,
    centre: np.ndarray,
    caution: str | None = None,
) -> None:
    """Write a vtkMRMLCameraNode for each camera, "X-ray 1" and so on, in the target's RAS mm.

    A node stands at the source and looks along the camera's axis; its focal point is at the depth of `centre` (3,), world LPS mm; its view
    up is that of the image, its view angle 2 atan(H / 2 SDD) with the height H of the detector. A node knows neither a principal point off
    the middle nor a mirrored image: where there is one, its description says so, with the window centre that vtkCamera wants for it.
    """
    root = ElementTree.Element("MRML", version=VERSION, userTags="")
    for number, camera in enumerate(cameras, start=1):
        ElementTree.SubElement(
            root,
            "Camera",
            {
                "id": f"vtkMRMLCameraNode{number}",
                "name": f"X-ray {number}",
                "description": f"NOT FOR USE: {caution} {_described(camera)}" if caution else _described(camera),
                "hideFromEditors": "false",
                **_placed(camera, RAS_FROM_LPS @ target_from_world, centre),
                "parallelProjection": "false",
                "appliedTransform": _text(np.eye(4)),
            },
        )
    ElementTree.indent(root)
    write_atomically(path, ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n")


def _placed(camera: Camera, ras_from_world: np.ndarray, centre: np.ndarray) -> dict[str, str]:
    _, down, forward = camera.camera_from_world[:3, :3]
    focal_point = camera.source + max(float(camera.depth(centre)), 1.0) * forward
    rows, fy = camera.size[1], camera.intrinsics[1, 1]
    return {
        "position": _text(rigid.transform_points(ras_from_world, camera.source)),
        "focalPoint": _text(rigid.transform_points(ras_from_world, focal_point)),
        "viewUp": _text(-ras_from_world[:3, :3] @ down),
        "viewAngle": _text(np.degrees(2 * np.arctan(rows / (2 * fy)))),
    }


def _described(camera: Camera) -> str:
    columns, rows = camera.size
    off = ((np.array(camera.size) - 1) / 2 - camera.principal_point) / (np.array(camera.size) / 2)
    x, y = np.sign(camera.intrinsics[0, 0]) * off[0], -off[1]
    said = [f"The beam of an X-ray of {columns} x {rows} pixels, seen from its source."]
    if max(abs(x), abs(y)) > 1e-9:
        said.append(
            f"Its principal point is off the middle: GetCamera().SetWindowCenter({x:.9g}, {y:.9g}) in a view as wide as the image."
        )
    if camera.intrinsics[0, 0] < 0:
        said.append("The image is stored mirrored: what this camera sees is its mirror image.")
    return " ".join(said)


def _text(numbers) -> str:
    return " ".join(repr(float(number)) for number in np.ravel(numbers))
