"""Write down which names a module of Slicer can use of Qt, CTK and Slicer's own widgets, from their headers.

    python make_api.py --qt FOLDER --ctk REPOSITORY --slicer REPOSITORY

--qt is the folder `qt5` of Debian's qtbase5-dev, unpacked and not installed: `apt-get download qtbase5-dev`, `dpkg-deb -x *.deb .`,
usr/include/x86_64-linux-gnu/qt5. --ctk and --slicer are git repositories of github.com/commontk/CTK and github.com/Slicer/Slicer; no
work tree is needed. Slicer is built with Qt 5.15 and shows it to Python by PythonQt, by these rules:

- of every class: properties, signals, public slots, Q_INVOKABLE methods, values of enumerations;
- of Qt's own classes all public methods besides, since PythonQt wraps them;
- of the classes of CTK and Slicer what their headers *PythonQtDecorators.h add.

qt.json, ctk.json and slicer.json beside this file hold the names, space-separated, of each class: its bases, the properties that can be
written, those that can only be read, the signatures of signals, what can be called, and enumerations with their values.
"horizontalHeader>QHeaderView" is a method that returns an object of a class that is among these. slicer.json has the functions of
slicer.util, too.
"""

from __future__ import annotations

import argparse
import ast
import json
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

QT = """
    QAction QActionGroup QApplication QBrush QButtonGroup QByteArray QCheckBox QColor QComboBox QCursor QDateTime QDesktopServices QDialog
    QDialogButtonBox QDir QDockWidget QDoubleSpinBox QDragEnterEvent QDropEvent QEvent QFile QFileDialog QFileInfo QFont QFontMetrics
    QFormLayout QFrame QGridLayout QGroupBox QGuiApplication QHBoxLayout QHeaderView QIcon QImage QInputDialog QItemSelectionModel
    QKeyEvent QKeySequence QLabel QLineEdit QListWidget QListWidgetItem QMainWindow QMenu QMessageBox QMimeData QModelIndex QMouseEvent
    QPainter QPalette QPen QPixmap QPlainTextEdit QPoint QPointF QProcess QProcessEnvironment QProgressBar QProgressDialog QPushButton
    QRadioButton QRect QRectF QResizeEvent QScrollArea QScrollBar QSettings QShortcut QSignalBlocker QSize QSizePolicy QSlider QSpacerItem
    QSpinBox QSplitter QStackedWidget QStandardPaths QStatusBar QStyle QStyledItemDelegate QTabWidget QTableWidget QTableWidgetItem
    QTextBrowser QTextEdit QTimer QToolBar QToolButton QToolTip QTreeWidget QTreeWidgetItem QUrl QVBoxLayout QWheelEvent QWidget
""".split()
CTK = """
    ctkCheckBox ctkCheckableComboBox ctkCollapsibleButton ctkCollapsibleGroupBox ctkColorPickerButton ctkComboBox ctkCoordinatesWidget
    ctkDirectoryButton ctkDoubleSlider ctkDoubleSpinBox ctkFittedTextBrowser ctkMatrixWidget ctkMenuButton ctkMessageBox ctkPathLineEdit
    ctkRangeWidget ctkSliderWidget ctkVTKAbstractMatrixWidget ctkVTKAbstractView ctkVTKRenderView ctkVTKSliceView ctkLayoutFactory
""".split()
SLICER = """
    qMRMLCheckableNodeComboBox qMRMLLayoutManager qMRMLMatrixWidget qMRMLNodeComboBox qMRMLSegmentSelectorWidget qMRMLSegmentsTableView
    qMRMLSliceControllerWidget qMRMLSliceView qMRMLSliceWidget qMRMLSliderWidget qMRMLSpinBox qMRMLThreeDView qMRMLThreeDWidget
    qMRMLTransformSliders qMRMLWidget qSlicerAbstractModule qSlicerApplication qSlicerCoreIOManager qSlicerIOManager qSlicerLayoutManager
    qSlicerMainWindow qSlicerMarkupsPlaceWidget qSlicerModuleManager qSlicerScriptedLoadableModule qSlicerScriptedLoadableModuleWidget
    qSlicerSimpleMarkupsWidget qSlicerWidget
""".split()
_LABEL = re.compile(r"\b(public|protected|private|signals|Q_SIGNALS)\s*(slots|Q_SLOTS)?\s*:(?!:)")
_CLASS = re.compile(
    r"\bclass\s+(?:[A-Z_]\w*_(?:EXPORT|API)\s+|Q_\w+_EXPORT\s+|QDESIGNER_\w+\s+)?(\w+)\s*(?:final\s*)?(:[^;{]*)?\{"
)
_BALANCED = r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"


