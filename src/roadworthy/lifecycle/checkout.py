"""The project's Git checkout: which commit, whether files differ from it, and clones of it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from roadworthy.errors import NotFoundError, RefusedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkout:
    """What Git says of a folder. `commit` is empty where there is no repository or no commit yet."""

    commit: str = ""
    dirty: bool = False
    changed: tuple[str, ...] = ()
    prefix: str = ""


def look(folder: Path) -> Checkout:
    """Return the state of the checkout that holds a folder; only files under the folder count as changed."""
    if git_is_missing() or not in_repository(folder):
        return Checkout()
    commit = _ask(folder, "rev-parse", "--verify", "-q", "HEAD")
    lines = _ask(folder, "status", "--porcelain", "--untracked-files=all", "--", ".").splitlines()
    changed = tuple(line[3:] for line in lines)
    prefix = _ask(folder, "rev-parse", "--show-prefix").rstrip("/")
    return Checkout(commit=commit, dirty=bool(changed) or not commit, changed=changed, prefix=prefix)


def git_is_missing() -> bool:
    """Tell whether this machine lacks Git."""
    return shutil.which("git") is None


def in_repository(folder: Path) -> bool:
    """Tell whether a folder lies in a Git work tree."""
    return _ask(folder, "rev-parse", "--is-inside-work-tree") == "true"


def start(folder: Path, paths: Sequence[str], message: str) -> str:
    """Make a repository of a folder and commit these files; return the commit.

    Someone without a Git identity gets a local one, so that the first commit never fails for want of a name.
    """
    _run(folder, "init", "-q")
    _run(folder, "add", "--", *paths)
    identity: list[str] = []
    if not _ask(folder, "config", "user.email"):
        identity = ["-c", "user.name=roadworthy", "-c", "user.email=roadworthy@localhost"]
    _run(folder, *identity, "-c", "commit.gpgsign=false", "commit", "-q", "--no-verify", "-m", message)
    return _ask(folder, "rev-parse", "HEAD")


def clone_at(folder: Path, commit: str, target: Path) -> Path:
    """Clone the repository that holds `folder` at a commit; return the project's folder in the clone.

    Raises:
        NotFoundError: the repository does not have the commit.
    """
    state = look(folder)
    top = _ask(folder, "rev-parse", "--show-toplevel")
    if _ask(folder, "cat-file", "-t", commit) != "commit":
        raise NotFoundError(f"this repository has no commit {commit[:12]}", hint="git fetch --all, then try again")
    _run(target.parent, "clone", "-q", "--no-hardlinks", "--no-checkout", top, str(target))
    _run(target, "checkout", "-q", "--detach", commit)
    return target / state.prefix if state.prefix else target


def _ask(folder: Path, *words: str) -> str:
    """Return what git prints, or nothing when it refuses."""
    done = _git(folder, words)
    return done.stdout.strip("\n") if done.returncode == 0 else ""


def _run(folder: Path, *words: str) -> None:
    done = _git(folder, words)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise RefusedError(f"git {words[0]} failed: {said[-1] if said else 'it said nothing'}")


def _git(folder: Path, words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", "-C", str(folder), *words], capture_output=True, text=True, check=False)  # noqa: S603, S607 (git from the path, fixed words)
