"""The main job on real data, told step by step: refuse, release, watch, roll back, explain, drill.

Everything is done as a user does it: commands are run, requests go over HTTP, outcomes come when the flights land. The
closing table is recomputed by `recompute.py`, which imports nothing of this package.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

from roadworthy.demo import telling
from roadworthy.demo.data import ExampleFiles
from roadworthy.demo.examples import put_example
from roadworthy.demo.project import Project, free, lay_out
from roadworthy.demo.replay import Replay
from roadworthy.demo.telling import known_step, tell_story
from roadworthy.domain.digest import short
from roadworthy.domain.moment import DAY, HOUR, iso
from roadworthy.errors import RefusedError, UnavailableError

STEPS: Final = ("refuse", "release", "drift", "rollback", "explain", "drill", "ledger")
START: Final = "2013-04-01T04:00:00Z"


@dataclass(slots=True, kw_only=True)
class Story(telling.Story):
    """The flights' story: the model that is refused, the one that is released, and the flights as they come."""

    made: ExampleFiles
    bad: str = ""
    good: str = ""
    replay: Replay | None = None


def tell(folder: Path, *, stay: bool, sabotage: str, port: int, control_port: int) -> int:
    """Tell the story; return 0 when every claim of its closing table was recomputed and holds, else 1.

    Raises:
        InputError: there is no such step to sabotage.
        UnavailableError: the folder is not the demo's, or a process did not answer.
    """
    known_step(sabotage, STEPS)
    project = Project(
        folder=folder.absolute(), system="flights", port=free(port), control_port=free(control_port),
        variables={"ROADWORTHY_CLOCK": f"replay:{START}"},
    )  # fmt: skip
    made: list[ExampleFiles] = []
    lay_out(project, lambda folder: made.append(put_example("flights", folder)))
    story = Story(project=project, made=made[0], sabotage=sabotage)
    steps = (prepare, refuse, release, drift, rollback, explain, drill)
    return tell_story(story, steps, go_on if stay else None)


def prepare(story: Story) -> None:
    """Show what there is to begin with, and make a home."""
    project, made = story.project, story.made
    story.title("A model on a laptop")
    story.say(
        f"{made.train_rows:,} flights of January to March 2013 to learn from; will this one arrive 15 minutes late?"
    )
    story.say(f"{made.later_rows:,} flights of April to December to replay, in order, outcomes when they land")
    story.say(f"the project: {project.folder}")
    if story.sabotage == "drift":
        project.edit("system.yaml", "Look away", {"watch: {": "watch: {objectives: {drift: drift > 1000}, "})
    story.begin()


def refuse(story: Story) -> None:
    """A colleague's slip: `<` for `>=`. The release is refused, with every reason at once."""
    project = story.project
    story.title("A bad release is refused")
    project.write("train.py", "Clean up the target", _prototype("train_bad.py"))
    if story.sabotage == "refuse":
        for gate in ("baseline", "tests", "contract", "latency", "export", "skew"):
            project.run("waive", gate, "--why", "sabotage", "--until", "2013-12-31")
    story.release(expect_refusal=True)
    story.facts["bad"] = story.bad = str(project.ask("build")["candidate"])
    story.claims["gates that refused the bad model"] = "baseline"
    story.claims["the bad model was admitted before it was forced"] = False


def release(story: Story) -> None:
    """The good model passes its gates and takes traffic through shadow and canary, watched at each step."""
    project = story.project
    story.title("A good release goes through shadow and canary")
    project.write("train.py", "Mend the target", _prototype("train.py"))
    done = story.release(expect_refusal=False)
    story.facts["good"] = story.good = str(done["release"]["id"])
    story.up()
    story.replay = Replay(story.made.later, project.port, project.control_port, project.key, every=2)
    if story.sabotage == "release":
        project.run("promote", story.good, "--force", "--reason", "sabotage")
    _watch_rollout(story, story.replay)
    shares = story.replay.seen.by_release
    story.say(f"answers by release: {', '.join(f'{name} {count:,}' for name, count in shares.items())}")
    story.claims["stages the good release went through"] = "shadow, canary, full"


def _watch_rollout(story: Story, replay: Replay) -> None:
    """Replay flights until the rollout has ended; say a word at each new stage and twice a day."""
    stage, said_at = "", replay.now
    while replay.left:
        replay.pass_by(3 * HOUR)
        rollout: dict[str, Any] = story.status()["rollout"] or {}
        now = next((str(one["stage"]) for one in rollout.get("stages", ()) if one["place"] == "now"), "")
        if now != stage or replay.now - said_at >= DAY // 2:
            story.say(f"{iso(replay.now)[:16]}  {rollout.get('sentence')}")
            stage, said_at = now, replay.now
        if rollout.get("state") in ("done", "aborted"):
            return
    raise UnavailableError("the flights ran out before the rollout ended")


