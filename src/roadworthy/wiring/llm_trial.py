"""The trial of a candidate of kind llm: cases asked over the real serving path, answers scored by the real judges."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from http.client import HTTPConnection, HTTPException
from pathlib import Path, PurePosixPath
from typing import Any, Final, cast

from roadworthy.domain.candidate import Candidate
from roadworthy.domain.digest import Digest
from roadworthy.domain.pin import Usage
from roadworthy.domain.system import System
from roadworthy.errors import ArtifactError, InputError, RoadworthyError, UnavailableError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.build_llm import read_text
from roadworthy.lifecycle.wordings import wordings
from roadworthy.ports.evaluation import Answered, Case, Scored, Scores
from roadworthy.ports.plane import Plane
from roadworthy.wiring.calls import Door
from roadworthy.wiring.judges import judges_of
from roadworthy.wiring.stage import staged

AT_ONCE: Final = 4
_SLACK_S: Final = 15.0
_OK: Final = 200
_MOST_FILES: Final = 1_000


class StagedTrial:
    """Fulfils `ports.evaluation.LlmTrial`. Each question is asked once for all gates, no answer is judged twice."""

    def __init__(
        self,
        plane: Plane,
        system: System,
        candidate: Candidate,
        folder: Path,
        baseline: Candidate | None,
        notes: tuple[str, ...],
        stack: ExitStack,
    ) -> None:
        self.system = system
        self.candidate = candidate
        self.notes = notes
        self._plane = plane
        self._folder = folder.resolve()
        self._baseline = baseline
        self._stack = stack
        self._doors: dict[Digest, Door] = {}
        self._broken: dict[Digest, RoadworthyError] = {}
        self._answers: dict[tuple[str, str], list[Answered]] = {}
        self._scores: dict[object, Scores] = {}
        self._wordings: Mapping[str, str] | None = None
        self._judges = judges_of(plane, candidate, system.policy.pins)

    def files(self, patterns: Sequence[str]) -> Mapping[str, str]:
        """Return the text of the project's files by path.

        Raises:
            InputError: a pattern or a file leads out of the project, or a file is no text.
        """
        return project_files(self._folder, patterns)

    def answers(self, who: str, cases: Sequence[Case], repeats: int) -> Sequence[Answered] | None:
        """Ask each case so often of `candidate`, `baseline` or `champion`; None when there is no such rival.

        Raises:
            ArtifactError: the release cannot be loaded.
            UnavailableError: the serving path does not start.
        """
        chosen = {"candidate": self.candidate, "baseline": self._baseline, "champion": self._champion()}[who]
        if chosen is None:
            return None
        due = [
            (case, repeat) for case in cases for repeat in range(len(self._answers.get((who, case.name), ())), repeats)
        ]
        if due:
            door, limit = self._door(chosen), self.system.policy.serve.deadline_ms / 1e3 + _SLACK_S
            for (case, _), answered in zip(due, ask_all(door, self.system.name, due, limit), strict=True):
                self._answers.setdefault((who, case.name), []).append(answered)
        return [one for case in cases for one in self._answers[who, case.name][:repeats]]

    def score(self, answers: Sequence[Scored]) -> Sequence[Scores]:
        """Score answers; the same answer to the same case has one score.

        Raises:
            NotFoundError: a case names a pin as judge that the system does not have.
        """
        new = {_scored_name(one): one for one in answers if _scored_name(one) not in self._scores}
        self._scores |= dict(zip(new, self._judges(list(new.values())), strict=True))
        return [self._scores[_scored_name(one)] for one in answers]

    def wording(self, case: str) -> str | None:
        """Return the approved text of a case, or None."""
        if self._wordings is None:
            self._wordings = wordings(self._plane, self.system.name)
        return self._wordings.get(case)

    def evidence(self, name: str, content: bytes) -> Digest:  # noqa: ARG002 (the port's shape: a name for other keepers)
        """Keep what a verdict rests on as an artifact."""
        return self._plane.artifacts.put(content)

    def _champion(self) -> Candidate | None:
        route = present.route(self._plane, self.system.name, "live")
        release = present.releases(self._plane, self.system.name).get(route.champion) if route else None
        if release is None or release.candidate.is_baseline or release.id == self.candidate.id:
            return None
        return release.candidate

    def _door(self, candidate: Candidate) -> Door:
        if candidate.id in self._broken:
            # A worker that did not start once is not waited for by every gate.
            raise self._broken[candidate.id]
        if candidate.id not in self._doors:
            try:
                self._doors[candidate.id] = chat_door(self._plane, self.system, candidate, self._stack)
            except (ArtifactError, UnavailableError) as error:
                self._broken[candidate.id] = error
                raise
        return self._doors[candidate.id]


def chat_door(plane: Plane, system: System, candidate: Candidate, stack: ExitStack) -> Door:
    """Serve a candidate on a stage of its own until the stack ends; return where it is asked.

    Raises:
        ArtifactError: it cannot be loaded.
        UnavailableError: the worker does not start.
    """
    stage = stack.enter_context(staged(plane, system, candidate))
    return replace(stage.door, path="/v1/chat/completions")


def project_files(folder: Path, patterns: Sequence[str]) -> dict[str, str]:
    """Read the files of a project that patterns name.

    Raises:
        InputError: a pattern or a file leads out of the project, or a file is no text.
    """
    found: dict[str, str] = {}
    for pattern in patterns:
        if PurePosixPath(pattern).is_absolute() or ".." in PurePosixPath(pattern).parts:
            raise InputError(f"'{pattern}': a path stays inside the project's folder")
        for path in sorted(folder.glob(pattern)):
            name = path.relative_to(folder).as_posix()
            if not path.resolve().is_relative_to(folder):
                raise InputError(f"'{name}' leads out of the project's folder")
            if path.is_file():
                found[name] = read_text(path, name)
            if len(found) > _MOST_FILES:
                raise InputError(f"'{pattern}' names more than {_MOST_FILES:,} files")
    return found


def ask_all(door: Door, system: str, due: Sequence[tuple[Case, int]], limit_s: float) -> list[Answered]:
    """Ask questions as callers do, a few at once; what is not answered carries the reason."""
    with ThreadPoolExecutor(max_workers=AT_ONCE) as threads:

        def ask(one: tuple[Case, int]) -> Answered:
            return _ask(door, system, one, limit_s)

        return list(threads.map(ask, due))


def _ask(door: Door, system: str, one: tuple[Case, int], limit_s: float) -> Answered:
    case, repeat = one
    began = time.perf_counter()
    try:
        status, document = _call(door, body_of(system, case), limit_s)
    except (OSError, HTTPException, ValueError) as error:
        return Answered(case=case.name, repeat=repeat, text="", problem=f"no answer ({type(error).__name__})")
    return answered_of(case, repeat, status, document, int((time.perf_counter() - began) * 1e6))


def _call(door: Door, body: bytes, limit_s: float) -> tuple[int, Mapping[str, Any]]:
    connection = HTTPConnection("127.0.0.1", door.port, timeout=limit_s)
    # A cached answer would cost nothing and take no time.
    headers = {
        "authorization": f"Bearer {door.key}", "content-type": "application/json", "cache-control": "no-cache",
    }  # fmt: skip
    try:
        connection.request("POST", door.path, body, headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def body_of(system: str, case: Case) -> bytes:
    """Spell a case as a caller sends it; further inputs of the prompt travel as metadata."""
    messages = [*case.history, {"role": "user", "content": case.question}]
    body: dict[str, Any] = {"model": system, "messages": messages}
    if case.inputs:
        texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in case.inputs.items()}
        body["metadata"] = texts
    return json.dumps(body, ensure_ascii=False).encode()


def answered_of(case: Case, repeat: int, status: int, document: Mapping[str, Any], took_us: int) -> Answered:
    """Read what the serving path answered."""
    if status != _OK:
        said = _part(document, "error")
        problem = f"{status}: {str(said.get('message', 'no reason'))[:300]}"
        return Answered(case=case.name, repeat=repeat, text="", latency_us=took_us, problem=problem)
    choice: Any = document["choices"][0]
    ours, usage = _part(document, "roadworthy"), _part(document, "usage")
    details = _part(usage, "prompt_tokens_details")
    fallback = ours.get("fallback")
    return Answered(
        case=case.name,
        repeat=repeat,
        text=choice["message"].get("content") or "",
        finish=choice.get("finish_reason") or "",
        usage=Usage(
            input=usage.get("prompt_tokens", 0),
            output=usage.get("completion_tokens", 0),
            cached_input=details.get("cached_tokens") or 0,
        ),
        cost_picos=ours.get("cost_picos") or 0,
        latency_us=took_us,
        first_token_us=ours.get("first_token_us") or 0,
        passages=tuple(ours.get("passages") or ()),
        abstained=bool(ours.get("abstained")),
        problem=f"a fallback answered: {fallback}" if fallback else "",
        record=ours.get("record") or "",
    )


def _part(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    found = document.get(name)
    return cast("Mapping[str, Any]", found) if isinstance(found, dict) else {}


def _scored_name(scored: Scored) -> object:
    """Name what decides a score: the case and everything of the answer that a check looks at."""
    case, one = scored
    judges = tuple((plan.name, plan.pin, plan.rubric) for plan in case.judges)
    checks = tuple((check.name, json.dumps(check.wants, sort_keys=True, default=str)) for check in case.checks)
    return (
        case.name, case.question, checks, judges, one.text, one.finish, one.usage.output, tuple(one.passages),
        one.abstained, bool(one.problem),
    )  # fmt: skip


def ask_cases(plane: Plane, system: System, candidate: Candidate, cases: Sequence[Case]) -> list[Answered]:
    """Serve a candidate on a stage of its own and ask it each case once.

    Raises:
        ArtifactError: it cannot be loaded.
        UnavailableError: the worker does not start.
    """
    with ExitStack() as stack:
        door = chat_door(plane, system, candidate, stack)
        limit = system.policy.serve.deadline_ms / 1e3 + _SLACK_S
        return ask_all(door, system.name, [(case, 0) for case in cases], limit)
