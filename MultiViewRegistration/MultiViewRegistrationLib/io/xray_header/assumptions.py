"""What is assumed of a view, mostly of its geometry where its header does not say it: sentences for a case, without names in them."""

AT_PATIENT = "The isocentre lies at DistanceSourceToPatient from the source."
BY_MAGNIFICATION = "The isocentre lies where EstimatedRadiographicMagnificationFactor holds."
SPACING_AT_ISOCENTRE = "PixelSpacing is that at the isocentre, and the detector's is larger by the magnification there."
BY_BINNING = "A pixel is as large as the DetectorBinning elements of the detector."
HEAD_UP = "Before any turn or flip of its field of view, the image has the patient's head up: it is not turned about the central axis."
QUARTERS = "The image is turned about the central axis by whole quarters, those that PatientOrientation tells."
BY_LETTERS = "The image is mirrored or not as PatientOrientation tells; FieldOfViewHorizontalFlip says the opposite."
IN_IMAGE = "The central axis meets the middle of the image (principal point)."
ON_DETECTOR = "The central axis meets the middle of the physical detector (principal point)."
EXACT = "The header's distances and angles are exact, as rotation_sd_deg and translation_sd_mm are not given."
SAME_TABLE = "The table, and the patient on it, had not moved since the first view: the headers do not tell."
TABLE_MOVED = "The patient had moved with the table since the first view, and not on it."
LEFT_OUT = "What did not fit at an earlier pose, and its mask leaves out, is none of the CT."

ASSUMPTIONS = (
    AT_PATIENT,
    BY_MAGNIFICATION,
    SPACING_AT_ISOCENTRE,
    BY_BINNING,
    HEAD_UP,
    QUARTERS,
    BY_LETTERS,
    IN_IMAGE,
    ON_DETECTOR,
    EXACT,
    SAME_TABLE,
    TABLE_MOVED,
    LEFT_OUT,
)
