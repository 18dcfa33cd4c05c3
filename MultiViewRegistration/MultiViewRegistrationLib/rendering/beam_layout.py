"""The places of the numbers of a beam, which is all that a pose needs of one image, for PyTorch and for Triton."""

#: Numbers of a pose: source, step_u, step_v, corner, index_from_world, world_from_index, lever and
#: source_step, see `cpu.project_rows`; cut (1 or 0) and depth, see `cpu.mark_unseen`; the centre of the
#: image, see `drr.Beam`.
BEAM = 45
SOURCE = 0
STEP_U = 3
STEP_V = 6
CORNER = 9
INDEX_FROM_WORLD = 12
WORLD_FROM_INDEX = 21
LEVER = 30
SOURCE_STEP = 33
CUT = 36
DEPTH = 42
CENTRE = 43