# headers ---------------------------------------------------------------------------------------------------------------


def headers_in_folder(folder: Path) -> Iterable[str]:
    return (path.read_text(encoding="utf-8", errors="replace") for path in sorted(folder.glob("Qt*/*.h")))


def headers_in_repository(repository: Path, names: list[str]) -> Iterable[str]:
    """Headers whose names end so; in these projects a class lies in a header of its name."""

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", "-C", str(repository), *arguments], check=True, capture_output=True, text=True
        ).stdout

    for path in git("ls-tree", "-r", "--name-only", "HEAD").splitlines():
        if path.endswith(tuple(f"/{name}.h" for name in names) + ("PythonQtDecorators.h",)):
            yield git("show", f"HEAD:{path}")


# parsing ---------------------------------------------------------------------------------------------------------------


def classes_of(header: str) -> dict[str, tuple[str, str]]:
    """Name -> (bases, body) of the classes that a header defines. The namespace Qt is one to Qt's moc."""
    text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", header, flags=re.S)
    text = re.sub(
        r"^[ \t]*#[ \t]*if QT_DEPRECATED_SINCE.*?^[ \t]*#[ \t]*endif", "", text, flags=re.S | re.M
    )  # gone in Qt 6
    text = re.sub(r"^[ \t]*#(?:[^\n\\]|\\\n|\\.)*", "", text, flags=re.M)
    found = {match[1]: (match[2] or "", _body(text, match.end())) for match in _CLASS.finditer(text)}
    if "Qt" in found:
        found["Qt"] = ("", f"public: {found['Qt'][1]}")
    return found


def _body(text: str, start: int) -> str:
    depth, position = 1, start
    while depth and position < len(text):
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        position += 1
    return text[start : position - 1]


def api_of(name: str, bases: str, body: str, *, every_method: bool) -> dict[str, str]:
    """The names of one class."""
    names: dict[str, list[str]] = {key: [] for key in ("properties", "readonly", "signals", "calls", "enums")}
    for entry in re.findall(rf"Q_PROPERTY\s*({_BALANCED})", body):
        words = re.sub(r"\s*\*\s*", "* ", entry[1:-1]).split()
        reader = next(i for i, word in enumerate(words) if word in ("READ", "MEMBER"))
        writable = "WRITE" in words or ("MEMBER" in words and "CONSTANT" not in words)
        names["properties" if writable else "readonly"].append(words[reader - 1])
    parts = _LABEL.split(body)
    access, is_slot = "private", False
    for label, slots, part in [("private", None, parts[0]), *zip(parts[1::3], parts[2::3], parts[3::3])]:
        access, is_slot = label, bool(slots)
        if access == "public":
            names["enums"] += _enums(part)
        for statement in _statements(part):
            _add_function(names, statement, name, access, is_slot or "Q_SLOT" in statement, every_method)
    found = {"bases": _bases(bases), **{key: " ".join(dict.fromkeys(values)) for key, values in names.items()}}
    return {key: value for key, value in found.items() if value}


