"""The learned start. Imports PyTorch where a file needs it; what lists and removes models does not."""

import os

# PyTorch's threads spin while they wait for each other, unless told before it is loaded: with other programs at work on the same cores
# that made a step of training ten times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