def drift(story: Story) -> None:
    """Spring comes: the season is seen, and named, without a line of monitoring code."""
    story.title("The season's drift is seen")
    replay = _replay(story)

    def is_seen() -> bool:
        return story.good in [one["release"] for one in story.incidents("drift")]

    # No longer than it takes: the storms of 10 to 12 April may be called harm, and roll the good release back.
    for _ in range(3 * DAY // (3 * HOUR)):
        replay.pass_by(3 * HOUR)
        if is_seen():
            break
    if story.sabotage != "drift":
        story.wait(is_seen, "the drift to be seen")
    for one in story.status()["objectives"]:
        if one["objective"] == "drift" and one["release"] == "flights@v1":
            story.say(f"flights@v1: {one['why']}", "yellow")
    story.say("drift alone never rolls back: it opened an incident; quality decides", "dim")
    story.claims["the season's drift was seen before anyone changed the route"] = True


def rollback(story: Story) -> None:
    """Someone forces the refused model live. Its outcomes come in, and it is rolled back by itself."""
    project, replay = story.project, _replay(story)
    story.title("The bad model is forced live, and rolled back by itself")
    if story.sabotage == "rollback":
        project.run("pause", "--reason", "sabotage")
    project.run("promote", story.bad, "--force", "--reason", "the demo insists")
    bound = _bound(story)
    story.say(
        f"ana forces {short(story.bad)} live; the plan says: rolled back at the latest {bound} bad outcomes later"
    )
    failed_before, name = replay.seen.failed, ""
    for _ in range(60):
        replay.pass_by(HOUR, HOUR)
        name = name or next((one for one in replay.seen.by_release if one.endswith("v2")), "")
        if story.champion() != story.bad or replay.seen.bad_outcomes[name] > 4 * bound:
            break
    replay.pass_by(2 * HOUR, HOUR)
    accepted = replay.seen.bad_accepted_at.get(name, [])
    nth = accepted[min(bound, len(accepted)) - 1] if accepted else 0.0
    seconds = max(0.0, replay.seen.last_answer_by.get(name, nth) - nth)
    story.say(
        f"{replay.seen.bad_outcomes[name]} bad outcomes, then {story.champion('release')} was champion again", "green"
    )
    story.say(f"from the {min(bound, len(accepted))}th bad outcome accepted to its last answer: {seconds:.1f} s")
    story.say(f"requests that failed meanwhile: {replay.seen.failed - failed_before} of {replay.seen.sent:,}")
    story.claims["the bad release was rolled back by"] = "roadworthy"
    story.claims["and the champion became"] = "flights@v1"
    story.claims["requests that failed"] = 0


def explain(story: Story) -> None:
    """One answer, traced back to release, code, data, gates and who approved."""
    story.title("One prediction explained")
    telling.explain(story, _replay(story).seen.last_record)


def drill(story: Story) -> None:
    """Faults are injected into the running system, and the time to detect and restore is measured."""
    story.title("A drill")
    faults = ("model_raises", "worker_killed") if story.sabotage != "drill" else ("no_such_fault",)
    done = story.project.run("drill", "--faults", *faults, "--json", check=False, timeout_s=240)
    document: Any = json.loads(done.stdout)
    reports: list[Any] = [] if "error" in document else document
    if not reports:
        story.say(str(document["error"]["message"]), "red")
    for one in reports:
        times = f"detected after {one['detected_after_s']} s, restored after {one['restored_after_s']} s"
        story.say(f"{one['fault']}: {times}; {one['failed']} of {one['requests']} requests failed")
    story.claims["faults drilled and restored"] = 2


def go_on(story: Story) -> None:
    """Keep traffic flowing until the reader has seen enough."""
    project = story.project
    story.title("The system stays up and traffic goes on: Ctrl-C ends it")
    story.say(f"console: http://127.0.0.1:{project.control_port}/systems/flights  key: {project.key}", "bold")
    story.say(f"commands: cd {project.folder} && roadworthy status")
    replay = _replay(story)
    while replay.left:
        replay.pass_by(HOUR, HOUR)
        time.sleep(1)


def _replay(story: Story) -> Replay:
    if story.replay is None:
        raise UnavailableError("the replay has not begun")
    return story.replay


def _bound(story: Story) -> int:
    for rule in story.project.ask("plan")["rules"]:
        for bound in rule["bounds"]:
            if bound["release"] == story.bad and bound["n"]:
                return int(bound["n"])
    raise RefusedError("the plan states no bound for the forced release")


def _prototype(name: str) -> str:
    return files("roadworthy.demo.flights").joinpath(name).read_text(encoding="utf-8")
