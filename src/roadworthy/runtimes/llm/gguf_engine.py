"""A GGUF model in this process: its chat template, its tokens, one generation at a time.

The binding's own chat is not used: it writes every model's prompt in Gemma's format, cannot stream, and reads special
tokens out of what users write. Here the template is the file's, and a message's text is never a special token.
"""

from __future__ import annotations

import codecs
import ctypes
import hashlib
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from ik_llama_cpp import IkLlama  # pyright: ignore[reportMissingTypeStubs]
from ik_llama_cpp import _ctypes_api as native  # pyright: ignore[reportMissingTypeStubs, reportPrivateUsage]
from ik_llama_cpp._internals import (  # pyright: ignore[reportMissingTypeStubs]
    make_batch_range,
    make_batch_single,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment
from numpy.typing import NDArray

from roadworthy.domain.digest import PREFIX

MAX_TOP_LOGPROBS: Final = 20
STEP_TOKENS: Final = 31
"""How much of a prompt is read at once. From 32 tokens on, ik_llama.cpp multiplies by another path, which answers
nonsense for Q4_1 and Q5_1 files and differs for Q8_0 (measured with ik-llama-cpp-python 0.1.5): up to 31 the logits are
those of reading token by token."""
_CHATML: Final = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_META_BYTES: Final = 1 << 18
_PIECE_BYTES: Final = 512
_LOG: Final = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)
_SILENT: Final = _LOG(lambda *_: None)
Message = Mapping[str, str]


