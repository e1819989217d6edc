import io
from pathlib import Path

import pytest
import tiktoken

from ingest import Embedder, Sandbox, tiktoken_offsets

_WORDS = (
    "the of and to in is was for that on with as by at from it an be are this or which have not has had its were "
    "quick brown fox jumps over lazy dog sentence number section table value answer question document"
)


def _encoding():
    """A byte-level BPE small enough to make here: tiktoken's own encodings are fetched from the network."""
    tokens = [bytes([value]) for value in range(256)]
    for word in _WORDS.split():
        for text in (word, " " + word):
            for end in range(2, len(text) + 1):
                if (token := text[:end].encode()) not in tokens:
                    tokens.append(token)
    pattern = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
    ranks = {token: rank for rank, token in enumerate(tokens)}
    return tiktoken.Encoding("test", pat_str=pattern, mergeable_ranks=ranks, special_tokens={})


@pytest.fixture(scope="session")
def encoding():
    return _encoding()


@pytest.fixture(scope="session")
def token_offsets(encoding):
    return tiktoken_offsets(encoding)


@pytest.fixture(scope="session")
def embedder():
    return Embedder()


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox() as sandbox:
        yield sandbox


@pytest.fixture
def write(tmp_path):
    """Writes a file below the test's folder: text as UTF-8, bytes as they are."""

    def write_file(name: str, content: str | bytes) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    return write_file


@pytest.fixture
def make_pdf():
    """A PDF of pages, each a list of reportlab flowables or of paragraphs as strings."""

    def make(*pages, encrypt=None, title=None, on_page=None):
        from reportlab.lib.styles import getSampleStyleSheet
        from reportlab.platypus import PageBreak, Paragraph, SimpleDocTemplate

        styles = getSampleStyleSheet()
        story = []
        for page in pages:
            story += [Paragraph(item, styles["BodyText"]) if isinstance(item, str) else item for item in page]
            story.append(PageBreak())
        buffer = io.BytesIO()
        template = SimpleDocTemplate(buffer, encrypt=encrypt, title=title)
        template.build(story, onFirstPage=on_page or _nothing, onLaterPages=on_page or _nothing)
        return buffer.getvalue()

    return make


def _nothing(canvas, template):
    pass


@pytest.fixture
def make_docx():
    """The bytes of a Word document that `fill` writes into."""

    def make(fill):
        import docx

        document = docx.Document()
        fill(document)
        buffer = io.BytesIO()
        document.save(buffer)
        return buffer.getvalue()

    return make
