"""The demo, and the examples it is told with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from roadworthy.cli import context
from roadworthy.cli.app import PROJECT, app
from roadworthy.cli.reply import Reply, lines

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


@app.command(group=PROJECT)
def example(name: str, folder: Path) -> Reply:
    """Lay out an example project with its data, ready for `roadworthy release`.

    Args:
        name: `flights` or `loans`.
        folder: where; new or empty.
    """
    from roadworthy.demo.examples import lay_out_example

    made = lay_out_example(name, folder)
    shown = lines(
        f"{name}: {made.train_rows:,} rows to build from in data/train.parquet, {made.later_rows:,} later ones beside",
        "",
        f"next: cd {folder} && roadworthy release",
        "then: roadworthy up",
    )
    data = {"name": name, "folder": str(folder), "train_rows": made.train_rows, "later_rows": made.later_rows}
    return Reply(data=data, show=shown)
