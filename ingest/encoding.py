"""Bytes to text, whatever wrote them: byte order marks, UTF-8, UTF-16 without a mark, legacy code pages."""

from __future__ import annotations

import codecs

_BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_TEXT_CONTROLS = frozenset(b"\t\n\x0b\x0c\r\x1b\x85")
_MAX_CONTROL_SHARE = 0.02
_SAMPLE_BYTES = 32_768


def decode(data: bytes, declared: str | None = None) -> str:
    """Text of `data`; never fails, at worst single characters come out as U+FFFD.

    Args:
        data: the whole file.
        declared: the encoding that the file itself claims, as HTML does; believed when it fits.
    """
    encoding = _marked(data) or _wide(data)
    if encoding:
        return data.decode(encoding, errors="replace").removeprefix("\ufeff")
    for candidate in ("utf-8", declared):
        text = _strictly(data, candidate)
        if text is not None:
            return text
    return data.decode(_legacy(data), errors="replace")


def looks_like_text(head: bytes) -> bool:
    """Whether the first bytes of a file are text in some encoding rather than binary data."""
    if not head or _marked(head) or _wide(head):
        return True
    if 0 in head:
        return False
    controls = sum(byte < 0x20 and byte not in _TEXT_CONTROLS for byte in head)  # noqa: PLR2004 - space
    return controls <= len(head) * _MAX_CONTROL_SHARE


def _marked(data: bytes) -> str | None:
    return next((encoding for bom, encoding in _BOMS if data.startswith(bom)), None)


def _wide(data: bytes) -> str | None:
    """UTF-16 or UTF-32 without a mark: text of any script has its NUL bytes nearly all on one side."""
    sample = data[:_SAMPLE_BYTES]
    if sample.count(0) < len(sample) * 0.2:
        return None
    quarters = [sample[i::4].count(0) / max(len(sample[i::4]), 1) for i in range(4)]
    most, few = 0.9, 0.1
    if quarters[0] < few and min(quarters[1:]) > most:
        return "utf-32-le"
    if quarters[3] < few and min(quarters[:3]) > most:
        return "utf-32-be"
    even, odd = (sample[i::2].count(0) / max(len(sample[i::2]), 1) for i in range(2))
    if odd > 4 * even and even < few:
        return "utf-16-le"
    return "utf-16-be" if even > 4 * odd and odd < few else None


def _strictly(data: bytes, encoding: str | None) -> str | None:
    try:
        return data.decode(encoding) if encoding else None
    except (UnicodeDecodeError, LookupError):
        return None


def _legacy(data: bytes) -> str:
    """The likeliest single-byte or East Asian encoding; Windows-1252 when nothing speaks for another."""
    from charset_normalizer import from_bytes

    if _strictly(data[:_SAMPLE_BYTES], "cp1252") is not None and _few_high_bytes(data[:_SAMPLE_BYTES]):
        return "cp1252"
    best = from_bytes(data[:_SAMPLE_BYTES]).best()
    return best.encoding if best else "cp1252"


def _few_high_bytes(sample: bytes) -> bool:
    """Western text has few letters beyond ASCII, and too few to tell code pages apart by statistics."""
    high = sum(byte > 0x7F for byte in sample)  # noqa: PLR2004 - end of ASCII
    letters = sum(chr(byte).isalpha() for byte in sample if byte <= 0x7F)  # noqa: PLR2004
    return high < 0.15 * (letters + 1)
