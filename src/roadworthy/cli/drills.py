"""The drill: prove the failure plan on the running system."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from roadworthy.cli import context
from roadworthy.cli.app import TRAFFIC, app
from roadworthy.cli.reply import Reply, table
from roadworthy.cli.traffic import Environment, System


@app.command(group=TRAFFIC)
def drill(
    *,
    system: System = "",
    environment: Environment = "live",
    faults: Annotated[
        tuple[str, ...],
        Parameter(consume_multiple=True, help="which faults; default all, see docs/how-to/drill.md"),
    ] = (),
) -> Reply:
    """Inject faults into the running system and measure how soon each is detected and restored."""
    from roadworthy.lifecycle.drill import drill as verb
    from roadworthy.stores.fault_files import FileFaults

    plane, name = context.plane(), context.system_name(system)
    reports = verb(
        plane,
        name,
        FileFaults(plane.home.root),
        faults,
        actor=context.actor(system=name),
        environment=environment,
        tell=lambda text: print(f"  {text}", file=sys.stderr),
    )
    rows = [
        (
            one.fault,
            _seconds(one.detected_after_s),
            _seconds(one.restored_after_s),
            f"{one.failed} of {one.requests}",
            one.fallbacks,
            one.sign,
        )
        for one in reports
    ]
    shown = table(("fault", "detected after", "restored after", "failed", "fallbacks", "sign"), rows)
    return Reply(data=reports, show=shown, exit_code=0 if all(one.passed for one in reports) else 2)


def _seconds(value: float | None) -> str:
    return "never" if value is None else f"{value:.1f} s"
