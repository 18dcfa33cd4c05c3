"""The outline of a surface as a point source sees it, such as an X-ray's.

Where its rays touch the surface.
"""

from __future__ import annotations

import numpy as np
import scipy
from numpy.typing import ArrayLike

SPECK_MM = 2.0
"""Pieces of an outline shorter than this are the surface's noise ..."""
SPECK_SHARE = 0.02
"""... but no more than this share of the surface's own size is."""


class Surface:
    """Triangles, prepared so that their outline from any source takes about a millisecond for 50 000 of them.

    An edge of the mesh belongs to the outline where one of its triangles faces the source and the
    other does not, and where the surface bulges: at a fold inwards a ray that touches has been in
    the body before. (Markosian et al. 1997, "Real-time nonphotorealistic rendering", call these
    potentially visible.) So nothing that hides behind something is left out, as an X-ray leaves it
    out neither. The rim of a surface that is not closed belongs to it as well.

    Parameters
    ----------
    points
        (n, 3) mm.
    triangles
        (m, 3) of indices of points; neighbours share points, and go round the same way. Of a closed
        surface it does not matter which way.
    """

    def __init__(self, points: np.ndarray, triangles: np.ndarray) -> None:
        self.points = np.asarray(points, float)
        corners = self.points[triangles]
        self._normals = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        self._offsets = np.einsum("ij,ij->i", self._normals, corners[:, 0])
        self._firsts = corners[:, 0]
        edges, faces, self._rim = _edges(np.asarray(triangles, np.int64), len(self.points))
        inside_out = self._offsets.sum() < 0  # six times the volume, for a closed surface
        bulging = self._bulges(edges, faces, triangles) != inside_out
        if len(self._rim):
            bulging[:] = True  # inside and outside are unknown
        self._edges = edges[bulging]
        self._faces = faces[bulging]
        extent = np.ptp(self.points, axis=0) if len(self.points) else np.zeros(3)
        # Loaded here, as surfaces are made in threads and outlines are not.
        self._components = scipy.sparse.csgraph.connected_components
        self._speck_mm = min(SPECK_MM, SPECK_SHARE * float(np.linalg.norm(extent)))

    def outline(self, source: ArrayLike, scan: np.ndarray | None = None) -> np.ndarray:
        """Return the lines (k, 2, 3), by their ends in mm, of the outline seen from `source` (3,), in the frame of the points.

        Parameters
        ----------
        scan
            (3,) the unit vector along which the source of a slot scan moves, for each point to
            where it is level with it.
        """
        source = np.asarray(source, float)
        height = self._normals @ source
        if scan is not None:
            height += self._normals @ scan * ((self._firsts - source) @ scan)
        facing = height > self._offsets
        facing = facing[self._faces]
        edges = self._edges[facing[:, 0] != facing[:, 1]]
        lines = self.points[edges]
        edges = edges[self._lengths_of_pieces(edges, lines) > self._speck_mm]
        return self.points[np.concatenate([edges, self._rim])]

    def _lengths_of_pieces(self, edges: np.ndarray, lines: np.ndarray) -> np.ndarray:
        """Return the length, in mm, of the piece of connected edges (k, 2) to which each belongs.

        Lines (k, 2, 3) are their ends.
        """
        if not len(edges):
            return np.zeros(0)
        points, index = np.unique(edges, return_inverse=True)
        index = index.reshape(-1, 2)
        graph = scipy.sparse.coo_matrix(
            (np.ones(len(index), np.int8), index.T), shape=(len(points),) * 2
        )
        pieces, of_point = self._components(graph, directed=False)
        piece = of_point[index[:, 0]]
        lengths = np.bincount(piece, np.linalg.norm(lines[:, 1] - lines[:, 0], axis=1), pieces)
        return lengths[piece]

    def _bulges(self, edges: np.ndarray, faces: np.ndarray, triangles: np.ndarray) -> np.ndarray:
        """Return a bool for each edge.

        The one triangle's third point lies behind the other triangle.
        """
        third = triangles[faces[:, 1]].sum(axis=1) - edges.sum(axis=1)
        height = np.einsum("ij,ij->i", self._normals[faces[:, 0]], self.points[third])
        return height < self._offsets[faces[:, 0]]


def _edges(triangles: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return edges (k, 2) between two triangles, which triangles (k, 2), and edges (l, 2) of one triangle only."""
    edges = np.sort(
        np.concatenate([triangles[:, [0, 1]], triangles[:, [1, 2]], triangles[:, [2, 0]]]), axis=1
    )
    keys = edges[:, 0] * count + edges[:, 1]
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    same = keys[1:] == keys[:-1]
    first = np.flatnonzero(same)
    faces = order % max(len(triangles), 1)
    alone = ~(np.append(same, False) | np.append(False, same)) if len(keys) else np.zeros(0, bool)
    return (
        edges[order[first]],
        np.stack([faces[first], faces[first + 1]], axis=1),
        edges[order[alone]],
    )