class ContextFull(ValueError):
    """The prompt leaves no room for an answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """How to generate. `temperature` 0 takes the likeliest token. `top` asks for so many log-probabilities.

    `grammar` is a GBNF grammar the answer must keep to; log-probabilities are those of the model without it.
    """

    max_tokens: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    logprobs: bool = False
    top: int = 0
    grammar: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """One generated token: the text that is whole with it, its bytes, and the likeliest tokens in its place."""

    text: str
    raw: bytes
    logprob: float = 0.0
    top: Sequence[tuple[bytes, float]] = ()


class Engine:
    """A loaded model file. Not safe to use from two threads at once."""

    def __init__(self, file: Path, *, context: int, threads: int) -> None:
        with file.open("rb") as content:
            self.digest = PREFIX + hashlib.file_digest(content, "sha256").hexdigest()
        native._lib.llama_log_set(_SILENT, None)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        self._model: Any = IkLlama(str(file), n_ctx=context, n_threads=threads, flash_attn=False, verbose=False)
        self._context: Any = self._model._context  # noqa: SLF001 (the binding keeps what streaming needs to itself)
        self._handle: Any = self._model._model.model  # noqa: SLF001
        self._vocabulary = int(self._model._model.n_vocab)  # noqa: SLF001
        self.context = context
        self.name = self._meta("general.name") or file.stem
        self._template = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(
            self._meta("tokenizer.chat_template") or _CHATML
        )
        self._special = {name: self._special_token(name) for name in ("bos", "eos")}
        opens = self._meta("tokenizer.ggml.add_bos_token") == "true" and self._special["bos"]
        self._opening: list[int] = [int(self._meta("tokenizer.ggml.bos_token_id"))] if opens else []

    def prompt(self, messages: Sequence[Message]) -> list[int]:
        """Write a conversation as tokens, by the model's own template.

        Texts of messages stand in as marks while the template is filled in and become tokens apart, so that a user who
        writes `<|im_end|>` writes ten characters and ends nothing.
        """
        marks = [f"\ue000{number}\ue001" for number in range(len(messages))]
        texts = {mark: message["content"] for mark, message in zip(marks, messages, strict=True)}
        marked = [{**message, "content": mark} for mark, message in zip(marks, messages, strict=True)]
        shape = self._template.render(
            messages=marked,
            add_generation_prompt=True,
            bos_token=self._special["bos"],
            eos_token=self._special["eos"],
            tools=None,
        )
        tokens: list[int] = []
        for part in _split(shape, texts):
            if part:
                is_text = part in texts
                tokens += self._model.tokenize(texts.get(part, part), add_bos=False, special=not is_text)
        return self._opening + tokens if tokens[:1] != self._opening else tokens

    def generate(self, tokens: list[int], wish: Wish) -> Iterator[Token]:
        """Give the answer's tokens, until the model ends it or `max_tokens` are there. Returns at an end of its own.

        Raises:
            ContextFull: the prompt leaves no room.
            RuntimeError: the library failed.
        """
        if len(tokens) >= self.context:
            raise ContextFull(f"the prompt has {len(tokens)} tokens, the context holds {self.context}")
        chance = np.random.default_rng(wish.seed)
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        rules = _Grammar(self._model._model.vocab, self._context.ctx, wish.grammar) if wish.grammar else None  # noqa: SLF001
        self._read(tokens)
        for place in range(len(tokens), min(len(tokens) + wish.max_tokens, self.context)):
            logits = self._logits()
            allowed = rules.allowed(logits) if rules is not None else logits
            chosen = choose(allowed, wish.temperature, wish.top_p, chance)
            if native.llama_token_is_eog(self._handle, chosen):
                return
            if rules is not None:
                rules.take(chosen)
            raw = self._piece(chosen)
            yield self._token(decoder.decode(raw), raw, chosen, logits, wish)
            self._decode(make_batch_single(chosen, place))
        rest = decoder.decode(b"", final=True)
        if rest:
            yield Token(text=rest, raw=b"")

    def _token(self, text: str, raw: bytes, chosen: int, logits: NDArray[np.float32], wish: Wish) -> Token:
        if not wish.logprobs:
            return Token(text=text, raw=raw)
        values = log_softmax(logits)
        best = np.argsort(values)[::-1][: wish.top] if wish.top else ()
        top = [(self._piece(int(one)), float(values[one])) for one in best]
        return Token(text=text, raw=raw, logprob=float(values[chosen]), top=top)

    def _read(self, tokens: list[int]) -> None:
        self._context.kv_cache_clear()
        for start in range(0, len(tokens), STEP_TOKENS):
            is_last = start + STEP_TOKENS >= len(tokens)
            self._decode(make_batch_range(tokens[start : start + STEP_TOKENS], pos_start=start, logits_last=is_last))

    def _decode(self, batch: Any) -> None:
        try:
            failed = self._context.decode(batch)
        finally:
            native.llama_batch_free(batch)
        if failed:
            raise RuntimeError(f"the model could not be evaluated (llama_decode gave {failed})")

    def _logits(self) -> NDArray[np.float32]:
        return np.ctypeslib.as_array(self._context.get_logits(-1), shape=(self._vocabulary,)).copy()

    def _piece(self, token: int) -> bytes:
        buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        size = int(native.llama_token_to_piece(self._handle, token, buffer, _PIECE_BYTES, 0, False))
        return bytes(buffer.raw[:size]) if size > 0 else b""

    def _meta(self, key: str) -> str:
        read: Any = native._lib.llama_model_meta_val_str  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        read.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t]
        read.restype = ctypes.c_int32
        buffer = ctypes.create_string_buffer(_META_BYTES)
        size = read(self._handle, key.encode(), buffer, _META_BYTES)
        return buffer.value.decode("utf-8", errors="replace") if size > 0 else ""

    def _special_token(self, name: str) -> str:
        number = self._meta(f"tokenizer.ggml.{name}_token_id")
        if not number.isdigit():
            return ""
        buffer = ctypes.create_string_buffer(_PIECE_BYTES)
        size = int(native.llama_token_to_piece(self._handle, int(number), buffer, _PIECE_BYTES, 0, True))
        return buffer.raw[: max(size, 0)].decode("utf-8", errors="replace")


class _Grammar:
    """The library's grammar, which its binding leaves out: which tokens may come next."""

    def __init__(self, vocabulary: int, context: int, text: str) -> None:
        library: Any = native._lib  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
        begin = library.llama_sampler_init_grammar
        begin.argtypes, begin.restype = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_char_p], ctypes.c_void_p
        self._sift = library.llama_grammar_sample
        self._sift.argtypes, self._sift.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p], None
        self._accept = library.llama_grammar_accept_token
        self._accept.argtypes, self._accept.restype = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32], None
        self._free = library.llama_grammar_free
        self._free.argtypes, self._free.restype = [ctypes.c_void_p], None
        self._context = context
        self._rules = begin(vocabulary, text.encode(), b"root")
        if not self._rules:
            raise RuntimeError("the library does not understand the grammar")

    def __del__(self) -> None:
        if getattr(self, "_rules", None):
            self._free(self._rules)

    def allowed(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the logits with those of tokens that may not come next at minus infinity."""
        candidates = np.zeros(logits.size, dtype=[("id", "i4"), ("logit", "f4"), ("p", "f4")])
        candidates["id"] = np.arange(logits.size)
        candidates["logit"] = logits
        listed = native.llama_token_data_array()
        listed.data = candidates.ctypes.data_as(ctypes.POINTER(native.llama_token_data))
        listed.size, listed.selected, listed.sorted = logits.size, -1, False
        self._sift(self._rules, self._context, ctypes.addressof(listed))
        return np.asarray(candidates["logit"], dtype=np.float32)

    def take(self, token: int) -> None:
        """Go on to what may follow a token."""
        self._accept(self._rules, self._context, token)


def choose(logits: NDArray[np.float32], temperature: float, top_p: float, chance: np.random.Generator) -> int:
    """Draw the next token: the likeliest at temperature 0, else from the nucleus of mass `top_p`."""
    if temperature <= 0:
        return int(np.argmax(logits))
    shares = np.exp(log_softmax(logits / np.float32(temperature)))
    if top_p < 1:
        order = np.argsort(shares)[::-1]
        inside = int(np.searchsorted(np.cumsum(shares[order]), top_p)) + 1
        shares[order[inside:]] = 0
    edges: NDArray[np.float64] = np.cumsum(shares)
    place = chance.random() * float(edges[-1])
    return min(int(np.searchsorted(edges, place, side="right")), edges.size - 1)


def log_softmax(logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the log-probabilities of logits."""
    shifted = logits.astype(np.float64) - float(logits.max())
    return shifted - math.log(float(np.exp(shifted).sum()))


def _split(shape: str, marks: Mapping[str, str]) -> Iterator[str]:
    """Cut a filled-in template at its marks, which are given too."""
    rest = shape
    while True:
        start = rest.find("\ue000")
        end = rest.find("\ue001", start) + 1
        if start < 0 or end == 0:
            yield rest
            return
        yield rest[:start]
        mark = rest[start:end]
        yield mark if mark in marks else ""
        rest = rest[end:]
