"""Building kind llm: what a candidate is made of, what names it, and what cannot be built."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.llm import Assistant
from roadworthy.domain.pin_watch import PROMPTS
from roadworthy.domain.principal import Actor
from roadworthy.errors import InputError
from roadworthy.lifecycle import build_llm as house
from roadworthy.lifecycle import checkout
from roadworthy.lifecycle.build import build
from roadworthy.lifecycle.building import BuildResult
from roadworthy.manifest import BUILT_IN, load
from roadworthy.ports.plane import Plane
from roadworthy.runtimes.rag import embed
from roadworthy.stores.artifacts import FileArtifacts
from roadworthy.stores.codec import from_doc, from_json
from roadworthy.testing import memory_plane

ANA = Actor(principal="ana")
MANIFEST = """roadworthy: 1
system: helpdesk
kind: llm
owner: {name: ana, contact: ana@example.org}
decision: what a caller is told
use: main
pins:
  main: {provider: openai, url: "http://127.0.0.1:1/v1", model: big, price: {input: 1 USD, output: 2 USD}}
prompt: prompt.md
baseline: baseline.txt
"""
INDEX = MANIFEST.replace("baseline.txt", "passage") + 'index: {files: ["docs/*"]}\n'
PROBES = MANIFEST.replace("model: big,", "model: big, probes: probes.txt,")
TOOLS = MANIFEST + "tools: tools.json\n"


@dataclass
class Project:
    """A folder with a prompt, and its home."""

    folder: Path
    plane: Plane

    def build(self, manifest: str = MANIFEST, spoil: Callable[[Project], None] = lambda _: None) -> BuildResult:
        """Build what lies there; `spoil` acts after the manifest was read."""
        self.write("system.yaml", manifest)
        system = load(self.folder, BUILT_IN)
        spoil(self)
        return build(self.folder, system, self.plane, ANA)

    def write(self, name: str, text: str) -> None:
        """Write a file."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def assistant(self, candidate: Candidate) -> Assistant:
        """Read what a candidate does with a question."""
        artifact = candidate.artifact("model")
        assert artifact is not None
        return from_doc(Assistant, from_json(self.plane.artifacts.get(artifact.digest)))


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project that was never built."""
    monkeypatch.setattr(checkout, "git_is_missing", lambda: True)
    made = Project(tmp_path / "desk", memory_plane(artifacts=FileArtifacts(tmp_path / "artifacts")))
    made.write("prompt.md", "# system\nBe exact.\n\n# user\n{{ question }}\n")
    made.write("baseline.txt", "Please write to us.\n")
    made.write("docs/keys.md", "# Keys\nA key opens a door.")
    (made.folder / "docs/more").mkdir()
    return made


def roles(candidate: Candidate) -> set[str]:
    """Name the artifacts."""
    return {one.role for one in candidate.artifacts}


def test_a_candidate_holds_prompt_pins_and_probes_and_its_baseline_a_text(project: Project) -> None:
    """The same recipe is built once; another prompt makes another candidate."""
    first = project.build()
    assert first.baseline is not None
    assert roles(first.candidate) == {"model", "probes/main"}
    assert project.assistant(first.candidate).prompt.startswith("# system\nBe exact.")
    assert project.assistant(first.baseline).text == "Please write to us."
    again = project.build()
    assert (again.reused, again.candidate.id) == (True, first.candidate.id)
    project.write("prompt.md", "# system\nBe brief.\n\n# user\n{{ question }}\n")
    other = project.build()
    assert (other.reused, other.candidate.id == first.candidate.id) == (False, False)
    assert other.baseline == first.baseline


def test_an_index_stands_beside_the_prompt_and_is_its_rivals_too(project: Project) -> None:
    """The best passage is an answer without a model; both find passages in the same bytes."""
    found = project.build(INDEX)
    assert found.baseline is not None
    assert found.candidate.artifact("index") == found.baseline.artifact("index") is not None
    assert project.assistant(found.baseline).passage
    assert found.run.notes == ("the index holds 1 files, found by words",)
    project.write("prompt.md", "# system\nBe brief.\n\n# user\n{{ question }}\n")
    other = project.build(INDEX)
    assert other.baseline is not None
    assert (other.candidate.id == found.candidate.id, other.baseline.id) == (False, found.baseline.id)


def test_whether_to_turn_questions_away_is_part_of_the_candidate(project: Project) -> None:
    """Abstaining is on unless the manifest turns it off."""
    assert project.assistant(project.build(INDEX).candidate).abstains
    assert not project.assistant(project.build(INDEX.replace("]}", "], abstain: never}")).candidate).abstains


def test_an_embedder_of_the_projects_own_makes_the_vectors(project: Project) -> None:
    """Its graph and the tokenizer that lies beside it are read from the project."""
    (project.folder / "models").mkdir()
    for package, name in ((embed.MODEL_PACKAGE, "own.onnx"), (embed.TOKENIZER_PACKAGE, "tokenizer.json")):
        shutil.copyfile(embed._packaged(*package), project.folder / "models" / name)
    found = project.build(INDEX.replace("]}", "], embed: models/own.onnx}"))
    by_words = project.build(INDEX)
    assert found.run.notes == ("the index holds 1 files, found by words and by meaning",)
    assert found.candidate.artifact("index") != by_words.candidate.artifact("index")


def test_tools_and_a_schema_are_part_of_the_candidate(project: Project) -> None:
    """What a provider is given besides the prompt is fixed with it."""
    project.write("tools.json", '[{"type": "function", "function": {"name": "look_up"}}]')
    project.write("schema.json", '{"type": "object"}')
    made = project.assistant(project.build(TOOLS + "output_schema: schema.json\n").candidate)
    assert made.tools[0]["function"]["name"] == "look_up"
    assert made.schema == {"type": "object"}


def test_ones_own_probes_are_each_asked_once(project: Project) -> None:
    """Empty lines, remarks and repetitions are left out; without a file the built-in ones are asked."""
    project.write("probes.txt", "# mine\n\n" + "".join(f"Is {n} odd?\n" for n in (1, 2, 3, 4, 5, 5)))
    for manifest, expected in ((PROBES, [f"Is {n} odd?" for n in range(1, 6)]), (MANIFEST, list(PROMPTS))):
        kept = project.build(manifest).candidate.artifact("probes/main")
        assert kept is not None
        assert from_json(project.plane.artifacts.get(kept.digest)) == expected


@pytest.mark.parametrize(
    ("text", "why"), [("one\ntwo\n", "holds 2 prompts"), ("a\nb\nc\nd\n" + "x" * 501, "more than 500")]
)
def test_probes_that_cannot_show_a_change_are_refused(project: Project, text: str, why: str) -> None:
    """Too few of them tell nothing, and a long one costs more than it tells."""
    project.write("probes.txt", text)
    with pytest.raises(InputError, match=why):
        project.build(PROBES)


@pytest.mark.parametrize(("text", "why"), [("{", "is no JSON"), ("{}", "must hold a list")])
def test_tools_that_are_no_list_of_tools_are_refused(project: Project, text: str, why: str) -> None:
    """The message names the file."""
    project.write("tools.json", text)
    with pytest.raises(InputError, match=f"'tools.json' {why}"):
        project.build(TOOLS)


def spoil_bytes(project: Project) -> None:
    """Write what is no text."""
    (project.folder / "docs/photo").write_bytes(b"\xff\xd8")


def spoil_size(project: Project) -> None:
    """Write what is too large."""
    with (project.folder / "docs/large").open("wb") as file:
        file.truncate((4 << 20) + 1)


def spoil_place(project: Project) -> None:
    """Lead out of the project."""
    project.write("../other/secret.md", "secret")
    (project.folder / "docs/link.md").symlink_to(project.folder.parent / "other/secret.md")


def spoil_all(project: Project) -> None:
    """Leave nothing to index."""
    (project.folder / "docs/keys.md").unlink()


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (spoil_bytes, "'docs/photo' is no UTF-8 text"),
        (spoil_size, "'docs/large' is larger than 4 MiB"),
        (spoil_place, "'docs/link.md' leads out of the project's folder"),
        (spoil_all, r"the index finds no file: docs/\*"),
    ],
)
def test_what_cannot_be_indexed_is_named(project: Project, spoil: Callable[[Project], None], why: str) -> None:
    """A corpus is the project's own text, of files that a person can read."""
    with pytest.raises(InputError, match=why):
        project.build(INDEX, spoil)


