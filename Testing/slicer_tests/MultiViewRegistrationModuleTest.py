"""What Slicer runs through ctest.

The module's logic on its sample, held against its truth, beside the generic tests and the module file's own.
"""

import importlib.util
import json
import unittest

import numpy as np
import slicer

from MultiViewRegistration import MultiViewRegistrationLogic
from MultiViewRegistrationLib.errors import InputError
from MultiViewRegistrationLib.io.datasets.chest import demo_case


def distances_mm(case, transform_node):
    """How far the case's targets are from where they should be, by a transform node of the scene (RAS)."""
    ras_from_lps = np.diag([-1.0, -1.0, 1.0, 1.0])
    targets = np.c_[np.array(case["targets"]), np.ones(len(case["targets"]))].T
    world_from_ct = ras_from_lps @ np.array(case["truth"]["world_from_ct"]) @ ras_from_lps
    found = slicer.util.arrayFromTransformMatrix(transform_node)
    off = (found - world_from_ct) @ ras_from_lps @ targets
    return np.linalg.norm(off[:3], axis=0)


class MultiViewRegistrationModuleTest(unittest.TestCase):
    def setUp(self):
        slicer.mrmlScene.Clear()

    def test_the_parameter_node_is_the_registration_s_as_it_is(self):
        node = MultiViewRegistrationLogic().getParameterNode()
        self.assertEqual(node.GetParameterNames(), ())
        self.assertIs(MultiViewRegistrationLogic().getParameterNode(), node)

    @unittest.skipUnless(
        importlib.util.find_spec("numba"),
        "needs the Python package numba, which the module asks for in its panel",
    )
    def test_the_sample_is_registered_to_its_truth(self):
        try:
            path = demo_case()
        except InputError as error:
            self.skipTest(str(error))
        case = json.loads(path.read_text(encoding="utf-8"))
        logic = MultiViewRegistrationLogic()
        registration = logic.loadCase(path)
        self.assertGreater(distances_mm(case, registration.ct_transform).mean(), 15)

        logic.register(registration, start="given")
        self.assertLess(distances_mm(case, registration.ct_transform).max(), 0.5)
        self.assertEqual(registration.ct.GetParentTransformNode(), registration.ct_transform)
        self.assertEqual([view.name for view in registration.xrays], ["AP", "lateral"])


if __name__ == "__main__":
    unittest.main()
