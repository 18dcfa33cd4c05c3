"""What a person does in the table of geometries."""

from presenter_host import act

from MultiViewRegistrationLib.session.presenters.form import FieldTable, walk

C_ARM = {
    "rao_lao_deg": "30",
    "cra_cau_deg": "10",
    "source_to_detector_mm": "1020",
    "source_to_isocentre_mm": "700",
    "pixel_mm": "0.5",
}


def cell(table, key, number=0):
    """The cell of a field, by the number of its X-ray."""
    id = table._xrays.views[number].node.GetID()
    tables = [each for each in walk(table.form()).values() if isinstance(each, FieldTable)]
    cells = [each for one in tables for line in one.lines for each in line.cells]
    return next(each for each in cells if each.field.key == f"{id}.{key}")


def field(table, key, number=0):
    return cell(table, key, number).field


def put(table, key, value, number=0):
    """Type into a field, or choose, and leave it."""
    act(table, field(table, key, number).key, value)


def enter(table, fields, number=0):
    for key, value in fields.items():
        put(table, key, value, number)


def enter_c_arm(table, number=0, **other):
    """All of a C-arm, seen from the source unless "left" says otherwise."""
    left = other.pop("left", "")
    act(table, "fields", table._xrays.views[number].node.GetID())
    enter(table, {**C_ARM, **other}, number)
    options = [option.value for option in field(table, "left", number).options]
    put(table, "left", left or options[2], number)
