"""The five things that must be known before a release: artifact, environment, data inputs, interface, way back."""

from __future__ import annotations

from roadworthy.domain.candidate import Candidate, Run
from roadworthy.domain.digest import short
from roadworthy.domain.interface import Interface, Task
from roadworthy.errors import RoadworthyError
from roadworthy.lifecycle import present
from roadworthy.lifecycle.promote import ProveLoads
from roadworthy.ports.artifacts import Artifacts
from roadworthy.ports.plane import Plane


def unknowns(
    plane: Plane, candidate: Candidate, run: Run, prove_loads: ProveLoads, *, environment: str = "live"
) -> tuple[str, ...]:
    """Say which of the five are not known, each in its own sentence; empty when all are.

    Reads only, but for loading: the release that one would return to is loaded here, in this environment, since a way
    back that was never tried is not known.
    """
    found = (
        _artifact(candidate, plane.artifacts),
        _environment(candidate),
        _data_inputs(candidate, run),
        _interface(candidate.interface),
        _way_back(plane, candidate, prove_loads, environment),
    )
    return tuple(text for text in found if text)


def _artifact(candidate: Candidate, artifacts: Artifacts) -> str:
    if candidate.artifact("model") is None:
        return "artifact unknown: the candidate names no model"
    gone = [one for one in candidate.artifacts if not artifacts.has(one.digest)]
    named = ", ".join(f"{one.role} {short(one.digest)}" for one in gone)
    return f"artifact unknown: its bytes are not in this home ({named})" if gone else ""


def _environment(candidate: Candidate) -> str:
    built = candidate.environment
    missing = [name for name in ("python", "platform", "distributions") if not getattr(built, name)]
    return f"environment unknown: the candidate does not say its {', '.join(missing)}" if missing else ""


def _data_inputs(candidate: Candidate, run: Run) -> str:
    if run.candidate != candidate.id or not run.data:
        return "data inputs unknown: no run says which data the candidate was built from"
    bare = [name for name, digest in run.data.items() if not digest]
    if bare:
        return f"data inputs unknown: {', '.join(bare)} without a version digest"
    if candidate.artifact("reference") is None and candidate.interface.task is not Task.TEXT:
        return "data inputs unknown: the candidate has no reference, so no drift from its data could be seen"
    return ""


def _interface(interface: Interface) -> str:
    if not interface.features:
        return "serving interface unknown: no input reaches the model"
    if interface.task not in (Task.REGRESSION, Task.TEXT) and not interface.labels:
        return f"serving interface unknown: a {interface.task} task without labels"
    if interface.task is Task.BINARY and interface.positive not in interface.labels:
        return "serving interface unknown: the positive class is none of the labels"
    return ""


def _way_back(plane: Plane, candidate: Candidate, prove_loads: ProveLoads, environment: str) -> str:
    known = present.releases(plane, candidate.system)
    route = present.route(plane, candidate.system, environment)
    names = [route.champion, route.last_good] if route else []
    targets = [name for name in dict.fromkeys((*names, present.baseline(known))) if name in known]
    targets = [name for name in targets if name != candidate.id]
    if not targets:
        return "rollback path unknown: there is neither an earlier release nor a baseline to return to"
    for name in targets:
        try:
            prove_loads(known[name].candidate)
        except RoadworthyError as error:
            return f"rollback path unknown: {known[name].name} does not load here: {error.message}"
    return ""
