"""The demo, and the examples it is told with."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from roadworthy.cli import context
from roadworthy.cli.app import PROJECT, app
from roadworthy.cli.reply import Reply, lines
from roadworthy.errors import NotFoundError

_FOLDERS = {"flights": Path("roadworthy-demo"), "chat": Path("roadworthy-demo-chat")}


@app.command(group=PROJECT)
def demo(
    story: str = "flights",
    *,
    leave: Annotated[bool, Parameter(name="--exit", negative="", help="end when the story is told")] = False,
    folder: Annotated[Path | None, Parameter(help="where the project is made")] = None,
    sabotage: Annotated[str, Parameter(help="spoil one step, to see that the check finds it")] = "",
) -> Reply:
    """Tell the main job on real parts, then stay up: refuse, release, watch, go wrong, recover, explain.

    Args:
        story: `flights`, a model of flight delays; or `chat`, a chatbot over this project's docs.
    """
    if story == "chat":
        from roadworthy.demo.chat_story import tell
    elif story == "flights":
        from roadworthy.demo.story import tell
    else:
        raise NotFoundError.among("story", story, ["chat", "flights"])
    found = context.settings()
    place = folder or _FOLDERS[story]
    code = tell(place, stay=not leave, sabotage=sabotage, port=found.port, control_port=found.control_port)
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
