"""Several fields under one name."""

from __future__ import annotations

import typing

from .annotations import IsInstance, NotNone, split
from .storage import Storage, default_of, storage_of


def parameterPack(cls=None):
    """Decorator: a class of typed fields with checked values, to be a field of a parameter node wrapper or of another pack."""
    return _make_pack if cls is None else _make_pack(cls)


def isParameterPack(thing) -> bool:
    return getattr(thing, "_is_parameterPack", False)


def nestedParameterNames(pack) -> list[str]:
    """"x", "y", and for fields that are packs "z.x", ..."""
    names = []
    for name, annotated in split(pack)[0].allParameters.items():
        kind = split(annotated)[0]
        names += [f"{name}.{inner}" for inner in nestedParameterNames(kind)] if isParameterPack(kind) else [name]
    return names


def _make_pack(cls):
    fields = typing.get_type_hints(cls, include_extras=True)
    if not fields:
        raise ValueError(f"{cls.__name__} has no fields")
    storages = {name: storage_of(annotated) for name, annotated in fields.items()}
    defaults = {}
    for name, storage in storages.items():
        defaults[name] = getattr(cls, name) if hasattr(cls, name) else default_of(fields[name], storage)
        storage.check(defaults[name])
        setattr(cls, name, _field(name, storage))

    def make(self, *args, **kwargs):
        values = {**defaults, **dict(zip(fields, args)), **kwargs}
        unknown = values.keys() - fields.keys()
        if unknown:
            raise TypeError(f"{cls.__name__} has no field {', '.join(sorted(unknown))}")
        for name, value in values.items():
            setattr(self, name, value)

    own = cls.__dict__.get("__init__")
    cls.__init__ = make if own is None else lambda self, *args, **kwargs: (make(self), own(self, *args, **kwargs))[0]
    cls._is_parameterPack = True
    cls.allParameters, cls._storages = fields, storages
    cls.getValue, cls.setValue, cls.dataType = _get_value, _set_value, classmethod(_data_type)
    if "__eq__" not in cls.__dict__:
        cls.__eq__ = lambda self, other: isinstance(other, cls) and all(getattr(self, n) == getattr(other, n) for n in fields)
        cls.__hash__ = None
    if "__repr__" not in cls.__dict__:
        cls.__repr__ = lambda self: f"{cls.__name__}({', '.join(f'{n}={getattr(self, n)!r}' for n in fields)})"
    return cls


def _field(name: str, storage: Storage) -> property:
    def write(self, value):
        storage.check(value)
        self.__dict__[f"_{name}_value"] = value
        if "_save" in self.__dict__:
            self._save(self)

    return property(lambda self: self.__dict__[f"_{name}_value"], write)


def _get_value(self, name: str):
    top, _, rest = name.partition(".")
    value = getattr(self, top)
    return value.getValue(rest) if rest else value


def _set_value(self, name: str, value) -> None:
    top, _, rest = name.partition(".")
    if top not in self.allParameters:
        raise ValueError(f"{type(self).__name__} has no field {top!r}")
    if rest:
        getattr(self, top).setValue(rest, value)
    else:
        setattr(self, top, value)


def _data_type(cls, name: str):
    top, _, rest = name.partition(".")
    annotated = cls.allParameters[top]
    return split(annotated)[0].dataType(rest) if rest else annotated


class Pack(Storage):
    def __init__(self, kind: type):
        super().__init__([NotNone(), IsInstance(kind)])
        self.kind = kind

    def default(self):
        return self.kind()

    def fits(self, value) -> bool:
        return isinstance(value, self.kind)

    def is_in(self, node, name):
        first = next(iter(self.kind._storages))
        return self.kind._storages[first].is_in(node, f"{name}.{first}")

    def _write(self, node, name, value):
        for field, storage in self.kind._storages.items():
            storage.write(node, f"{name}.{field}", getattr(value, field))

    def read(self, node, name):
        pack = self.kind.__new__(self.kind)
        for field, storage in self.kind._storages.items():
            pack.__dict__[f"_{field}_value"] = storage.read(node, f"{name}.{field}")
        pack.__dict__["_save"] = lambda changed: self.write(node, name, changed)
        return pack

    def remove(self, node, name):
        for field, storage in self.kind._storages.items():
            storage.remove(node, f"{name}.{field}")
