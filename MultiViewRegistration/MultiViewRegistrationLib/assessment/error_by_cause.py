"""Error of a pose split by cause, from which the error of a motion is derived.

Noise is independent between frames and between bones. Camera errors are common to all frames and
bones: their equal effect on two poses cancels in the motion between these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from ..geometry import rigid
from .uncertainty import SDS_95, PoseUncertainty, TargetUncertainty, target_jacobians

#: No rotation is farther off.
HALF_TURN_DEG = 180.0


def with_bound(number: float, bound: float, unit: str, digits: int) -> str:
    """Return a number with the 95 % bound of its error; "not determined" if the number is smaller than the bound."""
    if abs(number) < bound:
        return not_determined(bound, unit)
    return f"{number + 0.0:.{digits}f} \u00b1 {bound:.{digits}f}"


def not_determined(bound: float, unit: str) -> str:
    """Return the text shown instead of a number that is smaller than the bound of its error."""
    digits = max(0, 1 - math.floor(math.log10(bound)))  # two that count
    return f"not determined (\u00b1{bound:.{digits}f}{unit})"


@dataclass(frozen=True, eq=False)
class ErrorByCause:
    """First-order error of n numbers, split into noise and camera errors.

    Attributes
    ----------
    noise
        (n, n) covariance of the part that is independent of all other errors.
    by_cameras
        (n, N) change of the numbers per unit of each of the N independent camera errors, which have
        standard deviation 1.
    """

    noise: np.ndarray
    by_cameras: np.ndarray

    def propagated_by(self, jacobian: np.ndarray) -> ErrorByCause:
        """Propagate the error to m derived quantities by their Jacobian (m, n) with respect to the n numbers."""
        return ErrorByCause(jacobian @ self.noise @ jacobian.T, jacobian @ self.by_cameras)

    def __sub__(self, other: ErrorByCause) -> ErrorByCause:
        """Return the error of a difference. Errors of different camera sets are independent."""
        if self.by_cameras.shape == other.by_cameras.shape:
            cameras = self.by_cameras - other.by_cameras
        else:
            cameras = np.hstack([self.by_cameras, other.by_cameras])
        return ErrorByCause(self.noise + other.noise, cameras)

    @property
    def covariance(self) -> np.ndarray:
        """Covariance (n, n) due to all causes."""
        return self.noise + self.by_cameras @ self.by_cameras.T

    @property
    def bounds(self) -> np.ndarray:
        """95 % bound (n,) of the error of each number."""
        return SDS_95 * np.sqrt(np.maximum(np.diag(self.covariance), 0))

    @property
    def length_bound(self) -> float:
        """95 % bound of the length of the error vector."""
        jacobian = np.eye(len(self.noise))[None]
        return TargetUncertainty(np.empty(0), jacobian, self.covariance).bound_mm()


@dataclass(frozen=True, eq=False)
class PoseError:
    """Error of a pose about a pivot, split by cause.

    Attributes
    ----------
    pivot
        (3,) pivot of the rotation error, world mm.
    by_cause
        Error of (omega rad, v mm), see `uncertainty.PoseUncertainty`.
    """

    pivot: np.ndarray
    by_cause: ErrorByCause

    @classmethod
    def of(cls, uncertainty: PoseUncertainty, error_ratio: float = 1.0) -> PoseError:
        """Split the uncertainty of a pose and all camera corrections into noise and camera errors.

        Parameters
        ----------
        error_ratio
            Ratio of the errors to those that noise and cameras explain.
        """
        joint = uncertainty.joint
        sd = np.sqrt(np.maximum(np.diag(joint)[6:], 0))
        units = np.where(sd > 0, sd, 1.0)
        # The symmetric root: the same error of a camera in every frame.
        squares, axes = np.linalg.eigh(joint[6:, 6:] / np.outer(units, units))
        kept = squares > 1e-9 * max(squares.max(initial=0.0), 1e-300)
        root = axes[:, kept] / np.sqrt(squares[kept]) @ axes[:, kept].T
        by_cameras = joint[:6, 6:] / units @ root
        noise = joint[:6, :6] - by_cameras @ by_cameras.T
        return cls(
            uncertainty.pivot, ErrorByCause(error_ratio**2 * noise, error_ratio * by_cameras)
        )

    def propagated(self, world_motion: np.ndarray, noise_sd: np.ndarray) -> PoseError:
        """Propagate the pose error through a rigid world transform (4, 4) and add independent noise with these standard deviations (6,)."""
        noise = self.by_cause.noise + np.diag(noise_sd**2)
        pivot = rigid.transform_points(world_motion, self.pivot)
        return PoseError(pivot, replace(self.by_cause, noise=noise))

    def with_unknown_turns(self, axes: np.ndarray) -> PoseError:
        """Return the error with unknown rotations about world axes (n, 3) through the pivot."""
        noise = self.by_cause.noise.copy()
        noise[:3, :3] += (np.pi / SDS_95) ** 2 * axes.T @ axes
        return PoseError(self.pivot, replace(self.by_cause, noise=noise))

    def at(self, point: np.ndarray) -> ErrorByCause:
        """Return the error of the rotation, rad, and of the position of a point (3,) of the body, mm, along the world axes."""
        shift = target_jacobians(point[None], self.pivot)[0]
        return self.by_cause.propagated_by(np.vstack([np.eye(3, 6), shift]))


def relative_error(
    fixed: PoseError, moving: PoseError, point: np.ndarray, axes: np.ndarray
) -> ErrorByCause:
    """Return the error of a body's pose relative to another: of its rotation, rad, and of a point, mm.

    Parameters
    ----------
    point
        (3,) point of the moving body, world mm.
    axes
        (3, 3) world matrix whose columns are the axes of the fixed body.
    """
    along = np.kron(np.eye(2), axes.T)
    return (moving.at(point) - fixed.at(point)).propagated_by(along)


def of_rotation_vector(error: ErrorByCause, turn: np.ndarray) -> ErrorByCause:
    """Convert a pose error to the error (6,) of the rotation vector and the shift, at the rotation vector (3,) `turn`."""
    jacobian = np.eye(6)
    jacobian[:3, :3] = np.linalg.inv(rigid.left_jacobian(turn))
    return error.propagated_by(jacobian)
