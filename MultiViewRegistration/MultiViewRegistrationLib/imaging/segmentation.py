"""Structures of a CT, read from label volumes, DICOM segmentations, masks and arrays."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np
import scipy

from ..errors import InputError, warn
from ..geometry import rigid
from .body import MAX_LABEL, Structures, StructureSource, check_names
from .bone_names import (
    SPINE_OF_VERSION_1,
    TOTAL_SEGMENTATOR,
    NamedBone,
    Segment,
    contradictions,
    follows_total_segmentator,
    is_bone,
    is_same,
    is_soft,
    nifti_names,
    one_line,
)
from .ct import AIR_BELOW_HU, CT, check_grid, on_grid, read_volume
from .dicom_file import read_dicom
from .image_source import nrrd_pairs
from .reading import read_image

#: How far a label that is stored as a floating-point number may be off a whole one.
MAX_ROUNDING = 1e-3
#: Share of the smaller structure that may lie in another one as well.
MAX_OVERLAP = 0.01
#: Labels or names in a message.
MAX_LISTED = 12
#: So many voxels stand for a structure where its name is compared with its place.
POINTS = 2000
#: What begins the tag of a segment in a .seg.nrrd that says what it is.
TERMINOLOGY = "TerminologyEntry:"
#: Share of a voxel by which two grids may be off each other and still count as one.
SAME_LATTICE = 1e-3


class Segmentation(Protocol):
    """A file with several segments.

    Attributes
    ----------
    name
        Begins messages.
    named
        Whether its segments have names; otherwise their labels stand for these.
    numbered
        Whether the names are those of TotalSegmentator's numbering, which the file does not state.
    """

    name: str | Path
    named: bool
    numbered: bool

    @property
    def segments(self) -> Sequence[Segment]:
        """All that it has."""

    def parts(self, numbers: dict[Segment, int]) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """Return volumes (uint8) that together hold these segments, each with its number, and (4, 4) of their grid to CT LPS mm."""


def read_structures(labels: Path | None, sources: Sequence[StructureSource], ct: CT) -> Structures:
    """Read the structures of a CT.

    Parameters
    ----------
    labels
        A label volume in any image format, Slicer's .seg.nrrd, or a DICOM segmentation. On another
        grid than the CT's it is resampled (nearest neighbour) by its own position.
    sources
        The structures that are meant; none for all in `labels`.

    Raises
    ------
    InputError
        For files that are no segmentations, and structures that are not there, are empty or
        overlap.

    Warns
    -----
    UserWarning
        Of another grid than the CT's, and of structures that the end of the CT cuts off.
    """
    return structures_in(None if labels is None else _read_segmentation(labels), sources, ct)


def read_segments(path: Path, ct: CT) -> Structures | None:
    """Read all segments of a file that names or numbers several, bones first; None of one that is a mask.

    Raises
    ------
    InputError
        As `read_structures`.

    Warns
    -----
    UserWarning
        As `read_structures`; of many nothing of those that the end of the CT cuts off.
    """
    segmentation = _read_segmentation(path)
    if len(segmentation.segments) < 2 and isinstance(segmentation, LabelVolume):
        return None
    segments = sorted(
        segmentation.segments, key=lambda each: not is_bone(each.name, each.terminology)
    )
    found = _structures(segmentation, _sources(segments), ct, all_needed=False)
    if len(found.names) <= MAX_LISTED:
        _warn_cut(found)
    return found


def _sources(segments: Iterable[Segment]) -> list[StructureSource]:
    return [StructureSource(segment.name, segment.label) for segment in segments]


def structures_of_array(
    values: np.ndarray, place: np.ndarray | None, sources: Sequence[StructureSource], ct: CT
) -> Structures:
    """Return the structures of labels in memory.

    Parameters
    ----------
    values
        (nk, nj, ni), whole numbers.
    place
        (4, 4), takes (i, j, k, 1) to CT LPS mm; None for the CT's grid.
    """
    name = "labels"
    expected = ct.volume.values.shape
    if place is None and values.shape != expected:
        found = " x ".join(map(str, values.shape[::-1]))
        wanted = " x ".join(map(str, expected[::-1]))
        raise InputError(
            f"{name}: has {found} voxels, expected the CT's {wanted}; give it on the CT's grid."
        )
    check_grid(name, "label volume", values.shape[::-1])
    grid = ct.volume.ct_from_index if place is None else place
    return structures_in(LabelVolume(name, [(_whole(name, values), grid)]), sources, ct)


def _read_segmentation(path: Path) -> Segmentation:
    dicom = read_dicom(path)
    modality = dicom and dicom.text("Modality")
    if dicom and modality == "SEG":
        from .dicom_segmentation import DicomSegmentation  # few need either

        return DicomSegmentation(dicom)
    if dicom and modality == "RTSTRUCT":
        from .dicom_segmentation import StructureSet

        return StructureSet(dicom)
    pairs = nrrd_pairs(path) if path.is_file() else {}
    if "Segment0_ID" not in pairs:
        image = read_volume(path, "label volume")
        layer = _whole(path, image.values), image.ct_from_index
        return LabelVolume(path, [layer], names=nifti_names(path))
    image = read_image(path)
    check_grid(path, "label volume", image.size)
    layers = [image.values] if image.components == 1 else list(np.moveaxis(image.values, -1, 0))
    segments = _slicer_segments(pairs, len(layers))
    placed = [(_whole(path, layer), image.ct_from_index) for layer in layers]
    return LabelVolume(path, placed, segments)


def _slicer_segments(pairs: dict[str, str], layers: int) -> list[Segment]:
    """Return the segments of a .seg.nrrd.

    Before Slicer 4.11 each had a layer of its own, and the value 1.
    """
    found = []
    number = 0
    while (identifier := pairs.get(f"Segment{number}_ID")) is not None:
        name = pairs.get(f"Segment{number}_Name", identifier)
        label = pairs.get(f"Segment{number}_LabelValue", "1")
        layer = pairs.get(f"Segment{number}_Layer", str(number if layers > 1 else 0))
        if (
            label.isdecimal()
            and layer.isdecimal()
            and 0 < int(label) <= MAX_LABEL
            and int(layer) < layers
        ):
            tags = pairs.get(f"Segment{number}_Tags", "").split("|")
            kind = next((each for each in tags if each.startswith(TERMINOLOGY)), TERMINOLOGY)
            found.append(
                Segment(one_line(name), int(label), int(layer), kind.removeprefix(TERMINOLOGY))
            )
        number += 1
    return found


def _whole(name: str | Path, values: np.ndarray) -> np.ndarray:
    """Return the values as uint8 or uint16, by slices.

    Whole copies of a CT's size take much memory.
    """
    if values.dtype == np.uint8 or values.dtype == bool:
        return values.astype(np.uint8, copy=False)
    low = values.min()
    high = values.max()
    if values.dtype.kind not in "iuf" or not (low >= 0 and high <= MAX_LABEL):
        raise InputError(
            f"{name}: has values from {low:g} to {high:g}, expected labels, whole numbers from 0 "
            f"for no structure to {MAX_LABEL}; choose the file of the segmentation, or set negative "
            "values to 0."
        )
    if values.dtype == np.uint16:
        return values
    labels = np.empty(values.shape, np.uint8 if high < 256 else np.uint16)
    for of, out in zip(values, labels, strict=True):
        out[:] = np.rint(of)
        if values.dtype.kind == "f" and np.abs(out - of).max() > MAX_ROUNDING:
            raise InputError(
                f"{name}: has values that are no whole numbers, expected labels; export the "
                "segmentation again, without interpolation, or set a threshold to probabilities."
            )
    return labels


class LabelVolume:
    """A volume whose values are labels, in one or several layers.

    Parameters
    ----------
    layers
        Integers (nk, nj, ni), and (4, 4), which takes (i, j, k, 1) to CT LPS mm.
    segments
        What the file names; by default each label is one.
    names
        Those of labels, where a file has a table of them; without one TotalSegmentator's, where the
        labels lie as its numbering has them.
    """

    def __init__(
        self,
        name: str | Path,
        layers: Sequence[tuple[np.ndarray, np.ndarray]],
        segments: Sequence[Segment] = (),
        names: Mapping[int, str] | None = None,
    ) -> None:
        self._layers = layers
        self.name = name
        self.numbered = not (segments or names) and follows_total_segmentator(_centres(*layers[0]))
        names = TOTAL_SEGMENTATOR if self.numbered else names or {}
        self.named = bool(segments or names)
        self.segments: Sequence[Segment] = segments or [
            Segment(one_line(names.get(n, str(n))), n) for n in _labels_in(layers[0][0])
        ]

    def parts(self, numbers: dict[Segment, int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield volumes with the numbers of these segments, each with its place."""
        for nth, (voxels, place) in enumerate(self._layers):
            chosen = {
                segment.label: number for segment, number in numbers.items() if segment.layer == nth
            }
            if not (chosen and voxels.size):
                continue
            values = np.zeros(voxels.shape, np.uint8)
            boxes = scipy.ndimage.find_objects(voxels, max(chosen))
            for label, number in chosen.items():
                box = boxes[label - 1]
                if box is not None:
                    values[box][voxels[box] == label] = number
            yield values, place


