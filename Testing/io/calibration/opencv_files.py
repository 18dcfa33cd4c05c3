"""The camera of known_points with distortion, as OpenCV 5.0.0 wrote it through cv2.FileStorage."""

YAML = r"""%YAML 1.2
---
image_width: 640
image_height: 480
camera_matrix: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 1500., 0., 322.5, 0., 1480., 236.25, 0., 0., 1. ]
distortion_coefficients: !!opencv-matrix
   rows: 1
   cols: 12
   dt: d
   data: [ -0.31, 0.12, 0.002, -0.0015, 0.050000000000000003, 0.01,
       -0.02, 0.0030000000000000001, 0.001, -0.002, 0.0015,
       0.00050000000000000001 ]
R: !!opencv-matrix
   rows: 3
   cols: 3
   dt: d
   data: [ 0.91915808244899799, 0.16482060844998742, -0.3577465394645441,
       -0.33454618259663516, -0.15273899964512655, -0.92991916299075406,
       -0.20791169081775934, 0.97442545380217849, -0.085251180658794612 ]
tvec: !!opencv-matrix
   rows: 3
   cols: 1
   dt: d
   data: [ 12., -7.5, 700. ]
flags: "none of \"those\""
"""

XML = r"""<?xml version="1.0"?>
<opencv_storage>
<image_width>640</image_width>
<image_height>480</image_height>
<camera_matrix type_id="opencv-matrix">
  <rows>3</rows>
  <cols>3</cols>
  <dt>d</dt>
  <data>
    1500. 0. 322.5 0. 1480. 236.25 0. 0. 1.</data></camera_matrix>
<distortion_coefficients type_id="opencv-matrix">
  <rows>1</rows>
  <cols>12</cols>
  <dt>d</dt>
  <data>
    -0.31 0.12 0.002 -0.0015 0.050000000000000003 0.01 -0.02
    0.0030000000000000001 0.001 -0.002 0.0015 0.00050000000000000001</data></distortion_coefficients>
<R type_id="opencv-matrix">
  <rows>3</rows>
  <cols>3</cols>
  <dt>d</dt>
  <data>
    0.91915808244899799 0.16482060844998742 -0.3577465394645441
    -0.33454618259663516 -0.15273899964512655 -0.92991916299075406
    -0.20791169081775934 0.97442545380217849 -0.085251180658794612</data></R>
<tvec type_id="opencv-matrix">
  <rows>3</rows>
  <cols>1</cols>
  <dt>d</dt>
  <data>
    12. -7.5 700.</data></tvec>
<flags>"none of &quot;those&quot;"</flags>
</opencv_storage>
"""

JSON = r"""{
    "image_width": 640,
    "image_height": 480,
    "camera_matrix": {
        "type_id": "opencv-matrix",
        "rows": 3,
        "cols": 3,
        "dt": "d",
        "data": [ 1500.0, 0.0, 322.5, 0.0, 1480.0, 236.25, 0.0, 0.0, 1.0 ]
    },
    "distortion_coefficients": {
        "type_id": "opencv-matrix",
        "rows": 1,
        "cols": 12,
        "dt": "d",
        "data": [ -0.31, 0.12, 0.002, -0.0015, 0.050000000000000003,
            0.01, -0.02, 0.0030000000000000001, 0.001, -0.002, 0.0015,
            0.00050000000000000001 ]
    },
    "R": {
        "type_id": "opencv-matrix",
        "rows": 3,
        "cols": 3,
        "dt": "d",
        "data": [ 0.91915808244899799, 0.16482060844998742,
            -0.3577465394645441, -0.33454618259663516,
            -0.15273899964512655, -0.92991916299075406,
            -0.20791169081775934, 0.97442545380217849,
            -0.085251180658794612 ]
    },
    "tvec": {
        "type_id": "opencv-matrix",
        "rows": 3,
        "cols": 1,
        "dt": "d",
        "data": [ 12.0, -7.5, 700.0 ]
    },
    "flags": "none of \"those\""
}
"""
