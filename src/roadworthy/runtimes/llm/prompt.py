"""Prompt templates: a text file whose sections `# system`, `# user`, `# assistant` become chat messages.

Each section is a Jinja2 template in a sandbox: no files, no macros, no randomness, bounded loops and size. Sections are
cut before anything is filled in, so that what a user writes is never read as a template or as a section of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final, cast

from jinja2 import StrictUndefined, Template, TemplateError, TemplateSyntaxError, meta, nodes
from jinja2.exceptions import SecurityError
from jinja2.sandbox import ImmutableSandboxedEnvironment

from roadworthy.errors import InputError, Violation

MAX_TEMPLATE_CHARACTERS: Final = 100_000
MAX_PROMPT_CHARACTERS: Final = 1_000_000
MAX_RANGE_ITEMS: Final = 10_000
MAX_NESTED_LOOPS: Final = 3
PASSAGES: Final = "passages"
TODAY: Final = "today"
GIVEN: Final = (PASSAGES, TODAY)
"""Variables every prompt may use: `passages` (a list of {n, id, source, text}) and `today` (an ISO date)."""

_ONE_VARIABLE: Final = re.compile(r"\s*\{\{\s*([A-Za-z_]\w*)\s*\}\}\s*")
_SECTION: Final = re.compile(r"# (system|user|assistant)[ \t]*")
_FILTERS: Final = (
    "abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "groupby", "int", "items", "join",
    "last", "length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "round",
    "select", "selectattr", "sort", "string", "sum", "title", "tojson", "trim", "truncate", "unique", "upper",
    "wordcount",
)  # fmt: skip
_GROWING: Final = frozenset(("center", "expandtabs", "format", "format_map", "ljust", "rjust", "zfill", "translate"))
_REFUSED_NODES: Final = (
    nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block, nodes.Macro, nodes.CallBlock,
)  # fmt: skip


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja2's immutable sandbox, without what makes large texts out of small ones."""

    intercepted_binops = frozenset(("*", "**", "%"))

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """Let numbers be multiplied, texts and lists not."""
        if operator == "**" or not (isinstance(left, (int, float)) and isinstance(right, (int, float))):
            raise SecurityError(f"{operator} works on numbers only in a prompt")
        return super().call_binop(context, operator, left, right)

    def wrap_str_format(self, value: Any) -> None:
        """Give `format` no safe twin, so that it is refused below like the other methods that pad."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """Refuse the methods of texts that pad or format."""
        return not (isinstance(obj, str) and attr in _GROWING) and super().is_safe_attribute(obj, attr, value)


def _environment() -> _Sandbox:
    made = _Sandbox(undefined=StrictUndefined, autoescape=False, trim_blocks=True, lstrip_blocks=True)
    every = cast("dict[str, Any]", made.filters)  # pyright: ignore[reportUnknownMemberType]
    made.filters = {name: every[name] for name in _FILTERS}
    made.globals = {}
    return made


_ENVIRONMENT: Final = _environment()


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One message of a prompt. `line` is where its text begins in the file; `names` are the variables it reads.

    Two kinds need no template at all, which spares most of the time: `fixed` is the text of one that reads nothing,
    `only` the variable of one that is nothing else.
    """

    role: str
    line: int
    names: frozenset[str]
    compiled: Template
    fixed: str | None = None
    only: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptTemplate:
    """A compiled prompt: its sections in order, the last of which is the user's."""

    sections: tuple[Section, ...]
    file: str = ""


def compile_prompt(text: str, inputs: Collection[str] | None = None, *, file: str = "") -> PromptTemplate:
    """Compile a prompt once, so that rendering it costs microseconds.

    Args:
        text: the file's text.
        inputs: the declared inputs; a variable that is neither one of them nor given is refused. None takes any.
        file: the name that errors carry.

    Raises:
        InputError: the text is no prompt, naming each line that is wrong.
    """
    if len(text) > MAX_TEMPLATE_CHARACTERS:
        raise InputError(f"the prompt {file} has more than {MAX_TEMPLATE_CHARACTERS} characters")
    found = [_section(role, line, body, file) for role, line, body in _cut(text, file)]
    sections = tuple(section for section, _ in found)
    if sections[-1].role != "user":
        raise _wrong(file, sections[-1].line, "a prompt ends with the section '# user'")
    if inputs is not None:
        _check_names(found, {*inputs, *GIVEN}, file)
    return PromptTemplate(sections=sections, file=file)


def variables(template: PromptTemplate) -> frozenset[str]:
    """Return the names of the variables a prompt reads."""
    return frozenset[str]().union(*(section.names for section in template.sections))


