"""Chat templates, rendered in a sandbox: a model file is data, and its template must not become code."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from serving.errors import ModelFormatError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from jinja2.runtime import Context

_PLAIN_TEMPLATE = "{% for message in messages %}{{ message['content'] }}\n\n{% endfor %}"
_MARK = "9f2c7e51a0passages5b1d8e"
_MAX_CHARACTERS = 4 << 20
_MAX_RENDER_S = 1.0  # templates that models come with take a few milliseconds


class ChatTemplate:
    """Renders messages as a model was trained to read them.

    Args:
        source: a Jinja template in Hugging Face's dialect; None for a model without one, which reads plain text.

    Raises:
        ModelFormatError: the template does not parse, tries what a template must not, or does not end.
    """

    def __init__(self, source: str | None, bos_token: str | None = None, eos_token: str | None = None) -> None:
        environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _strftime_now
        self._tokens = {"bos_token": bos_token or "", "eos_token": eos_token or ""}
        try:
            self._template = environment.from_string(source or _PLAIN_TEMPLATE)
        except (
            Exception
        ) as error:  # also what the parser itself trips over: nesting too deep, a template that is no text
            raise ModelFormatError(f"the model's chat template does not parse: {error}") from error

    def render(self, messages: list[dict[str, str]]) -> str:
        """The prompt text, up to where the model's answer begins."""
        try:
            with _deadline(_MAX_RENDER_S):
                pieces = self._template.generate(
                    messages=messages, add_generation_prompt=True, enable_thinking=False, **self._tokens
                )
                return "".join(_bounded(pieces))
        except SecurityError as error:
            raise ModelFormatError(f"the model's chat template tries to leave its sandbox: {error}") from error
        except Exception as error:  # a template is a program, and can fail as any program can
            raise ModelFormatError(f"the model's chat template fails: {error or type(error).__name__}") from error

    def around(self, instructions: str) -> tuple[str, str]:
        """What stands before and after the passages and the question.

        The first part holds the instructions and is the same for every question, so its states can be kept.
        Models that refuse or leave out a system message get the instructions at the head of the user's.
        """
        apart = [{"role": "system", "content": instructions}, {"role": "user", "content": _MARK}]
        together = [{"role": "user", "content": f"{instructions}\n\n{_MARK}"}]
        failure: ModelFormatError | None = None
        for messages in (apart, together):
            try:
                parts = self.render(messages).split(_MARK)
            except ModelFormatError as error:
                failure = error
                continue
            if len(parts) == 2 and instructions.strip() in parts[0]:  # noqa: PLR2004
                return parts[0], parts[1]
        raise failure or ModelFormatError("the model's chat template does not place the messages it is given once each")


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's sandbox, which keeps templates from Python's objects; here also from endless numbers and texts."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """Refuses powers, and products and formats that are not of plain numbers."""
        if operator == "**" or not all(isinstance(side, int | float) for side in (left, right)):
            raise SecurityError(f"{type(left).__name__} {operator} {type(right).__name__} is not for templates")
        return super().call_binop(context, operator, left, right)


def _bounded(pieces: Iterator[str]) -> Iterator[str]:
    num_characters = 0
    for piece in pieces:
        num_characters += len(piece)
        if num_characters > _MAX_CHARACTERS:
            raise SecurityError("its text does not end")
        yield piece


@contextmanager
def _deadline(limit_s: float) -> Iterator[None]:
    """Ends Python code of this thread that runs for longer; loops and macros of a template are such code."""
    end = time.monotonic() + limit_s
    outer = sys.gettrace()

    def look_at_clock(_frame: FrameType, _event: str, _argument: Any) -> Any:
        if time.monotonic() > end:
            raise SecurityError(f"it takes longer than {limit_s:.0f} s")
        return look_at_clock

    sys.settrace(look_at_clock)
    try:
        yield
    finally:
        sys.settrace(outer)


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(pattern: str) -> Any:
    return datetime.now(tz=UTC).strftime(pattern)
