"""Pins: remote or local language models, fixed as far as one can, and what they cost."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from roadworthy.domain.digest import LATER, Digest, digest
from roadworthy.domain.interface import Scalar

PICO: int = 1_000_000
"""Picounits in a micro-unit: a price in micro-units per million tokens is one in picounits per token."""
UNIT: float = 1e12
"""Picounits in a whole unit of currency, as people read it."""


class Provider(StrEnum):
    """The protocol a pin is spoken to with; `gguf` is a model file that a process of ours serves on this machine."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GGUF = "gguf"


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """What tokens cost: whole micro-units of `currency` for a million tokens, so picounits for one.

    `version` names the price list, so that a record can be priced again. `per_call` is in picounits.
    """

    input: int
    output: int
    cached_input: int | None = None
    per_call: int = 0
    currency: str = "USD"
    version: str = "manifest"

    def cost(self, usage: Usage) -> int:
        """Return the exact cost of a usage in picounits."""
        cached = self.input if self.cached_input is None else self.cached_input
        fresh = usage.input - usage.cached_input
        return self.per_call + fresh * self.input + usage.cached_input * cached + usage.output * self.output

    def at_most(self, input_tokens: int, output_tokens: int) -> int:
        """Return the most that a call can cost, in picounits: what is reserved before it is made."""
        dearest = max(self.input, self.cached_input or 0)
        return self.per_call + input_tokens * dearest + output_tokens * self.output


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Tokens of one call. `cached_input` is part of `input`. `is_estimate` marks a count that is ours."""

    input: int = 0
    output: int = 0
    cached_input: int = 0
    is_estimate: bool = False

    def __add__(self, other: Usage) -> Usage:
        """Add up the usage of two calls."""
        return Usage(
            input=self.input + other.input,
            output=self.output + other.output,
            cached_input=self.cached_input + other.cached_input,
            is_estimate=self.is_estimate or other.is_estimate,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PinTerms:
    """On which terms a pin is used: policy, so that a new price or key is no new release.

    The secret stays outside: `key` only refers to it (`env:NAME` or `file:path`). `allows` are the data classes that
    may be sent there; `masks` says whether others are masked, or the pin passed over. `lookup` says that the provider
    keeps books that can be asked for the usage of one call.
    """

    name: str
    key: str = ""
    price: Price | None = None
    allows: tuple[str, ...] = ()
    masks: bool = True
    region: str = ""
    lookup: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Pin:
    """A model at a provider, and the terms it is used on (see `PinTerms`; blank inside a release).

    `url` is the base address of the API; a `gguf` pin has a `file` and the `artifact` it became instead. `version` is
    the name that answers must carry, where it is fixed. `probes` is the digest of the prompts that tell whether the
    model changed; they come from the file `probe_file`, or are the ones that are built in.
    """

    name: str
    provider: Provider
    model: str
    url: str = ""
    file: str = ""
    artifact: Digest = ""
    key: str = ""
    version: str = ""
    region: str = ""
    allows: tuple[str, ...] = ()
    masks: bool = True
    price: Price | None = None
    context: int = 8_192
    max_output: int = 1_024
    parameters: Mapping[str, Scalar] = field(default_factory=dict[str, "Scalar"])
    lookup: bool = False
    probes: Digest = ""
    probe_file: str = field(default="", metadata=LATER)

    @property
    def id(self) -> Digest:
        """Name the pin by everything that decides its answers; prices and keys change none of them."""
        return digest(
            (self.provider, self.model, self.url, self.artifact, self.version, dict(self.parameters), self.probes)
        )

    def under(self, terms: PinTerms | None) -> Pin:
        """Return the pin with its terms filled in; without any it is asked without a key and for no known price."""
        if terms is None:
            return self
        return replace(
            self, key=terms.key, price=terms.price, allows=terms.allows, masks=terms.masks, region=terms.region,
            lookup=terms.lookup,
        )  # fmt: skip

    @property
    def is_local(self) -> bool:
        """Claim that what is sent stays on this machine."""
        return self.provider is Provider.GGUF


def micros(picos: int) -> int:
    """Round picounits up to whole micro-units, so that nothing that cost something reads as free."""
    return -(-picos // PICO)