def _labels_in(values: np.ndarray) -> list[int]:
    """Return the labels above 0 that a volume has."""
    return [n for n in np.flatnonzero(_sizes(values, int(values.max()) + 1)).tolist() if n]


def _centres(labels: np.ndarray, place: np.ndarray) -> dict[int, np.ndarray]:
    """Return the middles (3,), mm, of labels that tell whether TotalSegmentator numbered them; none of a volume with others."""
    count = int(labels.max())
    if count not in TOTAL_SEGMENTATOR:
        return {}
    found = {}
    for label, box in enumerate(scipy.ndimage.find_objects(labels, count), start=1):
        if box is not None and (
            label in SPINE_OF_VERSION_1 or not is_soft(TOTAL_SEGMENTATOR[label])
        ):
            middle = scipy.ndimage.center_of_mass(labels[box] == label)
            index = np.add(middle, [side.start for side in box])[::-1]
            found[label] = rigid.transform_points(place, index)
    return found


def structures_in(
    segmentation: Segmentation | None, sources: Sequence[StructureSource], ct: CT
) -> Structures:
    """Return the structures of a CT in what was read already, as `read_structures`."""
    if segmentation is None or sources:
        found = _structures(segmentation, sources, ct, all_needed=True)
    else:
        found = _structures(segmentation, _sources(_hard(segmentation)), ct, all_needed=False)
    _warn_cut(found)
    if segmentation is not None and found.numbered:
        name = next((name for name in found.names if is_bone(name, "")), found.names[0])
        label = next(label for label, named in TOTAL_SEGMENTATOR.items() if is_same(named, name))
        warn(
            f"{segmentation.name}: names none of its labels; they lie as TotalSegmentator (version "
            f"2) numbers them, and get its names: {label} is {name}. If that is wrong, name them "
            "yourself, as L1=31."
        )
    return found