def test_an_index_has_a_bound_on_its_files(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern that catches too much is refused."""
    monkeypatch.setattr(house, "_MOST_FILES", 1)
    project.write("docs/two.md", "# Two")
    with pytest.raises(InputError, match="more than 1 files"):
        project.build(INDEX)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    """The reason is that of the disk."""
    with pytest.raises(InputError, match=r"'prompt\.md' cannot be read"):
        house.read_text(tmp_path / "prompt.md", "prompt.md")


def gguf(file: str) -> str:
    """State a local model."""
    return MANIFEST.replace("pins:", f'pins:\n  local: {{provider: gguf, model: tiny, file: "{file}"}}')


def test_a_local_models_weights_are_an_artifact(
    project: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are found in the project or in an installed package, and the pin names their bytes."""
    (tmp_path / "tiny_weights").mkdir()
    for place in (project.folder / "tiny.gguf", tmp_path / "tiny_weights/tiny.gguf"):
        place.write_bytes(b"GGUF")
    (tmp_path / "tiny_weights/__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    for file in ("tiny.gguf", "package:tiny_weights/tiny.gguf"):
        made = project.build(gguf(file)).candidate
        weights = made.artifact("weights/local")
        assert weights is not None
        assert weights.size == 4
        pin = next(one for one in project.assistant(made).pins if one.name == "local")
        assert pin.artifact == weights.digest


@pytest.mark.parametrize("file", ["package:no_such_weights/a.gguf", "package:roadworthy/a.gguf"])
def test_weights_that_no_package_has_are_named(project: Project, file: str) -> None:
    """The hint says what to install."""
    with pytest.raises(InputError, match="no installed package has"):
        project.build(gguf(file))
