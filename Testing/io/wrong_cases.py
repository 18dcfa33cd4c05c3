"""Cases that are wrong in one place: where, the value there, and what the message must hold."""

from tiny_case import REMOVED, START

from MultiViewRegistrationLib.regressor.poses import AXES

MIRRORED = START.copy()
MIRRORED[:3, 2] *= -1

WRONG_STRUCTURE = [  # a JSON schema can tell
    ("version", 2, "version is 2 ... update"),
    ("ct", REMOVED, "ct is missing ... DICOM folder"),
    ("ct_unit", "HU", 'ct_unit is "HU" ... "hu" or "relative"'),
    ("views", [], "views is an empty list"),
    ("views[1]", "lat.mha", "views[1] is ... an object"),
    ("views[0].name", "x" * 81, "views[0].name ... at most 80 characters"),
    ("views[0].frame", -1, "views[0].frame is -1"),
    ("views[2].distortion", [0.1, 0], "views[2].distortion: found 2 coefficients"),
    (
        "views[0].distortion",
        [0.1, 0, 0, 0],
        "views[0].distortion stands beside projection_matrix ... undistort the image",
    ),
    (
        "views[0].projection_matrix",
        [[1, 2, 3, 4]] * 2,
        "views[0].projection_matrix is a list of 2 ... 3 rows of 4",
    ),
    (
        "views[0].projection_matrix[1][2]",
        10**400,
        "views[0].projection_matrix[1][2] is 1000 ... from -1e+100 to 1e+100",
    ),
    ("search", {"rotation_deg": 10, "translation_mm": 0}, "search.translation_mm is 0"),
    ("patient_digests.salt", "Alpha", "patient_digests.salt is ... 32 hexadecimal digits"),
    ("targets", [[1, 2, 1e12]], "targets[0][2] is 1000000000000.0 ... to 1e+09"),
    (
        "landmarks[0].views",
        [10, 12],
        "landmarks[0].views is a list of 2 ... [column, row] for each view",
    ),
    ("views[3].c_arm.mirrored", "no", "c_arm.mirrored ... true or false"),
    ("views[4].slot_scan.source_to_isocentre_mm", 0, "slot_scan.source_to_isocentre_mm: found 0"),
    (
        "views[0].step_sd_percent",
        0.1,
        "views[0].step_sd_percent stands beside another geometry ... slot_scan",
    ),
    ("views[0].slot_scan", {}, "views[0] has projection_matrix and slot_scan ... keep one"),
]
WRONG_MEANING = [  # it cannot
    (
        "views[3].c_arm",
        {"size": [9, 9], "rao_lao_deg": 0, "cra_cau_deg": 0, "pixel_mm": [1, 1]},
        "c_arm is missing source_to_detector_mm, source_to_isocentre_mm; add them",
    ),
    (
        "views[4].slot_scan.rows_along",
        [0, 1, -1],
        "slot_scan.rows_along: found ... at right angles",
    ),
    (
        "views[0].projection_matrix",
        REMOVED,
        "views[0] has no geometry ... DICOM header ... projection_matrix, camera, c_arm",
    ),
    ("ct", "nowhere.nii", 'ct is "nowhere.nii" ... does not exist'),
    ("ct", "a\nb", r'ct is "a\nb" ... control character'),
    ("views[0].name", "LAT", "views[1] has the same name as views[0]"),
    ("views[0].projection_matrix", [[1, 2, 3, 4]] * 3, "views[0].projection_matrix ... singular"),
    (
        "landmarks[0].views.ap",
        [10, 7],
        'landmarks[0].views has the key "ap", which is no view ... one of "AP", "LAT"',
    ),
    ("world_from_ct", MIRRORED.tolist(), "case.json: world_from_ct ... mirror"),
    ("training", dict.fromkeys(AXES, 0), "training has 0 everywhere ... single pose"),
    ("views[2].camera.intrinsics[1][0]", 3, "camera.intrinsics ... below the diagonal"),
    ("views[2].camera.intrinsics[1][1]", -250, "camera.intrinsics ... fy = -250"),
    (
        "views[3].c_arm.source_to_detector_mm",
        600,
        "c_arm.source_to_isocentre_mm ... less than source_to_detector_mm",
    ),
]
