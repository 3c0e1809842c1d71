"""The retrieval index: how long it is built and asked, with this project's pages, 10,000 and 100,000 passages.

Beside it, in the same run and on the same terms: bm25s and rank_bm25 where they are installed (what a user would pick
instead), and a bare numpy dot of the vectors (the limit). The large corpora are drawn: words after Zipf, random
vectors; their embedding is not timed, only what a question costs. Also how well the pages' own questions are answered,
by words, meaning and both, with other stems and sizes.

    pip install bm25s rank_bm25 snowballstemmer     # optional
    python benchmarks/rag_index.py [--json FILE]
"""

import argparse
import json
import os
import statistics
import time
from importlib.util import find_spec
from pathlib import Path

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as a worker beside others; two threads wait for each other

import numpy as np

from roadworthy.runtimes.rag import bm25, words
from roadworthy.runtimes.rag.chunk import Passage
from roadworthy.runtimes.rag.embed import packaged_embedder
from roadworthy.runtimes.rag.index import Index, Parameters, build, load
from roadworthy.runtimes.rag.index_file import Contents
from roadworthy.stats.ranking import hit_rate, reciprocal_rank

ROOT = Path(__file__).parents[1]
SIZES = (10_000, 100_000)
WIDTH, VOCABULARY, QUESTIONS = 384, 30_000, 200
AIMS_MS = {"BM25 at 10,000": 0.3, "embedding of a question": 12.0}


def pages():
    """Return the project's documentation by path."""
    root = ROOT / "docs"
    return {path.relative_to(root).as_posix(): path.read_text() for path in sorted(root.rglob("*.md"))}


def asked():
    """Return the questions that people wrote about these pages."""
    return json.loads((ROOT / "tests/unit/runtimes/rag/questions.json").read_text())


def median_ms(job, inputs):
    """Return the median wall time of the job in ms."""
    taken = []
    for one in inputs:
        start = time.perf_counter()
        job(one)
        taken.append((time.perf_counter() - start) * 1e3)
    return statistics.median(taken)


def timed(job):
    """Return what the job returns, and its seconds."""
    start = time.perf_counter()
    return job(), time.perf_counter() - start


class Given:
    """Returns drawn vectors, so that a large index can be asked without embedding its passages."""

    identity = "sha256:" + "0" * 64

    def __init__(self, vectors):
        self._vectors = vectors
        self._at = 0

    def embed(self, texts):
        self._at = (self._at + len(texts)) % len(self._vectors)
        return self._vectors[[(self._at + n) % len(self._vectors) for n in range(len(texts))]]


def drawn(generator, size):
    """Return texts of 40 to 180 words after Zipf, and questions of 8."""
    share = 1 / np.arange(1, VOCABULARY + 1)
    names = np.array([f"w{at}q" for at in range(VOCABULARY)])
    lengths = [*generator.integers(40, 180, size), *[8] * QUESTIONS]
    flat = names[generator.choice(VOCABULARY, sum(lengths), p=share / share.sum())]
    texts = [part.tolist() for part in np.split(flat, np.cumsum(lengths)[:-1])]
    return texts[:size], texts[size:]


