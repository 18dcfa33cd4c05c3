"""A result handed on to navigation: as files, as DICOM Spatial Registration, and through OpenIGTLink."""
