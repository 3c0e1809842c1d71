"""A small corpus, the project's own pages, and an embedder without a model, for the tests of this room."""

import json
from functools import cache
from pathlib import Path

import numpy as np

from roadworthy.domain.digest import digest
from roadworthy.runtimes.rag.words import terms

HERE = Path(__file__).parent
DOCS = HERE.parent / "docs"

CORPUS = {
    "keys.md": "# Keys\n\nA key opens a system for its principal.\n\n## Rotate\n\nMake the new key, let callers change "
    "over, then revoke the old one.",
    "drills.md": "# Drills\n\nA drill injects a fault and measures how soon it was noticed. Six faults exist.",
    "baseline.md": "# Baseline\n\nThe baseline is a query in SQL. It answers while the model is unwell.",
}


@cache
def own_pages():
    """Return the project's documentation by path."""
    return {path.relative_to(DOCS).as_posix(): path.read_text() for path in sorted(DOCS.rglob("*.md"))}


@cache
def questions():
    """Return questions that people wrote about these pages, and about other things."""
    return json.loads((HERE / "unit/runtimes/rag/questions.json").read_text())


class HashedWords:
    """Embeds a text as the sum of a fixed direction per term: nearness is shared words, and nothing is loaded."""

    def __init__(self, name="hashed words", width=16):
        self.identity = digest(name)
        self._width = width

    def embed(self, texts):
        """Return the vectors, shape (texts, width)."""
        return np.stack([self._vector(text) for text in texts])

    def _vector(self, text):
        total = np.full(self._width, 1e-3)
        for term in terms(text):
            total += np.random.default_rng(list(term.encode())).normal(size=self._width)
        return (total / np.linalg.norm(total)).astype(np.float32)
