"""Commands from prototype to release."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, cast

from cyclopts import Parameter
from rich.console import Console
from rich.markup import escape

from roadworthy.cli import context
from roadworthy.cli.app import PROJECT, app
from roadworthy.cli.reply import Reply, after, bars, lines, table
from roadworthy.cli.traffic import Reason, System
from roadworthy.domain.candidate import Run
from roadworthy.domain.digest import short
from roadworthy.domain.moment import iso
from roadworthy.domain.principal import Scope
from roadworthy.errors import InputError, NotFoundError

REFUSED, INCONCLUSIVE = 2, 3
_STATE_STYLE = {"pass": "green", "fail": "bold red", "inconclusive": "yellow", "waived": "magenta"}


@app.command(group=PROJECT)
def init(
    *,
    source: Annotated[
        Path, Parameter(name="--from", help="model.skops, model.onnx, train.py with train(rows), or prompt.md")
    ],
    owner: Annotated[str, Parameter(help="where the owner is reached: ana@example.com")],
    data: Annotated[Path | None, Parameter(help="the table it was trained on: Parquet or CSV")] = None,
    model: Annotated[str, Parameter(help="of a prompt: openai:NAME, anthropic:NAME, URL#NAME, or a .gguf file")] = "",
    corpus: Annotated[str, Parameter(help="of a prompt: files that answers rest on, such as docs/**/*.md")] = "",
    target: Annotated[str, Parameter(help="the column to predict; default: inferred, and said")] = "",
    name: Annotated[str, Parameter(help="the system's name; default: the folder's")] = "",
    trust: Annotated[tuple[str, ...], Parameter(consume_multiple=True, help="types a skops file may hold")] = (),
) -> Reply:
    """Make a project around a prototype: manifest, interface, baseline, first test or cases, home and key."""
    from roadworthy.lifecycle.init import init as init_model
    from roadworthy.lifecycle.init_llm import SUFFIXES, init_llm

    found = context.settings()
    url, folder, opens = f"http://{found.host}:{found.port}", Path.cwd(), context.first_plane
    if source.suffix.lower() in SUFFIXES:
        made = init_llm(source, model, owner, folder=folder, open_plane=opens, corpus=corpus, name=name, url=url)
    elif data is None:
        raise InputError("--data is missing: the table that the model was trained on", hint="--data table.parquet")
    else:
        made = init_model(
            source, data, owner, folder=folder, open_plane=opens, target=target, name=name, trust=trust, url=url
        )
    shown = lines(
        f"{made.name}: wrote {', '.join(made.files)}",
        *(f"note: {note}" for note in made.notes),
        "",
        f"key (shown once): {made.key}",
        "",
        "next: roadworthy release",
        "then: roadworthy up",
        "and from another terminal:",
        made.call,
    )
    data_out = {"system": made.name, "files": made.files, "key": made.key, "call": made.call, "notes": made.notes}
    return Reply(data=data_out, show=shown)


@app.command(group=PROJECT)
def trust(
    pickle: Annotated[Path, Parameter(help="a pickle or joblib file that you know the origin of")],
    *,
    why: Annotated[str, Parameter(help="why it may be loaded; it is kept in the ledger")],
) -> Reply:
    """Trust one pickle by its digest: load it once, apart, and make a skops file of it. Loading runs what is in it."""
    from roadworthy.lifecycle.trust_pickle import trust_pickle as verb

    done = verb(context.first_plane(), pickle, actor=context.actor(Scope.APPROVE), why=why)
    data = {"pickle": done.pickle, "skops": str(done.skops), "by": done.by, "why": done.why}
    shown = lines(
        f"{pickle.name} ({short(done.pickle)}) is trusted by {done.by}: {done.why}",
        f"made {done.skops}; the pickle is not needed any more",
        f"next: roadworthy init --from {done.skops.name} --data table.parquet --owner you@example.com",
    )
    return Reply(data=data, show=shown)


@app.command(group=PROJECT)
def plan(*, everything: Annotated[bool, Parameter(name="--all", negative="")] = False) -> Reply:
    """Say what applying the manifest would do, and every default in force. Changes nothing, on any branch.

    Args:
        everything: print the whole resolved manifest too.
    """
    from roadworthy.lifecycle.plan import plan as verb

    found = verb(context.first_plane(), context.manifest())
    news = "new" if found.is_new else "changed" if found.changes else "unchanged"
    head = [f"{found.system}: {news} (policy {short(found.policy)}, content {short(found.content)})"]
    if found.needs_candidate:
        head.append("the content differs from what is in force: a new candidate will be built")
    changes = [] if found.is_new else [(one.key, one.before, one.after, one.effect) for one in found.changes]
    shows = [lines(*head), table(("key", "in force", "will be", "takes effect"), changes, "no key changes")]
    rules: list[str] = ["", "failure plan:"]
    for rule in found.rules:
        rules.append(f"  {rule.sentence}")
        rules += [f"    {bound.sentence}" for bound in rule.bounds]
    shows.append(lines(*rules))
    for title, texts in (("under way", found.under_way), ("warning", found.warnings), ("refused", found.refused)):
        shows.append(lines(*(f"{title}: {text}" for text in texts)))
    if everything or found.is_new:
        shows.append(_in_force(found.in_force))
    return Reply(data=found, show=after(*shows), exit_code=2 if found.refused else 0)


@app.command(group=PROJECT)
def apply(*, reason: Reason = "") -> Reply:
    """Put the manifest's policy in force. `owner` and `failure` act at once."""
    from roadworthy.lifecycle.apply import apply as verb

    plane, system = context.first_plane(), context.manifest()
    done = verb(plane, system, actor=context.actor(system=system.name), reason=reason)
    said = f"{done.system}: policy {short(done.policy)} is in force"
    return Reply(data=done, show=lines(said if done.changed else f"{said} already"))


