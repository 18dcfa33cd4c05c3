"""The host shows Qt as PythonQt does, where PySide6 has other habits."""

from __future__ import annotations

from functools import partial

import pytest

UI = """<ui version="4.0"><widget class="QWidget" name="Top"><layout class="QVBoxLayout" name="column">
<item><widget class="QLabel" name="label"/></item><item><layout class="QFormLayout" name="rows"/></item></layout></widget></ui>"""


def test_what_is_empty_invalid_or_null_is_false(host):
    import qt

    widget, other, label, hidden = qt.QWidget(), qt.QWidget(), qt.QLabel("a"), qt.QLabel("b")
    box, form, menu = qt.QVBoxLayout(widget), qt.QFormLayout(other), qt.QMenu()
    assert not box and not form and not menu and widget  # a widget is true, whatever is in it
    box.addWidget(label)
    form.addRow(hidden)
    menu.addAction("a")
    assert box and form and menu
    hidden.hide()
    assert not form  # nothing of it takes room
    false = [
        qt.QSize(3, 0),
        qt.QRect(1, 1, 0, 3),
        qt.QPoint(0, 0),
        qt.QPointF(),
        qt.QPixmap(),
        qt.QImage(),
        qt.QIcon(),
        qt.QUrl(),
        qt.QByteArray(),
        qt.QModelIndex(),
        qt.QColor(),
        qt.QKeySequence(),
        qt.QDateTime(),
        qt.QPolygon(),
        qt.QRegion(),
        qt.QSizeF(),
    ]
    true = [
        qt.QSize(3, 1),
        qt.QRect(1, 1, 1, 3),
        qt.QPoint(0, 1),
        qt.QPixmap(1, 1),
        qt.QUrl("a"),
        qt.QByteArray(b"a"),
        qt.QColor("red"),
        qt.QKeySequence("Ctrl+Z"),
        qt.QSizePolicy(),
        qt.QFont(),
        qt.QTableWidget(),
        qt.QTimer(),
        qt.QBrush(),
    ]
    assert [value for value in false if value] == [] and all(true)


def test_slicer_finds_no_layout_that_is_empty(host, tmp_path):
    path = tmp_path / "Top.ui"
    path.write_text(UI)
    ui = host.slicer.util.childWidgetVariables(host.slicer.util.loadUI(str(path)))
    assert ui.column.count() == 2 and ui.label.name == "label"
    assert not hasattr(ui, "rows")


def test_what_qt_has_deleted_is_false_and_raises(host):
    import ctk
    import qt

    class Own(qt.QLabel):
        def __init__(self):
            super().__init__("own")
            self.number = 3

    label, own, slider = qt.QLabel("a"), Own(), ctk.ctkSliderWidget()
    set_text = label.setText
    for widget in (label, own, slider):
        widget.deleteLater()
    host.process()
    assert not label and not own and not slider and own.number == 3
    with pytest.raises(ValueError, match="Trying to read property 'text' from a destroyed QLabel object"):
        print(own.text)
    with pytest.raises(ValueError, match="Trying to read property 'value' from a destroyed ctkSliderWidget object"):
        print(slider.value)
    with pytest.raises(AttributeError, match="Trying to set property 'text' on a destroyed QLabel object"):
        label.text = "b"
    with pytest.raises(AttributeError, match="Trying to set property 'value' on a destroyed ctkSliderWidget object"):
        slider.value = 3
    for call in (set_text, label.setText, slider.setValue, label.deleteLater, slider.valueChanged.connect):
        with pytest.raises(ValueError, match="Trying to call '.*' on a destroyed"):
            call("b")


def test_there_are_no_keyword_arguments(host):
    import ctk
    import qt

    label, slider, table = qt.QLabel("a"), ctk.ctkSliderWidget(), qt.QTableWidget(1, 1)
    for call in (
        lambda: qt.QLabel("a", parent=None),
        lambda: label.setText(text="b"),
        lambda: qt.QTimer(parent=label),
        lambda: table.setItem(0, 0, item=qt.QTableWidgetItem("b")),
    ):
        with pytest.raises(ValueError, match="with keyword arguments, but called slot does not support kwargs"):
            call()
    with pytest.raises(TypeError, match="keyword"):
        slider.setValue(value=3)


def test_slots_and_signals_are_not_overwritten(host):
    import qt

    class Own(qt.QPushButton):
        pass

    for button in (qt.QPushButton(), Own()):
        with pytest.raises(AttributeError, match="Slot 'click' can not be overwritten on"):
            button.click = print
        with pytest.raises(AttributeError, match="Signal 'clicked' can not be overwritten on"):
            button.clicked = print


def test_lists_are_tuples(host):
    import qt

    table, box, splitter = qt.QTableWidget(2, 1), qt.QWidget(), qt.QSplitter()
    qt.QLabel("a", box)
    splitter.addWidget(qt.QLabel("b"))
    for values in (
        table.selectedIndexes(),
        box.children(),
        box.findChildren(qt.QLabel),
        splitter.sizes(),
        qt.QProcess().arguments(),
    ):
        assert isinstance(values, tuple)


def test_how_many_values_a_slot_gets(host):
    """A function as many as its code names, every other callable all: what a partial takes must have room for them."""
    import qt

    button, seen = qt.QPushButton(), []
    button.checkable = True

    def note(*values):
        seen.append(values)

    button.clicked.connect(lambda: note())
    button.clicked.connect(lambda number=7: note(number))
    button.clicked.connect(note)
    button.clicked.connect(partial(note, "partial"))
    button.connect("clicked(bool)", partial(note, "by signature"))
    button.connect("clicked()", partial(note, "without"))
    button.click()
    assert seen == [(), (True,), (True,), ("partial", True), ("by signature", True), ("without",)]
    button.show()
    button.clicked.connect(button.hide)  # which takes none
    with pytest.raises(AssertionError, match="hide"):
        host.click(button)


def test_what_qt_drops_of_what_is_typed_into_a_box_of_numbers(host):
    """Without a word: a comma of an English locale, and every digit that would leave the range."""
    import qt

    box = qt.QDoubleSpinBox()
    box.setLocale(qt.QLocale("en_US"))
    box.decimals, box.maximum = 3, 10.0
    host.type(box, "0,58")
    assert box.value == 5.0
    box.maximum = 180.0
    host.type(box, "500")
    assert box.value == 50.0


def test_what_code_hides_in_a_folded_box_stays_hidden(host):
    import ctk
    import qt

    for box in (ctk.ctkCollapsibleGroupBox(), ctk.ctkCollapsibleButton()):  # which take no title here
        column, first, second = qt.QVBoxLayout(box), qt.QLabel("first"), qt.QLabel("second")
        column.addWidget(first)
        column.addWidget(second)
        box.show()
        box.collapsed = True
        first.hide()
        late = qt.QLabel("late")
        column.addWidget(late)
        host.process()
        assert not (first.visible or second.visible or late.visible)
        box.collapsed = False
        assert (first.visible, second.visible, late.visible) == (False, True, True)
        first.show()
        assert first.visible
