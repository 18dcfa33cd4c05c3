"""A result handed on to navigation.

As files, as DICOM Spatial Registration, and through OpenIGTLink.
"""

from ..transforms import ITK_WRITERS, MATRIX_WRITERS

#: Kinds of files with the pose, for which a result.json is enough.
POSE_FORMATS = (*ITK_WRITERS, *MATRIX_WRITERS, "dicom")
#: Kinds of files that are made of the result and its case.
CASE_KINDS = ("resampled-ct", "resampled-mask", "drr", "cameras")
#: Endings of a resampled volume.
VOLUME_FORMATS = ("nii.gz", "nrrd", "mha")