def _hard(segmentation: Segmentation) -> Sequence[Segment]:
    """Return the segments without those that are no bones by their names; all where none is left."""
    segments = segmentation.segments
    if not segments:
        raise InputError(
            f"{segmentation.name}: has no label above 0, expected one for each structure; "
            "choose the file of the segmentation."
        )
    hard = [each for each in segments if not is_soft(each.name)]
    if not hard or len(hard) == len(segments):
        return segments
    warn(
        f"{segmentation.name}: {len(segments) - len(hard)} of its {len(segments)} segments are no "
        "bones by their names, and are left out."
    )
    return hard


def _structures(
    segmentation: Segmentation | None,
    sources: Sequence[StructureSource],
    ct: CT,
    *,
    all_needed: bool,
) -> Structures:
    """Return the structures; those without a voxel in the CT are left out, or refused where all are needed."""
    names = tuple(source.name for source in sources)
    check_names(names)
    labels = np.zeros(ct.volume.values.shape, np.uint8)
    resampled: dict[str | Path, None] = {}
    numbers = _numbered(segmentation, sources)
    for name, values, place in _parts(segmentation, numbers, sources):
        grid = ct.volume.ct_from_index
        if not _same_lattice(place, grid):
            resampled[name] = None
        _add(labels, on_grid(values, place, grid, labels.shape), names)
    terminology = {number: segment.terminology for segment, number in numbers.items()}
    every = tuple(terminology.get(number, "") for number in range(1, len(names) + 1))
    by_number = [source for source in sources if source.label is None or not all_needed]
    numbered = segmentation is not None and segmentation.numbered and bool(by_number)
    found = Structures(names, labels, every, numbered)
    if not all_needed:
        found = _without_empty(found)
    _check_contents(found, ct)
    if resampled:
        one = len(resampled) == 1
        warn(
            f"{', '.join(map(str, resampled))}: {'lies' if one else 'lie'} on another grid than "
            f"the CT, and {'was' if one else 'were'} resampled to that (nearest neighbour)."
        )
    named = segmentation is not None and segmentation.named and not segmentation.numbered
    called = {sources[n - 1].name: segment.name for segment, n in numbers.items() if named}
    wrong = contradictions(_named_bones(found, called, ct), ct.volume if ct.unit == "hu" else None)
    for _, sentence in wrong:
        warn(sentence)
    return replace(found, contradictions=tuple(wrong))


