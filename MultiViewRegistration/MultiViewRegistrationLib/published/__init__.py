#: The refinements of `methods.refinement_method`.
NAMES = ("joint", "diffpose", "cui2025", "xvr")
