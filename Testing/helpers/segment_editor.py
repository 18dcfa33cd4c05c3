"""What Slicer's Segment Editor does to a scene, by Slicer's own classes, for where there is no Segment Editor."""

import numpy as np
import slicer
from vtkmodules.util.numpy_support import vtk_to_numpy
from vtkmodules.vtkCommonCore import VTK_UNSIGNED_CHAR


def draw_segment(volume, selected, segmentation=None, name="drawn"):
    """A segmentation node with a segment where `selected` (slices, rows, columns) is True in a volume as it lies in the world, and the
    segment's ID.

    As in the Segment Editor, a new segmentation is under no transform, whatever the volume is
    under: its frame is the world.
    """
    if segmentation is None:
        segmentation = volume.GetScene().AddNewNodeByClass("vtkMRMLSegmentationNode", name)
        segmentation.CreateDefaultDisplayNodes()
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    segment_id = segmentation.GetSegmentation().AddEmptySegment("", name)
    fill_segment(segmentation, segment_id, volume, selected)
    return segmentation, segment_id


def fill_segment(segmentation, segment_id, volume, selected):
    """Have a segment where `selected` (slices, rows, columns) is True in a volume as it lies in the world, whatever both are under."""
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    labelmap = logic.CreateOrientedImageDataFromVolumeNode(
        volume, segmentation.GetParentTransformNode()
    )
    labelmap.AllocateScalars(VTK_UNSIGNED_CHAR, 1)
    vtk_to_numpy(labelmap.GetPointData().GetScalars())[:] = np.asarray(selected).ravel()
    logic.SetBinaryLabelmapToSegment(labelmap, segmentation, segment_id)


class SegmentEditorModule:
    """`slicer.modules.segmenteditor`, its `widgetRepresentation().self().editor`, the editor's node and its effect Threshold, in one."""

    name = "SegmentEditor"

    def __init__(self):
        self.segmentation = self.source = self._segment_id = None
        self._range = {"MinimumThreshold": "0", "MaximumThreshold": "0"}

    def widgetRepresentation(self):
        return self

    def self(self):
        return self

    @property
    def editor(self):
        return self

    def setSegmentationNode(self, segmentation):
        self.segmentation = segmentation

    def setSourceVolumeNode(self, volume):
        """It becomes the background of every slice view, whether or not that takes part in the choice of volumes; what is over it
        stays."""
        self.source, manager = volume, slicer.app.layoutManager()
        for name in manager.sliceViewNames() if manager is not None else ():
            composite = manager.sliceWidget(name).mrmlSliceCompositeNode()
            if volume.GetID() not in (
                composite.GetBackgroundVolumeID(),
                composite.GetForegroundVolumeID(),
            ):
                composite.SetBackgroundVolumeID(volume.GetID())

    def mrmlSegmentEditorNode(self):
        return self

    def SetSelectedSegmentID(self, segment_id):
        self._segment_id = segment_id

    def setActiveEffectByName(self, name):
        assert name in ("", "Threshold")

    def activeEffect(self):
        return self

    def setParameter(self, name, value):
        assert name in self._range
        self._range[name] = value

    def onApply(self):
        voxels, (low, high) = (
            slicer.util.arrayFromVolume(self.source),
            map(float, self._range.values()),
        )
        fill_segment(
            self.segmentation, self._segment_id, self.source, (voxels >= low) & (voxels <= high)
        )
