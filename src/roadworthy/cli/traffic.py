"""Commands that move traffic."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from roadworthy.cli import context
from roadworthy.cli.app import TRAFFIC, app
from roadworthy.cli.reply import Reply, lines
from roadworthy.settings import Settings

if TYPE_CHECKING:
    from roadworthy.lifecycle.control import Control
    from roadworthy.ports.plane import Plane

System = Annotated[str, Parameter(help="the system; default: the project's in this folder")]
Reason = Annotated[str, Parameter(help="why; it is kept in the ledger")]
Environment = Annotated[str, Parameter(help="the environment")]


@app.command(group=TRAFFIC)
def up(*, port: int | None = None, control_port: int | None = None, workers: int | None = None) -> Reply | None:
    """Run everything on this machine: workers that answer, control that watches, the console.

    Args:
        port: where callers reach the systems (default 8080).
        control_port: where the console and control API are (default 8081).
        workers: how many processes answer.
    """
    from roadworthy.wiring.processes import up as run

    run(_ports(port, control_port, workers), print)
    return None


@app.command(group=TRAFFIC)
def serve(*, port: int | None = None, workers: int | None = None) -> Reply | None:
    """Run the data plane only: it serves the last snapshot, also while control is away."""
    from roadworthy.wiring import run_serve

    run_serve(_ports(port, None, workers))
    return None


@app.command(group=TRAFFIC)
def control(*, control_port: int | None = None) -> Reply | None:
    """Run the control process only: it observes, responds, rolls out and shows the console."""
    from roadworthy.wiring.processes import control as run

    run(_ports(None, control_port, None), _console)
    return None


@app.command(group=TRAFFIC)
def promote(
    release: str,
    *,
    system: System = "",
    reason: Reason = "",
    force: Annotated[bool, Parameter(negative="", help="route it to all traffic at once, past failed gates")] = False,
    environment: Environment = "live",
) -> Reply:
    """Start the rollout of a release (`flights@v2`, `v2` or its digest)."""
    from roadworthy.lifecycle.promote import promote as verb
    from roadworthy.wiring import prove_loads

    plane, name = context.plane(), context.system_name(system)
    done = verb(
        plane,
        name,
        release,
        actor=context.actor(system=name),
        prove_loads=prove_loads(plane),
        reason=reason,
        environment=environment,
        force=force,
    )
    return Reply(data=done, show=lines(done.sentence))


@app.command(group=TRAFFIC)
def rollback(*, to: str = "", system: System = "", reason: Reason = "", environment: Environment = "live") -> Reply:
    """Make an earlier release champion again, or abort the rollout under way. Works while control is dead."""
    from roadworthy.lifecycle.roll_back import roll_back as verb
    from roadworthy.wiring import prove_loads

    plane, name = context.plane(), context.system_name(system)
    done = verb(
        plane,
        name,
        to,
        actor=context.actor(system=name),
        reason=reason,
        environment=environment,
        prove_loads=prove_loads(plane),
    )
    return Reply(data=done, show=lines(done.sentence))


@app.command(group=TRAFFIC)
def pause(
    *,
    system: System = "",
    reason: Reason = "",
    rollout: Annotated[bool, Parameter(negative="", help="hold only the rollout under way")] = False,
    environment: Environment = "live",
) -> Reply:
    """Stop the automation of a system; pages still go out."""
    from roadworthy.lifecycle.pause import pause as verb
    from roadworthy.lifecycle.roll_out import pause_rollout

    name = context.system_name(system)
    if rollout:
        held = pause_rollout(
            context.plane(), name, actor=context.actor(system=name), reason=reason, environment=environment
        )
        return Reply(data=held, show=lines(f"{name}: the rollout is on hold; next: roadworthy resume --rollout"))
    verb(context.plane(), name, actor=context.actor(system=name), reason=reason)
    shown = lines(f"{name}: automation is paused; it pages, and does nothing else, until: roadworthy resume")
    return Reply(data={"system": name, "paused": True}, show=shown)


@app.command(group=TRAFFIC)
def resume(
    *,
    system: System = "",
    reason: Reason = "",
    rollout: Annotated[bool, Parameter(negative="", help="let the rollout on hold go on")] = False,
    environment: Environment = "live",
) -> Reply:
    """Let the automation of a system act again."""
    from roadworthy.lifecycle.pause import resume as verb
    from roadworthy.lifecycle.roll_out import resume_rollout

    name = context.system_name(system)
    if rollout:
        held = resume_rollout(
            context.plane(), name, actor=context.actor(system=name), reason=reason, environment=environment
        )
        return Reply(data=held, show=lines(f"{name}: the rollout goes on"))
    verb(context.plane(), name, actor=context.actor(system=name), reason=reason)
    return Reply(data={"system": name, "paused": False}, show=lines(f"{name}: automation acts again"))


@app.command(group=TRAFFIC)
def stop(*, system: System = "", reason: Reason, environment: Environment = "live") -> Reply:
    """Answer 503 on purpose until `roadworthy start`."""
    from roadworthy.lifecycle.pause import stop as verb

    name = context.system_name(system)
    route = verb(context.plane(), name, actor=context.actor(system=name), reason=reason, environment=environment)
    return Reply(data=route, show=lines(f"{name} is stopped: {reason}", "next: roadworthy start"))


@app.command(group=TRAFFIC)
def start(*, system: System = "", reason: Reason = "", environment: Environment = "live") -> Reply:
    """Answer again after `stop`, or put the champion in front again after a fallback."""
    from roadworthy.lifecycle.pause import restore as verb

    name = context.system_name(system)
    route = verb(context.plane(), name, actor=context.actor(system=name), reason=reason, environment=environment)
    return Reply(data=route, show=lines(f"{name} answers again"))


def _console(plane: Plane, work: Control) -> Callable[..., Any]:
    from roadworthy.console.app import app

    return app(plane, health=lambda: work.health)


def _ports(port: int | None, control_port: int | None, workers: int | None) -> Settings:
    from dataclasses import replace

    found = context.settings()
    return replace(
        found,
        home=context.home_path(),
        port=found.port if port is None else port,
        control_port=found.control_port if control_port is None else control_port,
        workers=found.workers if workers is None else workers,
    )
