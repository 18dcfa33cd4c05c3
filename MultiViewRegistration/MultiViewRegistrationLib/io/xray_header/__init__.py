"""The geometry of X-rays by their DICOM headers: what they say, what they lack, and what is assumed (docs/dicom.md)."""
