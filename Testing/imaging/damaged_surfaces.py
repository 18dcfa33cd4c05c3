"""Surfaces that VTK writes, and damaged ones that end VTK's readers or fill the memory."""

import struct

from vtkmodules.vtkFiltersSources import vtkSphereSource
from vtkmodules.vtkIOGeometry import vtkOBJWriter, vtkSTLWriter
from vtkmodules.vtkIOLegacy import vtkPolyDataWriter
from vtkmodules.vtkIOPLY import vtkPLYWriter
from vtkmodules.vtkIOXML import vtkXMLPolyDataWriter

WRITERS = {
    ".stl": vtkSTLWriter,
    ".obj": vtkOBJWriter,
    ".ply": vtkPLYWriter,
    ".vtk": vtkPolyDataWriter,
    ".vtp": vtkXMLPolyDataWriter,
}
TETRAHEDRON = (0, 0, 0, 20, 0, 0, 0, 20, 0, 0, 0, 20)
HUGE, MANY = 200_000_000, 30_000_000
#: Byte orders of PLY, by struct's letters.
PLY_FORMATS = {"": "ascii", "<": "binary_little_endian", ">": "binary_big_endian"}
VTK_POINTS = "POINTS 3 float\n0 0 0 9 0 0 0 9 0\n"


def write(surface, path, *settings):
    """Write a vtkPolyData in the format of the path's ending.

    settings : names of the writer's methods, each with its arguments, if any.
    """
    writer = WRITERS[path.suffix]()
    writer.SetInputData(surface)
    writer.SetFileName(str(path))
    for name, *arguments in settings:
        getattr(writer, name)(*arguments)
    writer.Write()
    return path


def sphere(resolution=12):
    source = vtkSphereSource()
    source.SetRadius(20)
    source.SetThetaResolution(resolution)
    source.SetPhiResolution(resolution)
    source.Update()
    return source.GetOutput()


def ply(order, vertices, faces, data=bytes(50), count_type="uchar"):
    """A PLY file whose header states these numbers."""
    header = (
        f"ply\nformat {PLY_FORMATS[order]} 1.0\nelement vertex {vertices}\nproperty float x\n"
        f"property float y\nproperty float z\nelement face {faces}\n"
        f"property list {count_type} int vertex_indices\nend_header\n"
    )
    return header.encode() + data


def one_face(count_type, *face):
    letters = {"uchar": "B", "int": "i"}[count_type] + f"{len(face) - 1}i"
    data = struct.pack("<12f", *TETRAHEDRON) + struct.pack(f"<{letters}", *face)
    return ply("<", 4, 1, data, count_type)


def legacy(body, kind="ASCII", version="3.0"):
    return f"# vtk DataFile Version {version}\nx\n{kind}\nDATASET POLYDATA\n{body}".encode()


def obj(faces):
    lines = [f"v {x} {y} {z}" for x, y, z in zip(*[iter(TETRAHEDRON)] * 3)]
    return "\n".join([*lines, faces, ""]).encode()


def absurd():
    """Files that state numbers or indices without the data, by their names."""
    files = {
        "index.obj": obj("f 1 2 99999999\nf 1 2 3"),
        "texture.obj": obj("f 1/9999999/9999999 2/9/9 3/9/9"),
        "index.ply": one_face("uchar", 3, 0, 1, 99_999_999),
        "long.ply": one_face("int", 2**31 - 1, 0, 1, 2),
        "index.vtk": legacy(f"{VTK_POINTS}POLYGONS 1 4\n3 0 1 99999999\n"),
        "field.vtk": legacy(f"FIELD f 1\na 100000 100000 float\n1 2\n{VTK_POINTS}"),
        "values.vtk": legacy(f"{VTK_POINTS}POLYGONS 1 4\n3 0 1 2\nPOINT_DATA {HUGE}\n"),
        "offset.vtk": legacy(
            f"{VTK_POINTS}POLYGONS 2 3\nOFFSETS vtktypeint64\n0 99999999\nCONNECTIVITY "
            "vtktypeint64\n0 1 2\n",
            version="5.1",
        ),
        "count.stl": bytes(80) + struct.pack("<I", HUGE) + bytes(100),
    }
    for order, name in PLY_FORMATS.items():
        files[f"vertices_{name}.ply"] = ply(order, HUGE, 1)
        files[f"faces_{name}.ply"] = ply(order, 1, MANY)
    for kind in ("ASCII", "BINARY"):
        files[f"points_{kind}.vtk"] = legacy(VTK_POINTS.replace("3", str(MANY), 1), kind)
        files[f"polygons_{kind}.vtk"] = legacy(f"{VTK_POINTS}POLYGONS {HUGE} {4 * HUGE}\n", kind)
    return files
