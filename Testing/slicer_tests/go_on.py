"""Runs the tests in Slicer, and starts Slicer again with the rest where a test ends it: `make test-slicer SLICER=/path/to/Slicer`.

    python3 Testing/slicer_tests/go_on.py SLICER [ITS OPTIONS] --python-script Testing/slicer_tests/run.py --tests [...]

After each run build/slicer/junit.xml has all tests so far; a test during which Slicer ended is an error in it.
It ends with pytest's status, 1 where a test ended Slicer.
"""

import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

OUT = Path(__file__).resolve().parents[2] / "build" / "slicer"
#: What run.py writes: the tests that were begun, a line each, and `ALL_DONE` after the last.
BEGUN = OUT / "begun.txt"
ALL_DONE = "all done"


def begun_tests() -> list[str]:
    """The IDs of the tests that were begun in any run, in their order."""
    return BEGUN.read_text(encoding="utf-8").splitlines() if BEGUN.is_file() else []


def crashed(node_id: str, status: int) -> ET.Element:
    """The suite of a test during which Slicer ended."""
    path, _, name = node_id.partition("::")
    suite = ET.Element("testsuite", name="Slicer ended", tests="1", errors="1", failures="0")
    case = ET.SubElement(suite, "testcase", classname=path.removesuffix(".py").replace("/", "."))
    case.set("name", name)
    ET.SubElement(case, "error", message=f"Slicer ended during this test with status {status}")
    return suite


def write_junit(crashes: list[ET.Element]) -> None:
    """Write the results of all runs into one file."""
    suites = ET.Element("testsuites")
    for run in sorted(OUT.glob("junit-*.xml")):
        suites.extend(ET.parse(run).getroot())
    suites.extend(crashes)
    ET.ElementTree(suites).write(OUT / "junit.xml", encoding="utf-8", xml_declaration=True)


def main(command: list[str]) -> int:
    """Run the tests until each was run, or nothing can be run any more."""
    for left in (BEGUN, *OUT.glob("junit*.xml")):
        left.unlink(missing_ok=True)
    crashes: list[ET.Element] = []
    while True:
        before = begun_tests()
        status = subprocess.call(command)
        begun = begun_tests()
        if begun[-1:] != [ALL_DONE] and len(begun) > len(before):
            crashes.append(crashed(begun[-1], status))
            print(f"Slicer ended with status {status} during {begun[-1]}; it goes on after that.")
        write_junit(crashes)
        if begun[-1:] == [ALL_DONE] or len(begun) == len(before):
            return 1 if crashes else status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
