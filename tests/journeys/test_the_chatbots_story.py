"""The chatbot's story at a reduced size: a real model behind a real provider, a budget, a hidden change, the table."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path

import pytest

from roadworthy.demo import chat_story
from roadworthy.demo.chat_story import Story
from roadworthy.demo.chatbot.model import model_file
from roadworthy.demo.project import Project, free, lay_out
from roadworthy.demo.telling import tell_story


def put_in_force(story: Story) -> None:
    """Release the good prompt past its gates, which take a minute; the whole story judges by them."""
    project = story.project
    prompt = files("roadworthy.demo.chatbot").joinpath("prompt.md").read_text(encoding="utf-8")
    project.write("prompt.md", "Show the passage again", prompt)
    story.facts["good"] = story.facts["dearer"] = str(project.ask("build")["candidate"])
    project.run("promote", story.facts["good"], "--force", "--reason", "the whole story judges it")
    story.up()


def few_cases(folder: Path) -> None:
    """Keep every second case."""
    path = folder / "suites" / "lines.yaml"
    head, *cases = re.split(r"(?m)^(?=- )", path.read_text(encoding="utf-8"))
    path.write_text(head + "".join(cases[::2]), encoding="utf-8")


def lay_out_reduced(project: Project, provider: int) -> None:
    """Lay out the project with few cases."""

    def write(folder: Path) -> None:
        chat_story.write_project(folder, f"127.0.0.1:{provider}")
        few_cases(folder)

    lay_out(project, write)


@pytest.mark.long
def test_a_chatbot_is_refused_released_paid_for_and_watched(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A worse prompt is refused; for a spent budget and for a changed model the best passage answers, and no error."""
    provider = free(0)
    project = Project(folder=tmp_path / "chat", system="docs", port=free(0), control_port=free(0))
    lay_out_reduced(project, provider)
    story = Story(project=project, questions=chat_story.questions())

    def begin(story: Story) -> None:
        chat_story.prepare(story, model_file(), provider)

    code = tell_story(story, (begin, chat_story.refuse, put_in_force, chat_story.spend, chat_story.change))
    shown = capsys.readouterr().out
    assert code == 0, shown
    assert story.seen.failed == 0
    assert "exit code 2, and nothing was changed" in shown
    assert "callers now get the best passage" in shown
    assert "11 of 11 claims hold, recomputed without roadworthy" in shown
