"""Make a running project of a prompt: manifest, prompt, baseline, first cases, home and first key."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from roadworthy.errors import InputError
from roadworthy.lifecycle.build_llm import read_text
from roadworthy.lifecycle.founding import (
    InitResult,
    check_owner,
    commit_first,
    first_key,
    here,
    kept_files,
    refuse_a_project,
    system_name,
    write_texts,
)
from roadworthy.ports.plane import Plane
from roadworthy.runtimes.llm.prompt import compile_prompt, variables

SUFFIXES: Final = (".md", ".txt", ".prompt")
_KNOWN: Final = frozenset(("question", "passages", "today"))
_SECTION: Final = re.compile(r"^# (system|user|assistant)[ \t]*$", re.MULTILINE)
_HOSTED: Final = {
    "openai": ("https://api.openai.com/v1", "env:OPENAI_API_KEY"),
    "anthropic": ("https://api.anthropic.com", "env:ANTHROPIC_API_KEY"),
}
_LOCAL_URL: Final = re.compile(r"(https?://[^\s#]+)#(\S+)")
_FORMS: Final = (
    "such as --model openai:gpt-4o-mini, anthropic:claude-3-5-haiku, http://127.0.0.1:8000/v1#my-model, or small.gguf"
)
FEW: Final = 20
"""With fewer cases the gates can seldom be sure."""


@dataclass(frozen=True, slots=True)
class _Model:
    """A pin as it stands in the manifest, and what people must know of it."""

    pin: str
    note: str = ""


def init_llm(
    source: Path,
    model: str,
    owner: str,
    *,
    folder: Path,
    open_plane: Callable[[], Plane],
    corpus: str = "",
    name: str = "",
    url: str = "http://127.0.0.1:8080",
) -> InitResult:
    """Write a project of kind llm into a folder and make its first key. Nothing is written before all of it fits.

    Args:
        source: the prompt, with or without the sections `# system` and `# user`; copied when it lies elsewhere.
        model: `openai:NAME`, `anthropic:NAME`, `URL#NAME` of any OpenAI-compatible server, or a `.gguf` file.
        owner: where the owner is reached.
        folder: the project; files in it are never overwritten.
        open_plane: opens the home, creating it where there is none.
        corpus: files that answers rest on, such as `docs/**/*.md`; none if empty.
        name: the system's name; the folder's if empty.
        url: where the data plane will answer.

    Raises:
        InputError: prompt, model, corpus or address are odd, or a file is in the way.
    """
    folder = folder.resolve()
    refuse_a_project(folder)
    check_owner(owner)
    system = system_name(name, folder)
    pin = _pin(model, folder)
    prompt = _prompt(source, has_passages=bool(corpus))
    found = _found(folder, corpus)
    texts = {
        "system.yaml": _manifest(system, owner, pin.pin, corpus),
        "prompt.md": prompt,
        "suites/first.yaml": _suite(found),
        **({} if corpus else {"baseline.md": f"I cannot answer this. Please ask {owner}.\n"}),
    }
    kept = kept_files(folder, tuple(texts))
    if "prompt.md" in kept and source.resolve() != folder / "prompt.md":
        raise InputError(
            f"prompt.md exists already in {folder.name}/ and nothing is overwritten",
            hint="choose an empty folder, or move it away",
        )
    # A prompt that is in its place already is written again only where it lacked its sections.
    texts = {name: text for name, text in texts.items() if name not in kept or name == "prompt.md"}
    plane = open_plane()
    written = write_texts(folder, texts, [])
    commit, git_note = commit_first(folder, [*written, *here(folder, kept)])
    key = first_key(plane, owner, system)
    notes = [
        *([pin.note] if pin.note else []),
        f"suites/first.yaml has a few cases to begin with: write your own; below {FEW} a gate can seldom be sure",
        *([git_note] if git_note else []),
    ]
    return InitResult(
        name=system, folder=folder, files=tuple(written), key=key, commit=commit, call=_call(url, system, key),
        notes=tuple(notes),
    )  # fmt: skip


def _pin(model: str, folder: Path) -> _Model:
    """Read `--model` into a pin.

    Raises:
        InputError: it is none of the forms, or there is no such file.
    """
    provider, _, rest = model.partition(":")
    if provider in _HOSTED and rest:
        url, key = _HOSTED[provider]
        return _Model(f"{{provider: {provider}, url: {url}, model: {_text(rest)}, key: {key}}}", f"the key is {key}")
    served = _LOCAL_URL.fullmatch(model)
    if served:
        return _Model(f"{{provider: openai, url: {_text(served[1].rstrip('/'))}, model: {_text(served[2])}}}")
    if model.endswith(".gguf"):
        if not model.startswith("package:") and not (folder / model).is_file():
            raise InputError(f"--model {model}: there is no such file in the project", hint=_FORMS)
        return _Model(f"{{provider: gguf, file: {_text(model)}}}")
    raise InputError(
        f"--model '{model[:80]}' is no model that can be pinned" if model else "--model is missing", hint=_FORMS
    )


def _prompt(source: Path, *, has_passages: bool) -> str:
    """Read the prototype, and give it the sections that a prompt has.

    Raises:
        InputError: it cannot be read, or asks for what a chat does not give.
    """
    if not source.is_file():
        raise InputError(f"--from {source}: it {'is a folder' if source.is_dir() else 'does not exist'}")
    text = read_text(source, source.name)
    if not _SECTION.search(text):
        passages = "{% for p in passages %}[{{ p.n }}] {{ p.text }}\n{% endfor %}\n" if has_passages else ""
        text = f"# system\n{text.strip()}\n\n# user\n{passages}{{{{ question }}}}\n"
    unknown = sorted(variables(compile_prompt(text, file=source.name)) - _KNOWN)
    if unknown:
        raise InputError(
            f"the prompt asks for {', '.join(unknown)}, which a chat does not give",
            hint="name the user's text {{ question }}; further inputs are declared in an interface file of task: text",
        )
    return text


def _found(folder: Path, corpus: str) -> list[str]:
    if not corpus:
        return []
    if Path(corpus).is_absolute() or ".." in Path(corpus).parts:
        raise InputError(f"--corpus {corpus}: a path stays inside the project's folder")
    found = sorted(path.relative_to(folder).as_posix() for path in folder.glob(corpus) if path.is_file())
    if not found:
        raise InputError(f"--corpus {corpus} names no file of {folder.name}/", hint='such as --corpus "docs/**/*.md"')
    return found


def _manifest(system: str, owner: str, pin: str, corpus: str) -> str:
    rests = f"index: {_text(corpus)}\nbaseline: passage\n" if corpus else "baseline: baseline.md\n"
    return f"""roadworthy: 1
