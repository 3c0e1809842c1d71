"""Run a project's `train.py` in a child process and take back the estimator it fits, as a skops file."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from roadworthy.domain.system import Content
from roadworthy.errors import InputError
from roadworthy.lifecycle.split import Split
from roadworthy.runtimes.sql import write_table

_KEPT: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "VIRTUAL_ENV", "LD_LIBRARY_PATH")
_ONE_THREAD: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
_NO_LITTER: Final = {"PYTHONDONTWRITEBYTECODE": "1"}  # a user's folder holds what the user put there
_TAIL_LINES: Final = 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """The bytes of the skops file that a training run wrote, and what it printed."""

    content: bytes
    printed: str


def train(folder: Path, content: Content, split: Split) -> Trained:
    """Call `train(rows)` of the project's file on the training rows, in a process of its own.

    The child sees the project's folder on its import path, a fixed hash seed, seeded `random` and numpy, one thread for
    numerical libraries (more would make sums differ from run to run) and nothing of this process's settings.

    Raises:
        InputError: the code fails, or returns what cannot be kept; the message ends with its last lines.
    """
    with tempfile.TemporaryDirectory(prefix="roadworthy-train-") as scratch:
        place = Path(scratch)
        job = _write_job(place, folder, content, split)
        done = subprocess.run(  # noqa: S603 (this interpreter, our own module)
            [sys.executable, "-P", "-s", "-m", "roadworthy.lifecycle.training_child", str(job)],
            cwd=folder, env=child_environment(content.seed), capture_output=True, text=True, errors="replace",
            check=False,
        )  # fmt: skip
        report = place / "report.json"
        said: Mapping[str, str] = json.loads(report.read_text()) if report.exists() else {}
        if done.returncode or "error" in said:
            raise _failure(content.use, said, done)
        return Trained(content=(place / "model.skops").read_bytes(), printed=done.stdout)


def _write_job(place: Path, folder: Path, content: Content, split: Split) -> Path:
    fields = split.table.fields
    write_table(split.everything(split.train_index), fields, place / "rows.parquet")
    job: dict[str, Any] = {
        "folder": str(folder.resolve()),
        "code": str((folder / content.use).resolve()),
        "rows": str(place / "rows.parquet"),
        "fields": [[field.name, str(field.type)] for field in fields],
        "seed": content.seed,
        "parameters": dict(content.parameters),
        "model": str(place / "model.skops"),
        "report": str(place / "report.json"),
    }
    path = place / "job.json"
    path.write_text(json.dumps(job))
    return path


def child_environment(seed: int) -> dict[str, str]:
    """Return what a process with the project's own code sees of this one's environment: paths, language, no secrets."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    threads = dict.fromkeys(_ONE_THREAD, "1")
    return {**kept, **threads, "PYTHONHASHSEED": str(seed % 2**32), "PYTHONUNBUFFERED": "1", **_NO_LITTER}


def _failure(code: str, said: Mapping[str, str], done: subprocess.CompletedProcess[str]) -> InputError:
    if "error" in said:
        return InputError(f"{code}: {said['error']}", hint=said.get("hint", ""))
    tail = _tail((done.stderr or done.stdout).splitlines())
    cause = f"was killed by signal {-done.returncode}" if done.returncode < 0 else f"ended with code {done.returncode}"
    return InputError(f"{code}: the training process {cause}" + (f"\n{tail}" if tail else ""))


def _tail(lines: Sequence[str]) -> str:
    return "\n".join(f"    {line}" for line in lines[-_TAIL_LINES:])