@app.command(group=PROJECT)
def build() -> Reply:
    """Build the candidate and its baseline, or find those that the same recipe built before."""
    from roadworthy.lifecycle.build import build as verb

    plane, system = context.first_plane(), context.manifest()
    done = verb(context.folder(), system, plane, context.actor(system=system.name))
    how = "built before from the same recipe" if done.reused else f"built in {done.run.seconds:.1f} s"
    figures = [(name, f"{value:.4f}") for name, value in sorted(done.run.metrics.items())]
    data = {"candidate": done.candidate.id, "reused": done.reused, "run": done.run}
    shown = after(
        lines(f"candidate {short(done.candidate.id)}: {how}; served as {done.candidate.runtime}"),
        lines(*(f"note: {note}" for note in done.run.notes)),
        table(("metric", "hold-out"), figures, "no metrics"),
    )
    return Reply(data=data, show=shown)


@app.command(group=PROJECT)
def check() -> Reply:
    """Build the candidate and judge it by every gate; release nothing."""
    from roadworthy.lifecycle.check import check as verb
    from roadworthy.wiring.trial import trial_for

    plane, system = context.first_plane(), context.manifest()
    actor = context.actor(system=system.name)
    done = verb(plane, context.folder(), system, actor, trial_for=trial_for, tell=_tell)
    said = "every gate in force is open" if done.passed else f"in the way: {'; '.join(done.in_the_way)}"
    shown = after(_verdicts(done.verdicts), lines(said))
    data = {"candidate": done.candidate.id, "passed": done.passed, "verdicts": done.verdicts, "reused": done.reused}
    return Reply(data=data, show=shown, exit_code=0 if done.passed else INCONCLUSIVE if done.undecided else REFUSED)


@app.command(group=PROJECT)
def release(*, reason: Reason = "") -> Reply:
    """Build, judge by every gate, admit, and start the rollout; or refuse, naming every gate that failed."""
    from roadworthy.lifecycle.release import release as verb
    from roadworthy.wiring import prove_loads
    from roadworthy.wiring.trial import trial_for

    plane, system = context.first_plane(), context.manifest()
    done = verb(
        plane,
        context.folder(),
        system,
        context.actor(system=system.name),
        reason=reason,
        trial_for=trial_for,
        prove_loads=prove_loads(plane),
        tell=_tell,
    )
    verdicts = done.check.verdicts if done.check else ()
    data = {
        "release": {"id": done.release.id, "name": done.release.name, "number": done.release.number},
        "already": done.already,
        "verdicts": verdicts,
        "sentence": done.sentence,
        "notes": done.notes,
    }
    return Reply(data=data, show=after(_verdicts(verdicts), lines(*done.notes, done.sentence)))


@app.command(group=PROJECT)
def approve(candidate: str = "candidate", *, system: System = "", reason: Reason = "") -> Reply:
    """Record your yes to one candidate. Above tier low, prove who you are with ROADWORTHY_KEY.

    Args:
        candidate: its digest, its first six digits, or `candidate` for the newest.
    """
    from roadworthy.lifecycle.approve import approve as verb

    name = context.system_name(system)
    done = verb(context.plane(), name, candidate, actor=context.actor(Scope.APPROVE, name), reason=reason)
    return Reply(
        data=done, show=lines(f"{short(done.candidate)} of {name} is approved by {done.by} ({done.assurance})")
    )


@app.command(group=PROJECT)
def waive(gate: str, *, why: str, until: str, system: System = "") -> Reply:
    """Record a named exception to one gate until a date.

    Args:
        gate: the gate.
        why: the reason that stands in the ledger and on the release's page.
        until: the day it ends, like 2026-12-31.
    """
    from roadworthy.lifecycle.approve import waive as verb

    name = context.system_name(system)
    done = verb(
        context.plane(), name, gate, actor=context.actor(Scope.APPROVE, name), why=why, until=context.moment(until)
    )
    return Reply(data=done, show=lines(f"{gate} of {name} is waived by {done.by} until {iso(done.until)}: {done.why}"))


