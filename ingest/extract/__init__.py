"""Files to elements: one module per format, and a sandbox that reads them in a limited process."""

from ingest.extract.document import Block, Extracted, lay_out
from ingest.extract.formats import extract, extract_bytes

__all__ = ["Block", "Extracted", "extract", "extract_bytes", "lay_out"]
