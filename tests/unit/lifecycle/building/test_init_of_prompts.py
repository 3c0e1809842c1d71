"""`init` of a prompt: a project that checks, what does not fit is one clear message."""

from __future__ import annotations

from pathlib import Path

import pytest

from roadworthy.errors import InputError
from roadworthy.lifecycle import checkout
from roadworthy.lifecycle.init_llm import init_llm
from roadworthy.manifest import BUILT_IN, load
from roadworthy.manifest.suites import read_suite
from roadworthy.testing import memory_plane

OWNER = "ana@example.com"


@pytest.fixture(autouse=True)
def _no_git(monkeypatch: pytest.MonkeyPatch) -> None:
    """Git has tests of its own."""
    monkeypatch.setattr(checkout, "git_is_missing", lambda: True)


def begin(folder: Path, prompt: str = "You are kind.", model: str = "openai:gpt-4o-mini", **more: str):
    """Run init on a prompt that lies beside the project."""
    source = folder.parent / "prototype.md"
    source.write_text(prompt)
    folder.mkdir(exist_ok=True)
    return init_llm(source, model, OWNER, folder=folder, open_plane=memory_plane, **more)


def test_a_bare_text_becomes_a_prompt_with_sections(tmp_path):
    """What a laptop holds is the system's words; the user's question is put under them."""
    made = begin(tmp_path / "helper")
    system = load(tmp_path / "helper", BUILT_IN)
    assert made.name == system.name == "helper"
    assert (tmp_path / "helper/prompt.md").read_text() == "# system\nYou are kind.\n\n# user\n{{ question }}\n"
    assert len((tmp_path / "helper/system.yaml").read_text().splitlines()) <= 12
    assert system.content.baseline == "baseline.md"
    assert "the key is env:OPENAI_API_KEY" in made.notes
    assert '"model": "helper"' in made.call
    assert made.key.startswith("rw_")


def test_a_corpus_becomes_an_index_with_the_best_passage_as_its_rival(tmp_path):
    """Passages reach the prompt, and the first cases say what must be found and what turned away."""
    folder = tmp_path / "helper"
    (folder / "docs").mkdir(parents=True)
    (folder / "docs/a page.md").write_text("# Keys\nA key opens a door.")
    begin(folder, corpus="docs/*.md", model="http://127.0.0.1:9/v1/#my-model")
    system = load(folder, BUILT_IN)
    assert system.content.baseline == "passage"
    assert system.content.llm is not None
    assert system.content.llm.pins[0].url == "http://127.0.0.1:9/v1"
    assert "{% for p in passages %}" in (folder / "prompt.md").read_text()
    suite = read_suite((folder / "suites/first.yaml").read_text(), "suites/first.yaml")
    assert [case.answerable for case in suite.cases] == [True, False]


def test_a_prompt_that_is_in_its_place_stays(tmp_path):
    """A prompt with sections of its own is used as it is."""
    folder = tmp_path / "helper"
    folder.mkdir()
    text = "# system\nBe brief.\n\n# user\nToday is {{ today }}. {{ question }}\n"
    (folder / "prompt.md").write_text(text)
    (folder / "small.gguf").write_bytes(b"GGUF")
    made = init_llm(
        folder / "prompt.md", "small.gguf", OWNER, folder=folder, open_plane=memory_plane,
        name="desk",
    )  # fmt: skip
    assert (folder / "prompt.md").read_text() == text
    assert made.name == load(folder, BUILT_IN).name == "desk"


def test_a_model_of_an_installed_package_needs_no_file_in_the_project(tmp_path):
    """The package is looked for when the candidate is built."""
    begin(tmp_path / "helper", model="package:small_model/small.gguf")
    assert "provider: gguf" in (tmp_path / "helper/system.yaml").read_text()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"model": ""}, "--model is missing"),
        ({"model": "gpt-4"}, "is no model that can be pinned"),
        ({"model": "gone.gguf"}, "there is no such file"),
        ({"prompt": "# user\nDear {{ customer }}: {{ question }}"}, "asks for customer"),
        ({"prompt": "# system\nNo user section"}, "ends with the section '# user'"),
        ({"corpus": "../*.md"}, "stays inside the project's folder"),
        ({"corpus": "docs/*.md"}, "names no file"),
        ({"name": "Not A Name"}, "is not a name for a system"),
    ],
)
def test_what_does_not_fit_is_one_clear_message_and_nothing_is_written(tmp_path, more, message):
    """Nothing is half made."""
    with pytest.raises(InputError, match=message):
        begin(tmp_path / "helper", **more)
    assert list((tmp_path / "helper").iterdir()) == []


def test_sources_that_are_no_files_are_refused(tmp_path):
    """A path that names nothing, or a folder, is told."""
    for source, message in ((tmp_path, "it is a folder"), (tmp_path / "gone.md", "it does not exist")):
        with pytest.raises(InputError, match=message):
            init_llm(source, "openai:x", OWNER, folder=tmp_path / "p", open_plane=memory_plane)


def test_another_prompt_in_the_way_is_not_overwritten(tmp_path):
    """What people wrote stays."""
    folder = tmp_path / "helper"
    folder.mkdir()
    (folder / "prompt.md").write_text("mine")
    with pytest.raises(InputError, match=r"prompt\.md exists already"):
        begin(folder)
    assert (folder / "prompt.md").read_text() == "mine"