def _named_bones(structures: Structures, called: dict[str, str], ct: CT) -> Iterator[NamedBone]:
    """Yield the structures; `called` says by what name their file has them."""
    ends = np.array(structures.labels.shape) - 1
    grid = ct.volume.ct_from_index
    for n, (name, box) in enumerate(zip(structures.names, structures.boxes, strict=True)):
        places = np.argwhere(structures.labels[box] == n + 1) + [side.start for side in box]
        is_cut = bool((places.min(axis=0) == 0).any() or (places.max(axis=0) == ends).any())
        some = rigid.some_of(places, POINTS)[:, ::-1]
        points = rigid.transform_points(grid, some.astype(float))
        codes = structures.terminology[n]
        yield NamedBone(name, called.get(name, ""), codes, points, is_cut)


def _numbered(
    segmentation: Segmentation | None, sources: Sequence[StructureSource]
) -> dict[Segment, int]:
    """Return the number, from 1, of each structure that is a segment."""
    numbers: dict[Segment, int] = {}
    for number, source in enumerate(sources, start=1):
        if source.mask is not None:
            continue
        segment = _segment_of(source, segmentation)
        if segment in numbers:
            other = sources[numbers[segment] - 1].name
            raise InputError(
                f'structure "{source.name}": is the same segment as "{other}", expected a segment of its own; remove one of the two.'
            )
        numbers[segment] = number
    return numbers


def _parts(
    segmentation: Segmentation | None,
    numbers: dict[Segment, int],
    sources: Sequence[StructureSource],
) -> Iterator[tuple[str | Path, np.ndarray, np.ndarray]]:
    """Return volumes that together hold the structures with their numbers.

    The file's name, the values (uint8), and (4, 4) of their grid.
    """
    if segmentation is not None:
        for values, place in segmentation.parts(numbers):
            yield segmentation.name, values, place
    for number, source in enumerate(sources, start=1):
        if source.mask is not None:
            image = read_volume(source.mask, "mask")
            yield (
                source.mask,
                (image.values != 0).astype(np.uint8) * np.uint8(number),
                image.ct_from_index,
            )


def _segment_of(source: StructureSource, segmentation: Segmentation | None) -> Segment:
    """Return the segment that is meant."""
    what = f'structure "{source.name}"'
    if segmentation is None:
        raise InputError(
            f"{what}: has no mask, expected one, or labels for the case; add one of the two."
        )
    segments = segmentation.segments
    if source.label is not None:
        found = [segment for segment in segments if segment.label == source.label]
        if not found:
            there = _listed([segment.label for segment in segments])
            raise InputError(
                f"{what}: has the label {source.label}, which {segmentation.name} has not; choose "
                f"one of its labels, {there}."
            )
        named = [segment for segment in found if segment.name == source.name]
        if len(found) > 1 and len(named) != 1:
            raise InputError(
                f"{what}: has the label {source.label}, which {segmentation.name} has in "
                f"{len(found)} layers, expected the name of a segment; leave the label out, and "
                f"choose {_listed([segment.name for segment in found])}."
            )
        return (named or found)[0]
    found = [segment for segment in segments if segment.name == source.name]
    found = found or [segment for segment in segments if is_same(segment.name, source.name)]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(
            f"{what}: is the name of {len(found)} segments of {segmentation.name}, expected one; "
            f"give its label, too, one of {_listed([segment.label for segment in found])}."
        )
    if not segmentation.named:
        there = _listed([segment.label for segment in segments])
        raise InputError(
            f"{what}: has no label, expected one, as {segmentation.name} names none of its own; "
            f"choose one of its labels, {there}."
        )
    names = [segment.name for segment in segments]
    near = difflib.get_close_matches(source.name, names, n=MAX_LISTED)
    raise InputError(
        f"{what}: is no segment of {segmentation.name}; "
        f"{'did you mean' if near else 'choose one of its segments,'} "
        f"{_listed(near or names)}{'?' if near else '.'}"
    )


