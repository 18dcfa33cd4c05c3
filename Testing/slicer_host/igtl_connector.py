"""Stand-in for SlicerOpenIGTLink's vtkMRMLIGTLConnectorNode: a real MRML node that connects when a test says so, and sends nowhere.

After OpenIGTLinkIF/MRML/vtkMRMLIGTLConnectorNode: `Start` returns before the connection stands; `PushNode` reaches only who is connected
by then; outgoing nodes with the attribute OpenIGTLinkIF.pushOnConnect are pushed once it stands, and all of them whenever they change.
"""

from __future__ import annotations

import slicer


class vtkMRMLIGTLConnectorNode(slicer.vtkMRMLScriptedModuleNode):
    """Put it on the module `slicer`, as the extension does.   sent: what went out, (address, name, matrix, status)."""

    StateOff, StateWaitConnection, StateConnected = range(3)

    def __init__(self):
        self.sent: list[tuple] = []
        self._state, self._address, self._outgoing, self._tags = self.StateOff, ("", 0), [], {}

    def SetTypeClient(self, hostname: str, port: int) -> int:
        if self._state == self.StateOff:  # OpenIGTLinkIO refuses to change a connector that is on
            self._address = hostname, port
        return int(self._state == self.StateOff)

    def GetServerHostname(self) -> str:
        return self._address[0]

    def GetServerPort(self) -> int:
        return self._address[1]

    def GetState(self) -> int:
        return self._state

    def Start(self) -> int:
        self._state = self.StateWaitConnection
        return 1

    def Stop(self) -> int:
        self._state = self.StateOff
        return 1

    def connect(self) -> None:
        """The server answers."""
        self._state = self.StateConnected
        for node in self._outgoing:
            if node.GetAttribute("OpenIGTLinkIF.pushOnConnect") == "true":
                self.PushNode(node)

    def GetNumberOfOutgoingMRMLNodes(self) -> int:
        return len(self._outgoing)

    def GetOutgoingMRMLNode(self, number: int):
        return self._outgoing[number]

    def RegisterOutgoingMRMLNode(self, node, device_type: str | None = None) -> int:
        self._outgoing.append(node)
        node.AddObserver(slicer.vtkMRMLTransformNode.TransformModifiedEvent, lambda caller, event: self.PushNode(node))
        return 1

    def PushNode(self, node) -> int:
        if self._state == self.StateConnected and node in self._outgoing:
            matrix = slicer.util.arrayFromTransformMatrix(node)
            self.sent.append(("{}:{}".format(*self._address), node.GetName(), matrix, node.GetAttribute("TransformStatus")))
        return 0
