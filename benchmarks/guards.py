"""All guards together: a whole answer of 2,000 characters, a stream of it, a question, and masking alone.

Wall time of one thread. `clean` answers are the repository's own pages; `dirty` ones hold a key, a mail address, a
number and a foreign link each.

    python benchmarks/guards.py [--json FILE]
"""

import argparse
import json
import statistics
import time
from pathlib import Path

from roadworthy import plugins
from roadworthy.guards.chain import GuardChain
from roadworthy.guards.masking import mask
from roadworthy.ports.guard import GuardContext

SIZE, PIECE, ROUNDS = 2_000, 4, 300
NAMES = ("limits", "secrets", "pii", "egress", "canary")
DIRT = " ask ann@example.com or +49 30 901820, use ghp_Ab3dE5gH7jK9mN1pQ3sT5vX7zB9dF1hJ3kL5 at https://evil.com/x?y=1 "
AIM_P95_MS = 15.0


def answers():
    """Return clean answers of 2,000 characters from the pages, and the same ones with dirt in the middle."""
    text = "\n".join(page.read_text() for page in sorted((Path(__file__).parents[1] / "docs").rglob("*.md")))
    clean = [text[at : at + SIZE] for at in range(0, len(text) - SIZE, SIZE)]
    return clean, [one[: SIZE // 2] + DIRT + one[SIZE // 2 : SIZE - len(DIRT)] for one in clean]


def times(job, inputs, rounds=ROUNDS):
    """Return the median and p95 of the job's time in µs, over the inputs in turn."""
    taken = []
    for number in range(rounds):
        given = inputs[number % len(inputs)]
        start = time.perf_counter()
        job(given)
        taken.append((time.perf_counter() - start) * 1e6)
    taken.sort()
    return {"median_us": round(statistics.median(taken), 1), "p95_us": round(taken[int(0.95 * len(taken))], 1)}


def per_piece(guards, context, texts):
    """Return the cost of a piece, and how many characters a stream holds back at the median and at most."""
    taken, held = [], []
    for text in texts[:20]:
        stream, out = guards.stream(context), 0
        for at in range(0, len(text), PIECE):
            start = time.perf_counter()
            out += len(stream.feed(text[at : at + PIECE]))
            taken.append((time.perf_counter() - start) * 1e6)
            held.append(at + PIECE - out)
    taken.sort()
    return {
        "median_us": round(statistics.median(taken), 1),
        "p95_us": round(taken[int(0.95 * len(taken))], 1),
        "held_median": statistics.median(held),
        "held_most": max(held),
    }


def measure():
    """Run every part once and return the figures."""
    clean, dirty = answers()
    prompt = "Answer questions about this project from its documentation, in plain words. " * 8
    hosts = ("github.com", "docs.rs", "127.0.0.1:8080", "127.0.0.1:8081")
    context = GuardContext(canary="RWcanary7f3a9c2e51", system_prompt=prompt, allowed_hosts=hosts)
    single = {name: plugins.load("guards", name) for name in NAMES}
    guards = GuardChain(list(single.values()))
    for text in clean[:10]:
        guards.answer(text, context)
    schema = GuardContext(output_schema={"type": "object", "required": ["text"]})
    documents = [json.dumps({"text": text}) for text in clean]
    return {
        "answer, clean": times(lambda text: guards.answer(text, context), clean),
        "answer, dirty": times(lambda text: guards.answer(text, context), dirty),
        "question, clean": times(
            lambda text: guards.question({"messages": [{"role": "user", "content": text}]}, context), clean
        ),
        "mask, clean": times(mask, clean),
        "mask, dirty": times(mask, dirty),
        **{
            f"{name}, clean": times(lambda text, one=one: one.answer(text, context), clean)
            for name, one in single.items()
        },
        "output_schema, valid": times(
            lambda text: plugins.load("guards", "output_schema").answer(text, schema), documents
        ),
        "stream, a piece": per_piece(guards, context, clean),
        "stream, a piece, dirty": per_piece(guards, context, dirty),
    }


def main():
    """Print the figures; say whether the aim is met."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    found = measure()
    for name, figures in found.items():
        print(f"{name:26}", "  ".join(f"{key} {value}" for key, value in figures.items()))
    worst = max(found["answer, clean"]["p95_us"], found["answer, dirty"]["p95_us"]) / 1e3
    print(f"all guards on {SIZE:,} characters: p95 {worst:.2f} ms, aim {AIM_P95_MS:.0f} ms")
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=2))
    return worst > AIM_P95_MS


if __name__ == "__main__":
    raise SystemExit(main())