def _listed(values: Sequence[object]) -> str:
    """List values for a message, not too many."""
    shown = [
        f'"{value}"' if isinstance(value, str) else str(value) for value in values[:MAX_LISTED]
    ]
    return ", ".join([*shown, *(["..."] if len(values) > MAX_LISTED else [])]) or "none"


def _same_lattice(place: np.ndarray, ct_from_index: np.ndarray) -> bool:
    """Return whether each voxel of a grid is one of the CT's, or would be if that went on."""
    index = np.linalg.solve(ct_from_index, place)
    whole = np.rint(index[:3])
    steps = np.abs(whole[:, :3])
    return bool(
        np.allclose(index[:3], whole, rtol=0, atol=SAME_LATTICE)
        and (steps.sum(0) == 1).all()
        and (steps.sum(1) == 1).all()
    )


def _add(labels: np.ndarray, part: np.ndarray, names: Sequence[str]) -> None:
    """Add structures to `labels`, in place; what little of them lies in others remains theirs."""
    count = len(names) + 1
    shared = np.zeros(count * count, int)
    for of, more in zip(labels, part, strict=True):  # by slices: they fit the cache
        if of.any() and (both := (of > 0) & (more > 0)).any():
            shared += np.bincount(
                of[both].astype(int) * count + more[both], minlength=count * count
            )
    if shared.any():
        ours = _sizes(labels, count)
        theirs = _sizes(part, count)
        for pair in np.flatnonzero(shared):
            one, other = divmod(int(pair), count)
            smaller = min(ours[one], theirs[other])
            if shared[pair] > MAX_OVERLAP * smaller:
                raise InputError(
                    f'structures "{names[one - 1]}" and "{names[other - 1]}": overlap in {shared[pair]} voxels, '
                    f"{shared[pair] / smaller:.0%} of the smaller one, expected bones that do not; "
                    "correct the segmentation or remove one of the two."
                )
    np.copyto(labels, part, where=labels == 0)


def _sizes(labels: np.ndarray, count: int) -> np.ndarray:
    """Return (count,) voxels of each label."""
    sizes = np.zeros(count, int)
    for of in labels:
        sizes += np.bincount(of.ravel(), minlength=count)
    return sizes


def _without_empty(structures: Structures) -> Structures:
    """Return the structures that have a voxel; all where none has."""
    there = [n for n, box in enumerate(structures.boxes) if box is not None]
    if not there or len(there) == len(structures.names):
        return structures
    missing = [name for n, name in enumerate(structures.names) if n not in there]
    warn(
        f"structures: {_listed(missing)} have no voxel within the CT, and are left out; check that "
        "the segmentation belongs to this CT."
    )
    number_of = np.zeros(len(structures.names) + 1, np.uint8)
    number_of[np.add(there, 1)] = np.arange(1, len(there) + 1)
    names, terminology = (
        tuple(each[n] for n in there) for each in (structures.names, structures.terminology)
    )
    return replace(
        structures, names=names, terminology=terminology, labels=number_of[structures.labels]
    )


def _check_contents(structures: Structures, ct: CT) -> None:
    """Refuse structures without a voxel, and those with nothing but air inside."""
    air = AIR_BELOW_HU if ct.unit == "hu" else 0
    for n, (name, box) in enumerate(zip(structures.names, structures.boxes, strict=True)):
        if box is None:
            raise InputError(
                f'structure "{name}": has no voxel within the CT, expected some; check that the segmentation belongs to this CT, or '
                "leave the structure out."
            )
        inside = ct.volume.values[box][structures.labels[box] == n + 1]
        if not (is_soft(name) or (inside > air).any()):
            raise InputError(
                f'structure "{name}": has nothing but air inside, expected bone; check that the segmentation belongs to this CT.'
            )


def _warn_cut(structures: Structures) -> None:
    labels = structures.labels
    ends = [labels[[0, -1]], labels[:, [0, -1]], labels[:, :, [0, -1]]]
    found = set(np.concatenate([np.unique(end) for end in ends]).tolist()) - {0}
    names = (structures.names[label - 1] for label in sorted(found))
    cut = [name for name in names if not is_soft(name)]
    if cut:
        listed = ", ".join(f'"{name}"' for name in cut)
        several = len(cut) > 1
        warn(
            f"structure{'s' * several} {listed} {'are' if several else 'is'} cut off by the end of "
            f"the CT; X-rays may show more of {'them' if several else 'it'}."
        )