system: {system}
kind: llm
owner: {_text(owner)}
decision: {{what: "act on the answer; say here what that is", tier: low}}
use: main                        # the one line that swaps the model
pins:
  main: {pin}
prompt: prompt.md
{rests}"""


def _suite(found: Sequence[str]) -> str:
    """Write the first cases: one that should be answered, and where there is a corpus one that should not."""
    rests = f"    passages: [{_text(found[0])}]\n" if found else ""
    outside = "  - {id: outside, question: What will the weather be tomorrow?, answerable: false}\n" if found else ""
    topic = f"What does {found[0]} say?" if found else "What can you do for me?"
    return f"""# What must be true of the answers. Write the questions your users ask, and what a right answer holds.
all:
  checks: {{max_words: 200}}
cases:
  - id: first
    question: {json.dumps(topic)}
    checks: {{lacks: "as an AI"}}
{rests}{outside}"""


def _call(url: str, system: str, key: str) -> str:
    body = json.dumps({"model": system, "messages": [{"role": "user", "content": "What can you do for me?"}]})
    return (
        f"curl -s {url}/v1/chat/completions -H 'Authorization: Bearer {key}' "
        f"-H 'content-type: application/json' -d {shlex.quote(body)}"
    )


def _text(text: str) -> str:
    """Write a text so that YAML reads that text, also inside braces."""
    return text if re.fullmatch(r"[A-Za-z][A-Za-z0-9_./@-]*", text) else json.dumps(text, ensure_ascii=False)
