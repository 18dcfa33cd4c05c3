"""The registration in an MRML scene: nodes, views and files."""
