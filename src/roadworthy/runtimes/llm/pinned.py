"""Whether an answer came from the model that a pin fixes."""

from __future__ import annotations

from roadworthy.domain.pin import Pin, Usage
from roadworthy.ports.chat import Document, ProviderTrouble, Trouble


def text_in(value: object) -> str:
    """Read what should be a text; anything else reads as none."""
    return value if isinstance(value, str) else ""


def is_pinned(pin: Pin, document: Document) -> bool:
    """Claim that an answer came from the version that the pin fixes, if it fixes one.

    A version is what the provider answers as `model`, the part of it after the model's name, or its
    `system_fingerprint`.
    """
    if not pin.version:
        return True
    names = (pin.version, f"{pin.model}-{pin.version}")
    return document.get("model") in names or document.get("system_fingerprint") == pin.version


def check_model(pin: Pin, document: Document, usage: Usage | None) -> None:
    """Refuse an answer of another model. `usage` is what it cost all the same.

    Raises:
        ProviderTrouble: `wrong_model`.
    """
    if is_pinned(pin, document):
        return
    raise ProviderTrouble(
        Trouble.WRONG_MODEL,
        f"{pin.name} answered as {text_in(document.get('model'))[:100]!r}, not as {pin.version!r}",
        usage=usage,
        upstream_id=text_in(document.get("id")),
    )
