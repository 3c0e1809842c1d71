"""Files become passages with ids that stay."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from roadworthy.errors import InputError
from roadworthy.runtimes.rag.chunk import chunk
from roadworthy.runtimes.rag.words import plain, sentences, stem, terms, words

PAGE = """---
title: left out
---
Before any heading.

# Keys

A key opens a system.

```sh
# this is no heading

roadworthy keys list
```

## How to rotate

Make a new key.
"""

BLOCKS = st.lists(
    st.sampled_from(["# H", "## i", "w " * 90, "| a | b |\n|---|---|\n| c | d |", "```\n#x", "word. " * 40, "- it"])
)


def test_a_passage_knows_its_file_its_headings_and_its_place():
    """A reader of a citation finds the text."""
    found = chunk({"a/keys.md": PAGE})
    assert [one.id for one in found] == ["a/keys.md#start-1", "a/keys.md#keys-1", "a/keys.md#how-to-rotate-1"]
    assert [one.trail for one in found] == [(), ("Keys",), ("Keys", "How to rotate")]
    assert all(one.source == "a/keys.md" for one in found)
    assert "title" not in found[0].text


def test_a_hash_in_code_is_no_heading():
    """Comments of a shell script do not tear it apart."""
    assert "# this is no heading\n\nroadworthy keys list" in chunk({"keys.md": PAGE})[1].text


def test_ids_of_other_sections_and_files_stay_when_one_grows():
    """A stored citation still names the same text after an edit elsewhere."""
    before = {one.id: one for one in chunk({"b.md": PAGE})}
    grown = PAGE.replace("A key opens a system.", "A key opens a system.\n\n" + "More words. " * 100)
    after = {one.id: one for one in chunk({"a.md": "# New\n\ntext", "b.md": grown})}
    assert after["b.md#how-to-rotate-1"] == before["b.md#how-to-rotate-1"]


def test_a_heading_that_comes_twice_counts_on():
    """No two passages of a file share an id."""
    found = chunk({"a.md": "# One\n\n## Notes\n\nfirst\n\n# Two\n\n## Notes\n\nsecond"})
    assert [(one.id, one.trail) for one in found] == [
        ("a.md#notes-1", ("One", "Notes")),
        ("a.md#notes-2", ("Two", "Notes")),
    ]


def test_a_long_table_repeats_its_head():
    """A row without its column names says little."""
    rows = "\n".join(f"| key {at} | {at} is what it does |" for at in range(30))
    found = chunk({"a.md": f"# T\n\n| name | meaning |\n|---|---|\n{rows}"}, size=60)
    assert len(found) > 3
    assert all(one.text.startswith("| name | meaning |\n|---|---|\n| key") for one in found)


def test_overlap_repeats_the_end_of_the_passage_before():
    """A sentence at a cut is found from both sides."""
    text = "\n\n".join(" ".join(f"w{at}x{n}" for n in range(15)) for at in range(6))
    first, second, *_ = chunk({"a.txt": text}, size=40, overlap=5)
    assert second.text.split()[:5] == first.text.split()[-5:]


def test_plain_text_has_no_headings():
    """A `#` in a text file is a character."""
    assert [one.id for one in chunk({"a.txt": "# not a heading\n\nmore"})] == ["a.txt#start-1"]


@given(
    st.dictionaries(
        st.sampled_from(["a.md", "b.txt", "c/d.md"]),
        st.lists(
            st.sampled_from(
                ["# H", "## i", "w " * 90, "| a | b |\n|---|---|\n| c | d |", "```\n#x", "word. " * 40, "- it"]
            )
        ).map("\n\n".join),
    ),
    st.integers(20, 90),
    st.integers(0, 9),
)
def test_no_passage_is_longer_than_the_bound_none_is_empty_and_no_word_is_lost(files, size, overlap):
    """Whatever the files hold, everything in them can be found."""
    found = chunk(files, size=size, overlap=overlap)
    assert found == chunk(dict(reversed(files.items())), size=size, overlap=overlap)
    assert all(0 < len(one.text.split()) <= size for one in found)
    assert len({one.id for one in found}) == len(found)
    for path, text in files.items():
        held = {word for one in found if one.source == path for word in words(" ".join((*one.trail, one.text)))}
        assert set(words(text.replace("# H", "").replace("## i", ""))) <= held


@pytest.mark.parametrize(("size", "overlap"), [(19, 0), (40, 20), (40, -1)])
def test_bounds_that_cannot_hold_are_refused(size, overlap):
    """A passage that only repeats the one before would never end."""
    with pytest.raises(InputError, match="cannot be cut"):
        chunk({"a.md": "text"}, size=size, overlap=overlap)


def test_markdown_is_read_as_a_reader_sees_it():
    """Addresses of links and marks of tables are not words of the text."""
    text = '# Title\n\nSee [the *guide*](https://x.test/a_b "t") and `code`.\n\n| a | b |\n|---|:-:|\n| c | d |\n<br>'
    assert plain(text).split() == ["Title", "See", "the", "*guide*", "and", "code.", "a,", "b", "c,", "d"]


def test_sentences_end_at_full_stops_rows_and_items():
    """What is quoted is one statement."""
    text = "One is here. Two has 0.5 of it, e.g. this!\nIt goes\non.\n\n- an item\n- another. Really?"
    text += "\n\n| a | b |\n|--|--|\n| c | d |"
    assert sentences(text) == [
        "One is here.", "Two has 0.5 of it, e.g. this!", "It goes on.", "an item", "another.", "Really?",
        "a, b", "c, d",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("release", "released"),
        ("releases", "releasing"),
        ("plan", "planned"),
        ("policy", "policies"),
        ("rotate", "rotation"),
    ],
)
def test_forms_of_a_word_meet(one, other):
    """Who asks about releasing finds the release."""
    assert stem(one) == stem(other)


@pytest.mark.parametrize("word", ["us", "gas", "class", "status", "red", "ring", "shoes"])
def test_short_words_and_false_endings_stay(word):
    """A stem never becomes a stub that others share."""
    assert len(stem(word)) >= 2
    assert stem(word) in {word, word[:-1]}


def test_terms_are_folded_and_without_grammar():
    """Case, width and script forms make no difference, and words of grammar weigh nothing."""
    assert terms("How do I use the \uff21\uff30\uff29-Key model_raises ÜBER?") == [
        "use",
        "api",
        "key",
        "model",
        "rais",
        "über",
    ]


def test_a_closed_heading_loses_its_marks_and_a_sharp_stays():
    """`## Keys ##` is called Keys, and C# keeps its name."""
    found = chunk({"a.md": "## Keys ##\n\none\n\n# C#\n\ntwo\n\n# " + " " * 50_000 + "far\n\nthree"})
    assert [one.trail for one in found] == [("Keys",), ("C#",), ("far",)]
