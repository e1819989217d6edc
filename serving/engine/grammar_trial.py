"""Prepares one grammar and says what is wrong with it; run as a program by `serving.engine.grammar`.

Reads the grammar from standard input, takes the limit of lexer states as its argument, and writes the error, if
there is one, to standard output. It runs over an alphabet of single bytes, on a stack smaller than those of the
server's threads: what is prepared here is prepared there.
"""

from __future__ import annotations

import sys
import threading

import llguidance

_STACK_BYTES = 2 << 20


class _Bytes:
    """A vocabulary of the 256 bytes and an end-of-sequence token, as llguidance asks for it."""

    eos_token_id = 256
    bos_token_id = None
    tokens = (*(bytes([byte]) for byte in range(256)), b"<eos>")
    special_token_ids = (256,)

    def __call__(self, text: bytes) -> list[int]:
        return list(text)


def find_error(grammar: str, max_lexer_states: int) -> str:
    """What llguidance says against a grammar, or nothing."""
    vocabulary = llguidance.LLTokenizer(llguidance.TokenizerWrapper(_Bytes()), slices=[])
    limits = llguidance.LLParserLimits(max_lexer_states=max_lexer_states, verbose_errors=False)
    matcher = llguidance.LLMatcher(vocabulary, grammar, log_level=0, limits=limits)
    matcher.compute_bitmask()
    return matcher.get_error()


def _main() -> None:
    grammar = sys.stdin.buffer.read().decode()
    error = find_error(grammar, int(sys.argv[1]))
    sys.stdout.buffer.write(error.encode())


if __name__ == "__main__":
    threading.stack_size(_STACK_BYTES)
    thread = threading.Thread(target=_main)
    thread.start()
    thread.join()
