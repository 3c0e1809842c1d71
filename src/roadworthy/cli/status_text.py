"""Status and explanations as text for a person at a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from roadworthy.domain.digest import short
from roadworthy.domain.moment import iso
from roadworthy.domain.objective import Signal, Standing
from roadworthy.lifecycle.assistants import AssistantExplained
from roadworthy.lifecycle.explain import Explanation, ReleaseExplained
from roadworthy.lifecycle.explain_chat import ChatExplained
from roadworthy.lifecycle.status import Status

_LAMP = {Standing.OK: "[green]●[/]", Standing.BREACH: "[bold red]■[/]", Standing.PENDING: "[yellow]▲[/]"}
_NO_DATA = "[dim]○[/]"
_OVERALL = ("latency", "errors", "violations", "traffic", "predictions", "drift", "quality", "harm", "auc", "outcomes")


def show_status(found: Status) -> Callable[[Console], None]:
    """Show state, cause and next step first, the figures after."""

    def show(out: Console) -> None:
        out.print(f"[bold]{escape(found.system)}[/] ({found.environment}): {escape(found.sentence)}")
        for light in found.lights:
            lamp = _LAMP.get(light.standing, _NO_DATA)
            out.print(f"  {lamp} {light.light:<10} {light.standing}: {escape(light.reason)}")
        if found.next_step:
            out.print(f"  next: {escape(found.next_step)}")
        if found.replay:
            out.print(f"  [dim]the clock of this home is replayed: {iso(found.at)}[/]")
        out.print("\n[bold]route[/]" + ("" if found.applied else "  [yellow]not applied by every worker yet[/]"))
        for part in found.parts:
            out.print(f"  {part.name:<20} {part.role:<11} {part.share:.0%}")
        if found.rollout is not None:
            told = found.rollout.waiting_for or found.rollout.ended_for
            out.print(
                f"  rollout of {found.rollout.name}: {found.rollout.state}, {found.rollout.stage}"
                + (f"; {escape(told)}" if told else "")
            )
        out.print("\n[bold]signals[/]")
        out.print(_signals(found))
        for one in found.incidents:
            out.print(f"[red]incident[/] {one.id} {one.severity} {one.state}: {escape(one.title)}")
        out.print(f"[dim]drill: {escape(found.drill.reason)}[/]")

    return show


def _signals(found: Status) -> Table:
    names = {part.release: part.name for part in found.parts}
    sheet = Table(box=None, pad_edge=False, header_style="bold")
    for header in ("signal", "release", "value", "n", "why"):
        sheet.add_column(header, overflow="fold")
    for one in found.signals:
        if one.name in _OVERALL or one.alarm:
            why = escape(one.reason[:90])
            sheet.add_row(
                f"  {one.name}", names.get(one.release, "" if not one.release else "…"), spell(one), str(one.n), why
            )
    return sheet


def spell(signal: Signal) -> str:
    """Write a signal's value with its unit, or that there is none."""
    if signal.value is None:
        return "no data"
    if signal.unit in ("share", "loss"):
        return f"{signal.value:.1%}"
    return f"{signal.value:.3g} {signal.unit}".rstrip()


def show_explanation(found: Explanation) -> Callable[[Console], None]:
    """Show one answer's chain, from the answer back to people."""

    def show(out: Console) -> None:
        for line in explained(found):
            out.print(escape(line), soft_wrap=True)

    return show


def explained(found: Explanation) -> Iterator[str]:
    """Write the chain line by line."""
    yield found.sentence
    yield f"  record    {found.record}, answered {iso(found.answered_at)} in {found.latency_us / 1000:.1f} ms"
    if found.chat is None:
        yield f"  inputs    {_pairs(found.inputs)}"
        yield f"  outputs   {_pairs(found.outputs)}"
    else:
        yield from _chat(found, found.chat)
    yield from (f"  violation {field}: {rule}" for field, rule in found.violations)
    yield from (f"  age       {one.field}: {_age(one.age_ms)} (of {one.age_of})" for one in found.ages)
    if found.route is not None:
        route = found.route
        yield f"  route     version {route.version}, {route.arm} at {route.share:.0%}, by {route.actor}: {route.reason}"
    for title, release in (("release", found.release), ("intended", found.intended)):
        if release is not None:
            yield from _release(title, release)
    for outcome in found.outcomes:
        yield f"  outcome   {outcome.scorer} {outcome.value}, known {iso(outcome.known_at)}"
    if not found.outcomes:
        yield "  outcome   none yet"


def _release(title: str, release: ReleaseExplained) -> Iterator[str]:
    admitted = f"admitted {iso(release.admitted_at)} by {release.admitted_by}"
    yield f"  {title:<9} {release.name} ({short(release.id)}), {admitted}"
    if release.forced_by:
        yield f"  forced    by {release.forced_by}"
    dirty = " with uncommitted changes" if release.dirty else ""
    yield f"  code      commit {release.commit[:12] or 'none'}{dirty}, recipe {short(release.recipe)}"
    yield from (f"  data      {name} {short(digest)}" for name, digest in release.data.items())
    yield from (f"  gate      {gate.gate}: {gate.state} ({gate.reason})" for gate in release.gates)
    if release.assistant is not None:
        yield from _assistant(release.assistant)
    yield f"  approved  {', '.join(release.approved_by) or _unapproved(release)}"


def _unapproved(release: ReleaseExplained) -> str:
    if release.is_baseline:
        return "by nobody: a baseline comes with its system"
    return "by nobody: it was forced" if release.forced_by else "by nobody: its tier asks for no approval"


def _chat(found: Explanation, chat: ChatExplained) -> Iterator[str]:
    """Write what a person asks of an answer: what was said, by which model, resting on what, at what cost."""
    yield from (f"  {name:<9} {value}" for name, value in found.inputs.items() if value is not None)
    yield f"  answer    {found.outputs.get('text') or 'nothing was said, or it was not kept'}"
    source = f"pin {chat.pin}, model {chat.model}" if chat.pin else "none was asked"
    source += f", fingerprint {chat.fingerprint}" if chat.fingerprint else ""
    source += ", from the cache" if chat.from_cache else ""
    yield f"  model     {source}; ended by {chat.finish or 'no answer'}"
    tokens = f"{chat.input_tokens} tokens in ({chat.cached_tokens} cached), {chat.output_tokens} out"
    price = f"price list {chat.price}" if chat.price else "no price is known" if chat.pin else "nothing to pay"
    cost = f"{chat.cost:.9f}".rstrip("0").rstrip(".")
    yield f"  cost      {f'{cost} {chat.currency}'.rstrip()}, {tokens}, {price}"
    if chat.first_token_ms:
        yield f"  first     token after {chat.first_token_ms:.0f} ms"
    yield from (f"  passage   [{one.n}] {one.id}" for one in chat.passages)
    yield from (f"  guard     {one.guard}: {one.did} ({one.found})" for one in chat.guards)


def _assistant(made: AssistantExplained) -> Iterator[str]:
    if made.prompt_digest:
        yield f"  prompt    {short(made.prompt_digest)}"
    for pin in made.pins:
        yield f"  pin       {pin.name}: {pin.provider} {pin.model}{' (in use)' if pin.is_used else ''}"
    if made.index is not None:
        yield f"  index     {short(made.index.digest)}, {made.index.passages} passages of {len(made.index.files)} files"


def _pairs(values: Mapping[str, object]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items()) or "not kept"


def _age(age_ms: int | None) -> str:
    return "not said" if age_ms is None else f"{age_ms / 60_000:.0f} min"
