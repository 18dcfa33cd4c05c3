"""A result handed on to navigation: as files, as DICOM Spatial Registration, and through OpenIGTLink."""

#: Of files that an export writes.
KINDS = ("tfm", "h5", "txt", "npy", "json", "dicom")
