"""Chat templates, rendered in a sandbox: a model file is data, and its template must not become code."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from serving.errors import ModelFormatError

_PLAIN_TEMPLATE = "{% for message in messages %}{{ message['content'] }}\n\n{% endfor %}"
_MARK = "9f2c7e51a0passages5b1d8e"


class ChatTemplate:
    """Renders messages as a model was trained to read them.

    Args:
        source: a Jinja template in Hugging Face's dialect; None for a model without one, which reads plain text.

    Raises:
        ModelFormatError: the template does not parse, or tries what a template must not.
    """

    def __init__(self, source: str | None, bos_token: str | None = None, eos_token: str | None = None) -> None:
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        environment.globals["raise_exception"] = _raise_exception
        environment.globals["strftime_now"] = _strftime_now
        self._tokens = {"bos_token": bos_token or "", "eos_token": eos_token or ""}
        try:
            self._template = environment.from_string(source or _PLAIN_TEMPLATE)
        except TemplateError as error:
            raise ModelFormatError(f"the model's chat template does not parse: {error}") from error

    def render(self, messages: list[dict[str, str]]) -> str:
        """The prompt text, up to where the model's answer begins."""
        try:
            return self._template.render(messages=messages, add_generation_prompt=True, **self._tokens)
        except SecurityError as error:
            raise ModelFormatError(f"the model's chat template tries to leave its sandbox: {error}") from error
        except (TemplateError, TypeError, ValueError, KeyError, AttributeError, OverflowError) as error:
            raise ModelFormatError(f"the model's chat template fails: {error}") from error

    def around(self, instructions: str) -> tuple[str, str]:
        """What stands before and after the passages and the question.

        The first part holds the instructions and is the same for every question, so its states can be kept.
        Models that refuse a system message get the instructions at the head of the user's.
        """
        try:
            text = self.render(
                [{"role": "system", "content": instructions}, {"role": "user", "content": _MARK}]
            )
        except ModelFormatError:
            text = self.render([{"role": "user", "content": f"{instructions}\n\n{_MARK}"}])
        parts = text.split(_MARK)
        if len(parts) != 2 or instructions not in parts[0]:  # noqa: PLR2004
            raise ModelFormatError("the model's chat template does not place the messages it is given once each")
        return parts[0], parts[1]


def _raise_exception(message: str) -> None:
    raise TemplateError(message)


def _strftime_now(pattern: str) -> Any:
    return datetime.now(tz=UTC).strftime(pattern)
