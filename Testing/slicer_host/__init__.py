"""Where the tests of the panel run: in Slicer's own application, else on a stand-in for it.

In Slicer, `Testing/slicer_tests/run.py` starts them. Elsewhere the panel is on Qt offscreen, its scene on
slicer-core's real MRML, and there are no views; that needs PySide6-Essentials and
trame-slicer[standalone]. The stand-in fails where Slicer fails; what differs once is imitated from
then on, with a test in Testing/panel/test_stand_in.py.
"""

from helpers.hosts import IN_SLICER

if IN_SLICER:
    from .in_slicer import InSlicer as Host
else:
    from .installation import install

    install()
    from .without_slicer import WithoutSlicer as Host

__all__ = ["IN_SLICER", "Host"]