def large(generator, size):
    """Measure one drawn size: ours, the rivals, the limit."""
    texts, questions = drawn(generator, size)
    postings, seconds = timed(lambda: bm25.post(texts))
    ours = bm25.Bm25(postings)
    rows = {"BM25 build s": seconds, "BM25 query ms": median_ms(ours.scores, questions)}
    vectors = generator.normal(size=(size, WIDTH)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows["numpy dot query ms (limit)"] = median_ms(lambda at: vectors @ vectors[at], range(QUESTIONS))
    passages = tuple(Passage(f"p{at}.md#start-1", f"p{at}.md", (), "") for at in range(size))
    contents = Contents(
        parameters=Parameters(),
        passages=passages,
        postings=postings,
        vectors=vectors.astype(np.float16),
        embedder=Given.identity,
    )
    index = Index(contents, Given(vectors[:QUESTIONS]))
    rows["hybrid query ms (without embedding the question)"] = median_ms(
        index.search, [" ".join(one) for one in questions]
    )
    return rows | rivals(texts, questions, ours)


def rivals(texts, questions, ours):
    """Measure what a user would pick instead, and that ours gives the same scores."""
    rows = {}
    if find_spec("bm25s"):
        import bm25s

        theirs = bm25s.BM25(k1=bm25.K1, b=bm25.B, method="lucene")
        rows["bm25s build s"] = timed(lambda: theirs.index(texts, show_progress=False))[1]
        rows["bm25s query ms"] = median_ms(theirs.get_scores, questions)
        apart = max(float(np.abs(theirs.get_scores(one) - ours.scores(one)).max()) for one in questions)
        rows["largest difference of a score to bm25s"] = apart
    if find_spec("rank_bm25") and len(texts) <= SIZES[0]:
        import rank_bm25

        slow, rows["rank_bm25 build s"] = timed(lambda: rank_bm25.BM25Okapi(texts))
        rows["rank_bm25 query ms"] = median_ms(slow.get_scores, questions[:20])
    return rows


def own(embedder):
    """Measure the project's own pages: build, load, one question."""
    files, rows = pages(), {}
    texts = [one["question"] for kind in ("seen", "unseen") for one in asked()[f"{kind}_answerable"]]
    for name, given in (("words", Parameters(embeddings=False)), ("hybrid", Parameters())):
        content, rows[f"{name} build s"] = timed(lambda given=given: build(files, given, embedder=embedder))
        index, rows[f"{name} load s"] = timed(lambda content=content: load(content, embedder=embedder))
        rows[f"{name} bytes"] = len(content)
        rows[f"{name} query ms"] = median_ms(index.search, texts)
    rows["passages"] = len(index.passages)
    rows["embedding of a question ms"] = median_ms(lambda text: embedder.embed([text]), texts)
    return rows


def ranked(index, questions, k=5):
    """Return which of the first k passages are of a right page, and the share abstained from."""
    gains, abstained = np.zeros((len(questions), k)), 0
    for row, one in enumerate(questions):
        answer = index.retrieve(one["question"], k)
        abstained += answer.abstains
        for place, hit in enumerate(answer.hits):
            gains[row, place] = hit.source in one["pages"]
    return gains, abstained / len(questions)


def quality(embedder):
    """Tell how well questions find their page and which are abstained from: seen while tuning, and unseen."""
    rows = {}
    files, questions = pages(), asked()
    for name, given in (
        ("words", Parameters(embeddings=False)),
        ("meaning", Parameters(words_weight=0)),
        ("hybrid", Parameters()),
        ("hybrid, 40 words a passage", Parameters(size=40)),
        ("hybrid, 120 words a passage", Parameters(size=120)),
    ):
        index = load(build(files, given, embedder=embedder), embedder=embedder)
        for kind in ("seen", "unseen"):
            gains, wrongly = ranked(index, questions[f"{kind}_answerable"])
            outside = questions[f"{kind}_outside"]
            rows[f"{name}, {kind}"] = {
                "recall@1": shown(hit_rate(gains, 1)),
                "recall@5": shown(hit_rate(gains, 5)),
                "MRR": shown(reciprocal_rank(gains)),
                "abstained, answerable": wrongly,
                "abstained, outside": sum(index.retrieve(text).abstains for text in outside) / len(outside),
            }
        rows[f"{name}, rule"] = (
            f"hidden {index.rule.hidden_abstained} of {index.rule.hidden}, stated {index.rule.at_most}"
        )
    return rows


def stems():
    """Tell what stemming is worth, by words only, over both kinds of questions."""
    ways = {"none": lambda word: word, "ours": words.stem}
    if find_spec("snowballstemmer"):
        import snowballstemmer

        ways["Snowball"] = snowballstemmer.stemmer("english").stemWord
    questions = [one for kind in ("seen", "unseen") for one in asked()[f"{kind}_answerable"]]
    rows, own_way = {}, words.stem
    for name, way in ways.items():
        words.stem = way
        for size in (60, 80, 120):
            index = load(build(pages(), Parameters(embeddings=False, size=size)))
            gains, _ = ranked(index, questions)
            rows[f"stem {name}, {size} words"] = (
                f"recall@1 {hit_rate(gains, 1).estimate:.3f} MRR {reciprocal_rank(gains).estimate:.3f}"
            )
    words.stem = own_way
    return rows


def shown(interval):
    """Return an interval as text."""
    return f"{interval.estimate:.3f} [{interval.low:.3f}, {interval.high:.3f}] n={interval.n}"


class Remembered:
    """Embeds each text once in a run of several builds."""

    def __init__(self, embedder):
        self._embedder, self.identity, self._known = embedder, embedder.identity, {}

    def embed(self, texts):
        new = [text for text in texts if text not in self._known]
        self._known |= dict(zip(new, self._embedder.embed(new), strict=True))
        return np.stack([self._known[text] for text in texts])


def main():
    """Run, print, and tell whether the aims are met."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    generator, embedder = np.random.default_rng(18), packaged_embedder()
    found = {"own pages": own(embedder)} | {f"{size:,} passages": large(generator, size) for size in SIZES}
    found |= {"quality": quality(Remembered(embedder)), "stems": stems()}
    print(json.dumps(found, indent=2))
    measured = {
        "BM25 at 10,000": found["10,000 passages"]["BM25 query ms"],
        "embedding of a question": found["own pages"]["embedding of a question ms"],
    }
    for name, aim in AIMS_MS.items():
        print(f"{name}: {measured[name]:.3f} ms, aim {aim} ms: {'met' if measured[name] <= aim else 'missed'}")
    if given.json:
        given.json.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
