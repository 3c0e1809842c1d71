"""Trust one pickle by its digest, and turn it into a skops file; nothing else here ever loads a pickle.

Loading a pickle runs whatever is in it. So a person says yes to these exact bytes, with a reason that stays in the
ledger; the bytes are loaded once, in a process of their own that sees no settings and no secrets, and what is released
and served is the skops file that comes out.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from roadworthy.domain.digest import Digest, digest_bytes
from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.principal import Actor
from roadworthy.errors import InputError, RefusedError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.training import child_environment
from roadworthy.ports.plane import Plane
from roadworthy.stores.atomic import plain_errors, write_bytes

SUFFIXES: Final = (".pkl", ".pickle", ".joblib", ".sav")
_PATIENCE_S: Final = 300.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """A pickle that a person trusted, by digest, and the skops file that was made of it."""

    pickle: Digest
    skops: Path
    by: str
    why: str


def trust_pickle(plane: Plane, source: Path, *, actor: Actor, why: str) -> Trusted:
    """Record the trust in a pickle's bytes, load them once and write `<name>.skops` beside it.

    Trusting the same bytes again adds nothing to the ledger and converts them anew.

    Raises:
        InputError: there is no such file, it is no pickle by its name, the target exists, or it cannot be converted.
        NotPermitted: the actor is no active person.
        RefusedError: there is no reason.
        StoreError: the file cannot be read or written.
    """
    present.must_be_a_person(plane, actor, "trust a pickle")
    if not why.strip():
        raise RefusedError("trusting a pickle needs a reason", hint='--why "ours: written by train.ipynb on 3 May"')
    target = source.with_suffix(".skops")
    _check(source, target)
    with plain_errors(f"read {source}"):
        content = source.read_bytes()
    name = digest_bytes(content)
    _record(plane, name, source.name, actor, why)
    write_bytes(target, _converted(content, source.name), "home")
    return Trusted(pickle=name, skops=target, by=actor.principal, why=why)


def _check(source: Path, target: Path) -> None:
    if not source.is_file():
        raise InputError(f"there is no file {source}")
    if source.suffix.lower() not in SUFFIXES:
        raise InputError(f"{source.name} is no pickle by its name", hint=f"one of: {', '.join(SUFFIXES)}")
    if target.exists():
        raise InputError(f"{target} exists and is not overwritten", hint="use it, or move it away")


def _record(plane: Plane, name: Digest, file: str, actor: Actor, why: str) -> None:
    after = {"digest": name, "file": file, "by": actor.principal, "assurance": actor.assurance, "why": why}
    plane.ledger.commit(
        [
            Decide(
                kind="artifact.trusted",
                system="",
                noun=Noun.TRUST,
                subject=name,
                after=after,
                actor=actor,
                reason=why,
                key=f"trust/{name}/{actor.principal}",
            )
        ]
    )


def _converted(content: bytes, file: str) -> bytes:
    """Load exactly these bytes in a child process and return the skops file that it writes."""
    with tempfile.TemporaryDirectory(prefix="roadworthy-trust-") as scratch:
        place = Path(scratch)
        (place / "model.pickle").write_bytes(content)
        try:
            done = subprocess.run(  # noqa: S603 (this interpreter, our own module)
                [sys.executable, "-P", "-s", "-m", "roadworthy.lifecycle.trust_pickle_child", str(place)],
                cwd=place, env=child_environment(0), capture_output=True, text=True, errors="replace", check=False,
                timeout=_PATIENCE_S,
            )  # fmt: skip
        except subprocess.TimeoutExpired as late:
            raise InputError(f"{file} was not loaded within {_PATIENCE_S:g} s") from late
        report = place / "report.json"
        said: dict[str, Any] = json.loads(report.read_text()) if report.exists() else {}
        made = place / "model.skops"
        if done.returncode or not made.is_file():
            why = said.get("error", f"the process ended with code {done.returncode}")
            raise InputError(f"{file} cannot be made a skops file: {why}", hint=said.get("hint", ""))
        return made.read_bytes()