@app.command(group=PROJECT)
def runs(
    *,
    system: System = "",
    compare: Annotated[tuple[str, ...], Parameter(consume_multiple=True)] = (),
    plot: str = "",
) -> Reply:
    """List builds with their parameters and metrics, compare some of them, or plot a metric over all.

    Args:
        compare: two or more run ids; prints where they differ.
        plot: a metric to draw as one bar a run, oldest first.
    """
    from roadworthy.lifecycle.runs import compare as compare_runs
    from roadworthy.lifecycle.runs import find_run
    from roadworthy.lifecycle.runs import runs as verb

    plane, name = context.plane(), context.system_name(system)
    if compare:
        beside = compare_runs([find_run(plane, name, one) for one in compare])
        rows = [(key, *values) for key, values in (*beside.parameters.items(), *beside.metrics.items())]
        return Reply(data=beside, show=table(("what", *(run.id for run in beside.runs)), rows, "nothing to compare"))
    found = verb(plane, name)
    if plot:
        return _plotted(found, plot)
    rows = [
        (
            one.id,
            iso(one.started_at),
            short(one.candidate),
            f"{one.seconds:.1f} s",
            one.commit[:8],
            _figures(one.metrics),
        )
        for one in found
    ]
    return Reply(
        data=found, show=table(("run", "started", "candidate", "took", "commit", "metrics"), rows, "no runs yet")
    )


@app.command(group=PROJECT)
def reproduce(
    release_name: Annotated[str, Parameter(name="release")],
    *,
    here: Annotated[bool, Parameter(negative="", help="build in this folder as it is, not in a clean clone")] = False,
    system: System = "",
) -> Reply:
    """Rebuild a release from its commit in a clean folder and compare answers, metrics and bytes. Changes nothing.

    Args:
        release_name: `flights@v2`, `v2` or a digest.
    """
    from roadworthy.lifecycle.present import find_release, releases
    from roadworthy.lifecycle.reproduce import reproduce as verb
    from roadworthy.manifest import load
    from roadworthy.wiring import catalogue

    plane, name = context.plane(), context.system_name(system)
    wanted = find_release(releases(plane, name), release_name, name)
    installed = catalogue()
    done = verb(wanted.id, context.folder(), plane, lambda place: load(place, installed), here=here)
    same = "the same artifacts, byte for byte" if done.identical else "not the same bytes"
    claim = "agrees" if done.within else "does not agree"
    shown = after(
        lines(f"{wanted.name} built again {claim} within {done.tolerance:g}: {same}"),
        lines(*([f"predictions on the reference rows: {done.agreement}"] if done.agreement else [])),
        lines(*(f"differs: {text}" for text in done.differences)),
        table(
            ("metric", "recorded", "now"),
            [(metric, f"{then:.6g}", f"{now:.6g}") for metric, (then, now) in sorted(done.metrics.items())],
            "no metrics to compare",
        ),
    )
    return Reply(data=done, show=shown, exit_code=0 if done.within else REFUSED)


@app.command(group=PROJECT)
def schema() -> Reply:
    """Print the JSON Schema of the manifest, for editors."""
    import msgspec

    from roadworthy.manifest import json_schema

    document = json_schema()

    def show(out: Console) -> None:
        out.print(escape(msgspec.json.format(msgspec.json.encode(document), indent=2).decode()))

    return Reply(data=document, show=show)


def _tell(text: str) -> None:
    """Tell someone who waits what happens; standard output stays for the answer."""
    sys.stderr.write(f"  {text}\n")


def _verdicts(verdicts: Any) -> Any:
    def show(out: Console) -> None:
        for verdict in verdicts:
            style = _STATE_STYLE.get(str(verdict.state), "")
            out.print(f"  [{style}]{verdict.state:<12}[/] {verdict.gate:<9} {escape(verdict.reason)}")

    return show


def _in_force(document: Any) -> Any:
    def show(out: Console) -> None:
        out.print("\nin force (every default):")
        for key, value in _flat(document):
            out.print(f"  {key} = {escape(str(value))}")

    return show


def _flat(document: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    found: list[tuple[str, Any]] = []
    for key, value in document.items():
        if isinstance(value, Mapping) and value:
            found += _flat(cast("Mapping[str, Any]", value), f"{prefix}{key}.")
        else:
            found.append((f"{prefix}{key}", cast("Any", value)))
    return found


def _plotted(runs: Sequence[Run], metric: str) -> Reply:
    """Draw one metric over the runs that have it."""
    measured = [run for run in runs if metric in run.metrics]
    if not measured:
        raise NotFoundError.among("metric", metric, {name for run in runs for name in run.metrics})
    points = [(f"{run.id}  {iso(run.started_at)[:16]}", run.metrics[metric]) for run in measured]
    data = [{"run": run.id, "started_at": run.started_at, metric: run.metrics[metric]} for run in measured]
    return Reply(data=data, show=after(lines(f"{metric} on the hold-out, oldest run first"), bars(points)))


def _figures(metrics: Any) -> str:
    return " ".join(f"{name}={value:.3f}" for name, value in sorted(metrics.items()))
