"""User actions in the table of geometries."""

from presenter_host import act

from MultiViewRegistrationLib.session.presenters.form import FieldTable, walk

C_ARM = {
    "rao_lao_deg": "30",
    "cra_cau_deg": "10",
    "source_to_detector_mm": "1020",
    "source_to_isocentre_mm": "700",
    "pixel_mm": "0.5",
    "mirrored": "no",
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


def enter_c_arm(table, number=0, **values):
    """Fill in the fields of a C-arm."""
    act(table, "fields", table._xrays.views[number].node.GetID())
    for key, value in {**C_ARM, **values}.items():
        put(table, key, value, number)
