"""The size of the product: its core, and all of it. `test_import_rules` enforces its structure."""

import io
import re
import subprocess
import tokenize
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
#: Code tokens at most, as Python's tokenize counts them.
MAX_CORE = 440_000
MAX_TOTAL = 558_000
#: Paths of optional features; everything else is the core.
FEATURES = re.compile(
    r"bead|from_plate|/plate\.py|cli/calibrate|sequence|player\.py|cli/track"
    r"|/(regressor|published)/|training\.py|regressors\.py|cli/train"
    r"|torch|triton|autograd|drr_operator|rendering/devices"
    r"|/studies/(?!selfcheck)|io/datasets/(?!chest)|io/hdf5|cli/(evaluate|import_dataset)"
    r"|imaging/surface|implants"
)
NO_CODE = {
    tokenize.COMMENT,
    tokenize.NL,
    tokenize.NEWLINE,
    tokenize.INDENT,
    tokenize.DEDENT,
    tokenize.ENCODING,
    tokenize.ENDMARKER,
}
DOCSTRING = re.compile(r'^[ \t]*[rR]?"""(?:[^"\\]|\\.|"(?!""))*"""[ \t]*$', re.MULTILINE)


def count_tokens(path):
    """Number of code tokens of a file, without comments and docstrings."""
    source = DOCSTRING.sub("", path.read_text(encoding="utf-8"))
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    return sum(token.type not in NO_CODE for token in tokens)


def test_core_and_product_have_not_grown():
    listed = subprocess.check_output(
        ["git", "ls-files", "MultiViewRegistration/*.py"], cwd=ROOT, text=True
    )
    sizes = {name: count_tokens(ROOT / name) for name in listed.split() if (ROOT / name).exists()}
    core = sum(size for name, size in sizes.items() if not FEATURES.search(name))
    assert core <= MAX_CORE and sum(sizes.values()) <= MAX_TOTAL, (core, sum(sizes.values()))
