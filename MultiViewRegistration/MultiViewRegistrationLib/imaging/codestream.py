"""How large the image in a compressed stream says it is: asked before a decoder is, which would make room for it, whatever it says."""

from __future__ import annotations

J2K_BEGINS = b"\xff\x4f\xff\x51"  # start of codestream, image and tile size (ISO 15444-1, A.4 and A.5)
JPEG_BEGINS = b"\xff\xd8"
#: Markers of a frame's header in JPEG (ISO 10918-1, B.1.1.3) and JPEG-LS (ISO 14495-1, C.1.1.1).
FRAMES = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
#: Markers without a length behind them.
ALONE = {0x01, *range(0xD0, 0xDA)}
MOST_TILES = 1 << 12


def size_of(encoded: bytes) -> tuple[int, int, int] | None:
    """(columns, rows, components) of JPEG, JPEG-LS or JPEG 2000; None for another stream, and for one in so many tiles that it is none."""
    if encoded[:2] == JPEG_BEGINS:
        return _jpeg(encoded)
    at = encoded[:4096].find(J2K_BEGINS)
    return None if at < 0 else _j2k(encoded[at + 4 : at + 42])


def _jpeg(encoded: bytes) -> tuple[int, int, int] | None:
    at = 2
    while at + 10 <= len(encoded):
        if encoded[at] != 0xFF:
            return None
        marker = encoded[at + 1]
        if marker in FRAMES:
            rows, columns = (int.from_bytes(encoded[start : start + 2], "big") for start in (at + 5, at + 7))
            return columns, rows, encoded[at + 9]
        alone = marker in ALONE
        at += 1 if marker == 0xFF else 2 if alone else 2 + int.from_bytes(encoded[at + 2 : at + 4], "big")
    return None


def _j2k(sizes: bytes) -> tuple[int, int, int] | None:
    if len(sizes) < 38:
        return None
    right, bottom, left, top, tile_columns, tile_rows = (
        int.from_bytes(sizes[at : at + 4], "big") for at in range(4, 28, 4)
    )
    components = int.from_bytes(sizes[36:38], "big")
    if min(tile_columns, tile_rows) < 1 or -(-right // tile_columns) * -(-bottom // tile_rows) > MOST_TILES:
        return None
    return right - left, bottom - top, components
