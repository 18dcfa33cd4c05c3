"""SimpleITK's readers, in a child process, see `child`: damaged files can end it."""

from __future__ import annotations

from typing import Any

import SimpleITK as sitk

#: The type of a component as NumPy writes it, by SimpleITK's pixel types.
TYPES = {sitk.sitkComplexFloat32: "c8", sitk.sitkComplexFloat64: "c16"}
for _kind, _letter in (("UInt", "u"), ("Int", "i"), ("Float", "f")):
    for _size in (1, 2, 4, 8):
        for _vector in ("", "Vector"):
            _pixel = getattr(sitk, f"sitk{_vector}{_kind}{8 * _size}", None)  # none of Float8
            TYPES[_pixel] = f"{_letter}{_size}"
REACH_MM = 1000.0  # how far from the origin a transform is probed; the answer does not depend on it


def header(path: str, by: str) -> dict[str, Any]:
    """Return an image's size, place and type by its header, read by the reader of this name."""
    reader = _reader(path, by)
    return _described(reader, reader.GetNumberOfComponents())


def image(
    path: str, by: str, slice_number: int | None, keys: list[str]
) -> tuple[dict[str, Any], memoryview, sitk.Image]:
    """Return an image, or one slice of a volume.

    Its place, type and what it says under these keys; its values; and whose they are.

    The place is that of the whole volume.
    """
    reader = _reader(path, by)
    if slice_number is not None:
        reader.SetExtractSize([*reader.GetSize()[:2], 1])
        reader.SetExtractIndex([0, 0, slice_number])
    read = reader.Execute()
    said = {key: read.GetMetaData(key) for key in keys if read.HasMetaDataKey(key)}
    described = _described(read, read.GetNumberOfComponentsPerPixel())
    return {**described, "said": said}, _view(read), read


def series(paths: list[str]) -> tuple[dict[str, Any], memoryview, sitk.Image]:
    """Read DICOM slices in the order given, float32."""
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames(paths)
    reader.SetOutputPixelType(sitk.sitkFloat32)
    read = reader.Execute()
    return _described(read, read.GetNumberOfComponentsPerPixel()), _view(read), read


def transform(path: str) -> dict[str, Any]:
    """Return a transform's dimension and kind, and the matrix (4, 4) of a linear one in 3D, as TransformPoint applies it."""
    read = sitk.ReadTransform(path)
    kind = read.Downcast().GetName()
    matrix = None
    if read.GetDimension() == 3 and read.IsLinear() and kind != "CompositeTransform":
        origin = read.TransformPoint([0.0] * 3)
        columns = []
        for along in range(3):
            end = read.TransformPoint([REACH_MM * (axis == along) for axis in range(3)])
            columns.append([(to - at) / REACH_MM for to, at in zip(end, origin)])
        matrix = [*zip(*columns, origin), (0.0, 0.0, 0.0, 1.0)]
    return {"dimension": read.GetDimension(), "kind": kind, "matrix": matrix}


def _reader(path: str, by: str) -> sitk.ImageFileReader:
    reader = sitk.ImageFileReader()
    reader.SetImageIO(by)
    reader.SetFileName(path)
    reader.ReadImageInformation()
    return reader


def _described(read: sitk.Image | sitk.ImageFileReader, components: int) -> dict[str, Any]:
    return {
        "size": read.GetSize(),
        "spacing": read.GetSpacing(),
        "origin": read.GetOrigin(),
        "direction": read.GetDirection(),
        "components": components,
        "type": TYPES[read.GetPixelID()],
    }


_view = sitk.SimpleITK._GetMemoryViewFromImage  # it does not keep the image alive