def _bases(text: str) -> str:
    plain = re.sub(r"<[^<>]*>", "", text.lstrip(":"))
    return " ".join(re.findall(r"public\s+(?:virtual\s+)?([\w:]+)", plain))


def _enums(part: str) -> list[str]:
    names = []
    for match in re.finditer(r"\benum\s+(?:class\s+)?(\w*)\s*(?::\s*\w+\s*)?\{([^}]*)\}", part):
        values = re.sub(r"Q?_?[A-Z]+_DEPRECATED\w*(?:\([^)]*\))?", "", match[2])
        names += [match[1]] * bool(match[1]) + [value.split("=")[0].strip() for value in _split(values)]
    names += [words.split(",")[0].strip() for words in re.findall(r"Q_DECLARE_FLAGS\s*\(([^)]*)\)", part)]
    return [name for name in names if re.fullmatch(r"\w+", name)]


def _split(text: str) -> list[str]:
    """At commas outside of brackets."""
    depth, parts = 0, [""]
    for character in text:
        depth += {"(": 1, "<": 1, ")": -1, ">": -1}.get(character, 0)
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def _statements(part: str) -> list[str]:
    """Declarations: what is in braces is dropped, and what macros say beside Q_INVOKABLE."""
    while re.search(r"\{[^{}]*\}", part):
        part = re.sub(r"\{[^{}]*\}", ";", part)
    part = re.sub(rf"\b(?!Q_INVOKABLE\b|Q_SLOT\b|Q_SIGNAL\b)[QC][A-Z_0-9]*_[A-Z_0-9]+\b\s*(?:{_BALANCED})?", " ", part)
    return [" ".join(statement.split()) for statement in part.split(";")]


def _add_function(
    names: dict[str, list[str]], statement: str, cls: str, access: str, is_slot: bool, every_method: bool
) -> None:
    match = re.match(r"(?P<before>[^()=]*?)\b(?P<name>\w+)\s*(?P<arguments>\(.*)", statement)
    if (
        not match
        or re.search(r"\b(friend|operator|typedef|using|return)\b", statement)
        or match["name"] in (cls, "int", "bool", "void")
    ):
        return
    if match["before"].rstrip().endswith("~") or not match["before"].strip():
        return
    if access in ("signals", "Q_SIGNALS"):
        arguments = re.match(_BALANCED, match["arguments"])
        names["signals"] += _signatures(match["name"], arguments[0][1:-1])
    elif "Q_INVOKABLE" in statement or (access == "public" and (is_slot or every_method)):
        names["calls"].append(f"{match['name']}>{_returned(match['before'])}")


def _returned(before: str) -> str:
    """The class that a function returns, as far as its last word says it."""
    words = re.findall(r"[\w:]+|[<>]", re.sub(r"\b(const|virtual|static|inline|explicit|class|QT?_\w+)\b", " ", before))
    return words[0] if len(words) == 1 else ""


def _signatures(name: str, arguments: str) -> list[str]:
    """The signature as Qt's moc writes it; an argument with a default makes a second one without it."""
    types, signatures = [], []
    for argument in _split(arguments):
        plain, _, default = argument.partition("=")
        if default:
            signatures.append(f"{name}({','.join(types)})")
        types.append(_moc_type(plain))
    return (
        [*signatures, f"{name}({','.join(types)})"]
        if "QPrivateSignal" not in types
        else [f"{name}({','.join(types[:-1])})"]
    )


def _moc_type(argument: str) -> str:
    text = re.sub(r"\s*([*&<>,])\s*", r"\1", argument.strip())
    text = re.sub(r"(?<=[*&>])\w+$|(?<=\w)\s+\w+$(?<!\bint)(?<!\bdouble)(?<!\bchar)(?<!\blong)", "", text)
    text = re.sub(r"\bconst\s+(\w[\w:<>*,]*)&$", r"\1", text)
    return (
        text.removesuffix("&").replace("unsigned int", "uint").replace(" ", "")
        if not text.startswith("const ")
        else text
    )


