"""Files: cases, DICOM headers, calibrations, poses, exports, and what other programs write."""
