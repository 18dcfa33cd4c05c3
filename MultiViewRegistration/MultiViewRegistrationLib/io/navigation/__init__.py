"""A result handed on to navigation.

As files, as DICOM Spatial Registration, and through OpenIGTLink.
"""

#: Of files with the pose, which a result.json has all of.
KINDS = ("tfm", "h5", "txt", "npy", "json", "dicom")
#: Of files that are made of the result and its case.
CASE_KINDS = ("resampled-ct", "resampled-mask", "drr", "cameras")
#: Endings of a resampled volume.
VOLUME_FORMATS = ("nii.gz", "nrrd", "mha")