def render(
    template: PromptTemplate, values: Mapping[str, Any], history: Sequence[Mapping[str, Any]] = ()
) -> list[dict[str, Any]]:
    """Fill a prompt in and return its chat messages. `history` goes before the last section, which is the user's.

    Raises:
        InputError: a variable is missing or of a wrong kind, or the prompt grows beyond its bounds; with the line.
    """
    given = {**values, "range": _bounded_range()}
    left = MAX_PROMPT_CHARACTERS
    messages: list[dict[str, Any]] = []
    for number, section in enumerate(template.sections, 1):
        text = _fill(section, given, left, template.file)
        left -= len(text)
        if number == len(template.sections):
            messages.extend(dict(turn) for turn in history)
            if not text:
                raise _wrong(template.file, section.line, "the user's message came out empty")
        if text:
            messages.append({"role": section.role, "content": text})
    return messages


def _cut(text: str, file: str) -> Iterator[tuple[str, int, str]]:
    role, first, lines = "", 1, list[str]()
    for number, line in enumerate(text.splitlines(), 1):
        match = _SECTION.fullmatch(line)
        if match is None:
            if not role and line.strip():
                raise _wrong(file, number, "a prompt begins with '# system' or '# user' on a line of its own")
            lines.append(line)
            continue
        if role:
            yield role, first, "\n".join(lines)
        role, first, lines = match[1], number + 1, []
    if not role:
        raise _wrong(file, 1, "a prompt has at least the section '# user'")
    yield role, first, "\n".join(lines)


def _section(role: str, line: int, body: str, file: str) -> tuple[Section, nodes.Template]:
    try:
        tree = _ENVIRONMENT.parse(body)
        _check_tree(tree, line, file)
        compiled = _ENVIRONMENT.from_string(body)
    except TemplateSyntaxError as wrong:
        raise _wrong(file, line + wrong.lineno - 1, wrong.message or "this is no Jinja2") from None
    names = frozenset(meta.find_undeclared_variables(tree)) - {"range"}
    fixed = body.strip() if not names and "{" not in body else None
    alone = _ONE_VARIABLE.fullmatch(body)
    only = alone[1] if alone and names == frozenset((str(alone[1]),)) else ""
    return Section(role=role, line=line, names=names, compiled=compiled, fixed=fixed, only=only), tree


def _check_tree(tree: nodes.Template, line: int, file: str) -> None:
    for node in tree.find_all(_REFUSED_NODES):
        raise _wrong(file, line + node.lineno - 1, f"{type(node).__name__.lower()} is not for prompts")
    for loop in tree.find_all(nodes.For):
        if loop.recursive or _depth(loop) > MAX_NESTED_LOOPS:
            raise _wrong(file, line + loop.lineno - 1, f"loops nest at most {MAX_NESTED_LOOPS} deep, without recursion")


def _depth(loop: nodes.Node) -> int:
    return 1 + max((_depth(inner) for inner in loop.find_all(nodes.For)), default=0)


def _check_names(found: Sequence[tuple[Section, nodes.Template]], known: Collection[str], file: str) -> None:
    for section, tree in found:
        for name in tree.find_all(nodes.Name):
            if name.name in section.names and name.name not in known:
                near = get_close_matches(name.name, sorted(known), n=1)
                told = f"no input called '{name.name}'" + (f"; did you mean '{near[0]}'?" if near else "")
                raise _wrong(file, section.line + name.lineno - 1, told)


def _fill(section: Section, values: Mapping[str, Any], left: int, file: str) -> str:
    known = values.get(section.only) if section.only else section.fixed
    if isinstance(known, str) and len(known) <= left:
        return known.strip()
    pieces: list[str] = []
    try:
        for piece in section.compiled.generate(values):
            left -= len(piece)
            if left < 0:
                raise _wrong(file, section.line, f"the prompt grows beyond {MAX_PROMPT_CHARACTERS} characters")
            pieces.append(piece)
    except (TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as wrong:
        # A TypeError's own words may repeat a value that a user gave; Jinja2's name variables only.
        told = wrong.message if isinstance(wrong, TemplateError) and wrong.message else type(wrong).__name__
        raise _wrong(file, section.line + _line_of(wrong) - 1, told) from None
    return "".join(pieces).strip()


def _line_of(wrong: BaseException) -> int:
    """Find the template's line in a traceback, which Jinja2 has rewritten to tell it."""
    line, trace = 1, wrong.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line


def _bounded_range() -> Callable[..., range]:
    left = MAX_RANGE_ITEMS

    def bounded(*bounds: int) -> range:
        nonlocal left
        items = range(*bounds)
        left -= len(items)
        if left < 0:
            raise SecurityError(f"a prompt counts to {MAX_RANGE_ITEMS} at most")
        return items

    return bounded


def _wrong(file: str, line: int, message: str) -> InputError:
    place = f"{file or 'prompt'}, line {line}"
    violation = Violation(field=file or "prompt", rule="template", message=message, row=line)
    return InputError(f"{place}: {message}", (violation,))
