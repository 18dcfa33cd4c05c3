"""OpenIGTLink's STATUS for pyigtl, which has none: by the protocol's page."""

from __future__ import annotations

import struct

import pytest

pyigtl = pytest.importorskip("pyigtl", reason="needs pyigtl: pip install -e .[navigation]")


class StatusMessage(pyigtl.messages.MessageBase):
    """code, subcode, name, text."""

    def _unpack_content(self, content):
        self.code, self.subcode, name = struct.unpack("> H q 20s", content[:30])
        self.name, self.text = name.rstrip(b"\0").decode(), content[30:].rstrip(b"\0").decode()


@pytest.fixture(autouse=True)
def with_status(monkeypatch):
    monkeypatch.setitem(pyigtl.messages.message_type_to_class_constructor, "STATUS", StatusMessage)
