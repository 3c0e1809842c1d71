"""Recipes: every file that decides a candidate is part of its name; Git says from which commit."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from roadworthy.domain.interface import Field, FieldType, Interface, Task
from roadworthy.domain.system import Content, DataPlan, Kind, Owner, Policy, System
from roadworthy.errors import InputError, NotFoundError, RefusedError
from roadworthy.lifecycle import checkout
from roadworthy.lifecycle.recipe import baseline_recipe, code_files, local_modules, recipe_of

INTERFACE = Interface(inputs=(Field(name="a", type=FieldType.NUMBER),), task=Task.REGRESSION)


def content(**changes: object) -> Content:
    """Name the files of a project."""
    plain = {"use": "train.py", "data": DataPlan(table="rows.csv", target="y"), "baseline": "baseline.sql"}
    return Content(**{**plain, "interface": INTERFACE, **changes})  # type: ignore[arg-type]


def system(**changes: object) -> System:
    """Name a system of these files."""
    policy = Policy(owner=Owner(principal="ana", contact="ana@example.org"))
    return System(name="s", kind=Kind.MODEL, content=content(**changes), policy=policy)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Lay out training code that imports a module, a package and each other."""
    files = {
        "train.py": "import columns\nimport json\nfrom shapes.boxes import box\nfrom . import no_matter\n",
        "columns.py": "import train\nimport numpy\n",
        "shapes/__init__.py": "", "shapes/boxes.py": "box = 1\n", "shapes/notes.txt": "not code",
        "shapes/__pycache__/old.py": "stale", "rows.csv": "a,y\n1,2\n", "baseline.sql": "select 1",
        "lib/more.py": "x = 1\n", "lib/tests/test_more.py": "y = 1\n",
    }  # fmt: skip
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def names(folder: Path, files: object) -> set[str]:
    """Return paths as people say them."""
    return {path.relative_to(folder).as_posix() for path in files}  # type: ignore[attr-defined]


def test_code_is_the_prototype_and_every_module_it_leads_to(folder: Path) -> None:
    """Imports are followed to the end, also in circles; what is not code, or stale, is left out."""
    wanted = {"train.py", "columns.py", "shapes/__init__.py", "shapes/boxes.py"}
    assert names(folder, local_modules(folder, folder / "train.py")) == wanted
    assert names(folder, code_files(folder, content())) == {*wanted, "baseline.sql"}
    assert names(folder, code_files(folder, content(baseline=""))) == wanted


def test_listed_code_is_taken_as_listed(folder: Path) -> None:
    """A manifest that lists files and folders decides; tests are never part of a candidate."""
    listed = content(code=("train.py", "lib"))
    assert names(folder, code_files(folder, listed)) == {"train.py", "lib/more.py", "baseline.sql"}
    graph = content(use="rows.csv", code=("lib/more.py",))
    assert names(folder, code_files(folder, graph)) == {"rows.csv", "lib/more.py", "baseline.sql"}
    with pytest.raises(InputError, match="lists 'nowhere' under code"):
        code_files(folder, content(code=("nowhere",)))


def test_a_file_that_is_named_and_missing_is_said_to_be(folder: Path) -> None:
    """The message names the key of the manifest."""
    with pytest.raises(InputError, match=r"names 'gone\.py' as use"):
        recipe_of(folder, system(use="gone.py"))
    with pytest.raises(InputError, match=r"names 'gone\.sql' as baseline"):
        baseline_recipe(folder, system(baseline="gone.sql"))


def test_code_that_is_no_python_is_named_with_its_line(folder: Path) -> None:
    """A typing slip costs one line; bytes that are no text cost one too."""
    (folder / "columns.py").write_text("x = (\n")
    with pytest.raises(InputError, match=r"columns\.py is not valid Python \(line 1\)"):
        code_files(folder, content())
    (folder / "columns.py").write_bytes(b"x = 1\0")
    with pytest.raises(InputError, match=r"columns\.py is not valid Python"):
        code_files(folder, content())


def test_a_changed_prototype_leaves_the_baselines_recipe_alone(folder: Path) -> None:
    """The rival is not built again for a change that is none of its own; a module elsewhere is known by its name."""
    first, rival = recipe_of(folder, system()), baseline_recipe(folder, system())
    (folder / "columns.py").write_text("# another byte\n")
    assert recipe_of(folder, system()).digest != first.digest
    assert baseline_recipe(folder, system()).digest == rival.digest
    outside = folder.parent / "outside.sql"
    outside.write_text("select 2")
    assert baseline_recipe(folder, system(baseline="../outside.sql")).digest != rival.digest


def git(folder: Path, *words: str) -> None:
    """Run git."""
    subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True)


def test_a_folder_without_git_has_no_commit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a folder outside a repository nor a machine without Git is an error."""
    assert checkout.look(tmp_path) == checkout.Checkout()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert checkout.git_is_missing()
    assert checkout.look(tmp_path) == checkout.Checkout()


def test_a_new_repository_is_begun_with_an_identity_if_need_be(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first commit never fails for want of a name; someone's own name is used where there is one."""
    monkeypatch.setenv("HOME", str(folder))
    for name in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_SYSTEM"):
        monkeypatch.setenv(name, "/dev/null")
    commit = checkout.start(folder, ["train.py"], "Begin")
    assert checkout.look(folder).commit == commit
    git(folder, "config", "user.email", "ana@example.org")
    git(folder, "config", "user.name", "ana")
    second = checkout.start(folder, ["columns.py"], "Go on")
    said = subprocess.run(
        ["git", "-C", str(folder), "log", "-1", "--format=%ae"], check=True, capture_output=True, text=True
    )
    assert second != commit
    assert said.stdout.strip() == "ana@example.org"
    with pytest.raises(RefusedError, match="git add failed"):
        checkout.start(folder, ["no/such/file"], "Nothing")


def test_a_clone_is_of_the_recorded_commit(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """A project may be a part of a larger repository; a commit that is not there is named."""
    place = tmp_path_factory.mktemp("clones")
    commit = checkout.start(folder, ["train.py", "lib/more.py"], "Begin")
    (folder / "train.py").write_text("later")
    assert checkout.look(folder).dirty
    assert (checkout.clone_at(folder, commit, place / "whole") / "train.py").read_text() != "later"
    assert checkout.clone_at(folder / "lib", commit, place / "part") == place / "part" / "lib"
    with pytest.raises(NotFoundError, match="no commit 000000000000"):
        checkout.clone_at(folder, "0" * 40, place / "none")
