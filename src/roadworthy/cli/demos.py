"""The demo."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from roadworthy.cli import context
from roadworthy.cli.app import PROJECT, app
from roadworthy.cli.reply import Reply

_FOLDER = Path("roadworthy-demo")


@app.command(group=PROJECT)
def demo(
    *,
    leave: Annotated[bool, Parameter(name="--exit", negative="", help="end when the story is told")] = False,
    folder: Annotated[Path, Parameter(help="where the project is made")] = _FOLDER,
    sabotage: Annotated[str, Parameter(help="spoil one step, to see that the check finds it")] = "",
) -> Reply:
    """Tell the main job on real flights: refuse, release, watch, roll back, explain, drill. Then stay up."""
    from roadworthy.demo.story import tell

    found = context.settings()
    code = tell(folder, stay=not leave, sabotage=sabotage, port=found.port, control_port=found.control_port)
    return Reply(data={"holds": code == 0}, exit_code=code)
