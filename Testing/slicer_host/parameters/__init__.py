"""`slicer.parameterNodeWrapper`: a class of typed fields becomes a view of a parameter node, and fields bind to widgets.

Values lie in the node under the names and in the words that Slicer uses, so that either reads what the other wrote.
"""

from .annotations import (
    Choice,
    Decimals,
    Default,
    Exclude,
    Maximum,
    Minimum,
    NotNone,
    SingleStep,
    Validator,
    WithinRange,
)
from .packs import isParameterPack, nestedParameterNames, parameterPack
from .wrapper import (
    SlicerParameterNamePropertyName,
    findChildWidgetForParameter,
    isParameterNodeWrapper,
    parameterNodeWrapper,
)

__all__ = [
    "Choice", "Decimals", "Default", "Exclude", "Maximum", "Minimum", "NotNone", "SingleStep", "SlicerParameterNamePropertyName",
    "Validator", "WithinRange", "findChildWidgetForParameter", "isParameterNodeWrapper", "isParameterPack", "nestedParameterNames",
    "parameterNodeWrapper", "parameterPack",
]
