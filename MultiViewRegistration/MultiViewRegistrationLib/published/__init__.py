"""Published refinements, as their authors describe them."""

#: The refinements of `finding.refinement_method`.
NAMES = ("joint", "diffpose", "cui2025", "xvr")
