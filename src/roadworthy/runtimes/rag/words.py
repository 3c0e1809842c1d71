"""How text is read in this room: words, stems, sentences, and Markdown without its marks."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_GRAMMAR: Final = (
    "a about am an and any are as at be been but by can could did do does for from had has have how i if in into is it "
    "its me my of on or our shall should so than that the their them then there these they this those to up us was we "
    "were what when where which who whom whose why will with would you your"
)
STOP_WORDS: Final = frozenset(_GRAMMAR.split())
"""Words of grammar. In a small corpus of statements a question's own ("how", "I") are rare and would weigh most."""

_WORD: Final = re.compile(r"[^\W_]+")
_FENCE: Final = re.compile(r"^[ \t]*(```|~~~).*$", re.MULTILINE)
_LINK: Final = re.compile(r"!?\[([^\[\]]*)\]\([^()\s]*(?:\s+\"[^\"]*\")?\)")
_TAG: Final = re.compile(r"</?[a-zA-Z][^<>]*>")
_RULE_MARKS: Final = frozenset("|-: \t")
_HEADING: Final = re.compile(r"^#{1,6}\s+", re.MULTILINE)
_ITEM: Final = re.compile(r"^\s*(?:[-*+]|\d+[.)])\s+")
_SENTENCE_END: Final = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[^\sa-z])")
_SHORT: Final = 3
_ENDINGS: Final = (("ing", 6), ("ed", 5), ("ion", 6))


def terms(text: str) -> list[str]:
    """Return a text's words as the index knows them: lower case, unicode, stemmed, without words of grammar."""
    return [stem(word) for word in words(text) if word not in STOP_WORDS]


def words(text: str) -> list[str]:
    """Return a text's words in lower case; letters and digits of any script, parted by anything else."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def stem(word: str) -> str:
    """Take an English word back towards its root, so that "released" and "releases" find "release".

    Only the endings s, ing, ed, ion and e: on this project's own pages that ranked as well as Snowball's English rules,
    and both better than no stemming (benchmarks/rag_index.py).

    Source: plurals after Harman 1991, "How effective is suffixing?" (the S stemmer).
    """
    root = _singular(word)
    for ending, least in _ENDINGS:
        if root.endswith(ending) and len(root) >= least:
            root = root[: -len(ending)]
            if len(root) > _SHORT and root[-1] == root[-2] and root[-1] not in "lsz":
                root = root[:-1]  # running, planned
            break
    return root[:-1] if len(root) > _SHORT and root.endswith("e") else root


def _singular(word: str) -> str:
    if len(word) <= _SHORT or not word.endswith("s") or word.endswith(("us", "ss")):
        return word
    if word.endswith("ies"):
        return word if word.endswith(("eies", "aies")) else word[:-3] + "y"
    return word if word.endswith(("aes", "ees", "oes")) else word[:-1]


def plain(markdown: str) -> str:
    """Return Markdown as a reader sees it: no link targets, tags, table rules, heading and emphasis marks.

    Rows of a table become lines whose cells are parted by commas, so that a sentence never crosses them.
    """
    text = _LINK.sub(r"\1", _TAG.sub("", _without_comments(_FENCE.sub("", markdown))))
    rows = ("" if _is_rule(line) else line for line in _HEADING.sub("", text).split("\n"))
    lines = [_cells(line) if line.lstrip().startswith("|") else line for line in rows]
    return "\n".join(lines).replace("`", "").replace("**", "").strip()


def sentences(markdown: str) -> list[str]:
    """Return the sentences of a passage in their order; a table's row and a list's item each end one."""
    found: list[str] = []
    for block in _blocks(plain(markdown)):
        found += [part.strip() for part in _SENTENCE_END.split(block) if _WORD.search(part)]
    return found


def _without_comments(text: str) -> str:
    """Leave out HTML comments in one pass, also where a model writes ten thousand that never end."""
    first, *others = text.split("<!--")
    return first + "".join(part.partition("-->")[2] if "-->" in part else part for part in others)


def _is_rule(line: str) -> bool:
    return "--" in line and set(line) <= _RULE_MARKS


def _cells(row: str) -> str:
    """Put a row between empty lines, so that it stays apart from its neighbours."""
    return "\n" + ", ".join(cell.strip() for cell in row.strip().strip("|").split("|") if cell.strip()) + "\n"


def _blocks(text: str) -> list[str]:
    """Join the lines of a paragraph or of a list's item."""
    blocks: list[str] = []
    running = False
    for line in text.split("\n"):
        is_item = _ITEM.match(line) is not None
        if running and line.strip() and not is_item:
            blocks[-1] += " " + line.strip()
        elif line.strip():
            blocks.append(_ITEM.sub("", line).strip())
        running = bool(line.strip())
    return blocks
