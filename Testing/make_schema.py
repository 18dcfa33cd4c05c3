#!/usr/bin/env python
"""Write what case.schema.json, result.schema.json and docs/frames.md say of the fields of `geometry.fields` anew.

python Testing/make_schema.py
"""

import json
import math
import re
import sys
from pathlib import Path
from typing import Any

from helpers.file_io import read_json

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "MultiViewRegistration"))

from MultiViewRegistrationLib.geometry.fields import (  # noqa: E402
    C_ARM_PRINCIPAL_POINT_SD_MM,
    SLOT_SCAN_UNCERTAINTY,
    TABLES,
    TAKEN,
    UNCERTAINTY,
    usual_uncertainty,
)
from MultiViewRegistrationLib.io.files import MAX_NUMBER  # noqa: E402

SCHEMA = ROOT / "MultiViewRegistration" / "MultiViewRegistrationLib" / "io" / "case.schema.json"
RESULT = SCHEMA.with_name("result.schema.json")
NUMBER, LINE = "#/$defs/number", 160
ADDRESS = (
    "https://raw.githubusercontent.com/MultiViewRegistration/SlicerMultiViewRegistration/main/"
)


def with_fields():
    """The schema of a case, with its geometries and standard deviations as the tables have them."""
    schema = read_json(SCHEMA)
    schema["$id"] = ADDRESS + SCHEMA.relative_to(ROOT).as_posix()
    view = schema["$defs"]["view"]["properties"]
    for kind, table in TABLES.items():
        view[kind]["properties"] = {key: of_field(field) for key, field in table.items()}
        for key, field in table.items():
            if field.required and kind != "camera":  # where a DICOM header may say it
                view[kind]["properties"][key]["description"] += " Needed."
    view |= {key: of_field(field) for key, field in TAKEN.items()}
    for key, field in SLOT_SCAN_UNCERTAINTY.items():
        view[key] = of_deviation(UNCERTAINTY.get(key, field))
    return schema


def with_views():
    """The schema of a result, whose views say what the table has."""
    schema = read_json(RESULT)
    view = schema["properties"]["views"]["items"]["properties"]
    view |= {key: of_field(field) for key, field in TAKEN.items()}
    return schema


FILES = {SCHEMA: with_fields, RESULT: with_views}


def of_field(field):
    """The schema of a field."""
    described: dict[str, Any] = {"description": field.sentence}
    if field.default is not None:
        described["default"] = (
            list(field.default) if isinstance(field.default, tuple) else field.default
        )
    if field.choices:
        return (
            {"type": "boolean"} if field.is_truth else {"enum": list(field.choices)}
        ) | described
    node: dict[str, Any] = (
        {"type": "integer", "minimum": 1} if field.whole else {"$ref": NUMBER, **_range(field)}
    )
    for count in reversed(field.shape):
        node = {"type": "array", "items": node, "minItems": count, "maxItems": count}
    return node | described


def of_deviation(field):
    """The schema of a standard deviation, with what is usual for each kind of geometry."""
    usual = [
        f"{_usual(field, kind)} {words}"
        for kind, words in WORDS.items()
        if field.key in usual_uncertainty(kind)
    ]
    described = f"Standard deviation {field.help}{', null is unknown' if field.nullable else ''}."
    kind = (
        {"type": ["number", "null"], "maximum": MAX_NUMBER} if field.nullable else {"$ref": NUMBER}
    )
    return {**kind, **_range(field), "description": f"{described} By default {', '.join(usual)}."}


#: Of each kind of geometry, whose usual standard deviations they are.
WORDS = {
    "camera": "of a matrix or camera",
    "c_arm": "of a c_arm's readings",
    "slot_scan": "of a slot_scan",
}


def _usual(field, kind):
    """The default, where a pixel is 1 mm large in mm."""
    value = usual_uncertainty(kind)[field.key]
    if field.unit == "px" and kind == "camera":
        return f"{value:g} (to the verdict {C_ARM_PRINCIPAL_POINT_SD_MM:g} mm)"
    return f"{value:g} mm" if field.unit == "px" else f"{value:g}"


def _range(field):
    limits = {"minimum": field.least, "exclusiveMinimum": field.above, "maximum": field.most}
    return {key: limit for key, limit in limits.items() if math.isfinite(limit)}


def text(node, indent=""):
    """JSON with what fits on a line there."""
    line = json.dumps(node, ensure_ascii=False)
    if len(indent + line) <= LINE or not isinstance(node, (dict, list)):
        return line
    inner, is_list = indent + "  ", isinstance(node, list)
    names = [""] * len(node) if is_list else [f"{json.dumps(key)}: " for key in node]
    entries = zip(names, node if is_list else node.values(), strict=True)
    lines = ",\n".join(inner + name + text(value, inner) for name, value in entries)
    return f"[\n{lines}\n{indent}]" if is_list else f"{{\n{lines}\n{indent}}}"


FRAMES = ROOT / "docs" / "frames.md"
GEOMETRIES = {
    "camera": "`projection_matrix`, `camera`",
    "c_arm": "`c_arm`, or a DICOM header",
    "slot_scan": "`slot_scan`",
}


def usual_table():
    """The standard deviations that are usual, as a table in Markdown."""
    head = ["geometry", *(f"`{key}`" for key in SLOT_SCAN_UNCERTAINTY)]
    rows = [head, ["---"] * len(head)]
    for kind, words in GEOMETRIES.items():
        fields = SLOT_SCAN_UNCERTAINTY.items()
        rows.append(
            [
                words,
                *(
                    _usual(field, kind) if key in usual_uncertainty(kind) else ""
                    for key, field in fields
                ),
            ]
        )
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def with_table(page):
    """The page with its table of what is usual as it is now."""
    return re.sub(r"\| geometry \|.*\n(\|.*\n)+", usual_table(), page)


if __name__ == "__main__":
    FRAMES.write_text(with_table(FRAMES.read_text(encoding="utf-8")), encoding="utf-8")
    for file, made in FILES.items():
        file.write_text(text(made()) + "\n", encoding="utf-8")