# writing ---------------------------------------------------------------------------------------------------------------


def decorations(headers: Iterable[str]) -> dict[str, list[str]]:
    """Class -> methods that decorators add: the object is their first argument, or they are called static_Class_name."""
    found: dict[str, list[str]] = {}
    for header in headers:
        text = re.sub(r"/\*.*?\*/|//[^\n]*", " ", header, flags=re.S)
        function = r"([\w:*]+)\s+(?!new_|delete_)(?:static_([a-zA-Z]+)_)?(\w+)\s*\(\s*(?:const\s+)?([\w:]*)"
        for match in re.finditer(function, text):
            returned, static, name, first = match.groups()
            if static or re.match(r"(ctk|qMRML|qSlicer)\w+$", first):
                found.setdefault(static or first, []).append(f"{name}>{returned.strip('*')}")
    return found


def collect(
    names: list[str], headers: Callable[[list[str]], Iterable[str]], *, every_method: bool
) -> dict[str, dict[str, str]]:
    """The API of the classes and of those of their bases that are among the headers."""
    found: dict[str, dict[str, str]] = {}
    missing = list(names)
    while missing:
        definitions = {}
        for header in headers(missing):
            definitions.update(classes_of(header))
        fresh = [name for name in missing if name in definitions]
        for name in fresh:
            found[name] = api_of(name, *definitions[name], every_method=every_method)
        bases = {base for name in fresh for base in found[name].get("bases", "").split()}
        missing = sorted(bases - found.keys())
        if not fresh:
            break
    if not every_method:
        for name, calls in decorations(headers([])).items():
            if name in found:
                found[name]["calls"] = " ".join([*found[name].get("calls", "").split(), *calls])
    return dict(sorted(found.items()))


def functions_of_util(repository: Path) -> str:
    """Names that `slicer.util` has at its top level."""
    source = subprocess.run(
        ["git", "-C", str(repository), "show", "HEAD:Base/Python/slicer/util.py"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    names = [node.name for node in ast.parse(source).body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    names += [node.targets[0].id for node in ast.parse(source).body if isinstance(node, ast.Assign)]
    return " ".join(sorted({name for name in names if not name.startswith("_")}))


def _keep_classes_only(tables: dict[str, dict[str, dict[str, str]]]) -> None:
    """ "item>QTableWidgetItem" stays, "setText>void" becomes "setText"; what overloads do not agree on is not said."""
    known = {name for table in tables.values() for name in table}
    for table in tables.values():
        for names in table.values():
            returned: dict[str, set[str]] = {}
            for call in names.get("calls", "").split():
                name, _, cls = call.partition(">")
                returned.setdefault(name, set()).add(cls)
            calls = [
                f"{name}>{cls}" if len(several) == 1 and (cls := next(iter(several))) in known else name
                for name, several in returned.items()
            ]
            if calls:
                names["calls"] = " ".join(calls)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("qt", "ctk", "slicer"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    arguments = parser.parse_args()
    qt_headers = list(headers_in_folder(arguments.qt))
    tables = {
        "qt": collect(["Qt", *QT], lambda names: qt_headers, every_method=True),
        "ctk": collect(CTK, lambda names: headers_in_repository(arguments.ctk, names), every_method=False),
        "slicer": collect(SLICER, lambda names: headers_in_repository(arguments.slicer, names), every_method=False),
    }
    tables["slicer"]["slicer.util"] = {"calls": functions_of_util(arguments.slicer)}
    _keep_classes_only(tables)
    for name, table in tables.items():
        for wanted in {"qt": QT, "ctk": CTK, "slicer": SLICER}[name]:
            if wanted not in table:
                raise SystemExit(f"{wanted} is not among the headers of {name}")
        path = Path(__file__).with_name(f"{name}.json")
        path.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        print(f"{path.name}: {len(table)} classes")


if __name__ == "__main__":
    main()
