"""The main job on real data, told step by step: refuse, release, watch, roll back, explain, drill.

Everything is done as a user does it: commands are run, requests go over HTTP, outcomes come when the flights land. The
closing table is recomputed by `recompute.py`, which imports nothing of this package.
"""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from roadworthy.demo.project import Project, lay_out
from roadworthy.demo.replay import Replay
from roadworthy.domain.digest import short
from roadworthy.domain.moment import DAY, HOUR, iso
from roadworthy.errors import InputError, RefusedError, UnavailableError

STEPS: Final = ("refuse", "release", "drift", "rollback", "explain", "drill", "ledger")
REFUSED: Final = 2
_PATIENCE_S: Final = 30.0


@dataclass(slots=True)
class Story:
    """One telling: where it happens, what was claimed so far, and which step is to be spoiled."""

    project: Project
    out: Console
    sabotage: str = ""
    claims: dict[str, Any] = field(default_factory=dict[str, Any])
    bad: str = ""
    good: str = ""
    up: subprocess.Popen[bytes] | None = None
    replay: Replay | None = None
    started_at: float = field(default_factory=time.monotonic)

    def say(self, text: str, style: str = "") -> None:
        """Print one line of the story."""
        self.out.print(f"  [{style}]{escape(text)}[/]" if style else f"  {escape(text)}")

    def title(self, text: str) -> None:
        """Begin a step."""
        self.out.print(f"\n[bold]{escape(text)}[/]  [dim]{time.monotonic() - self.started_at:.0f} s[/]")


def tell(folder: Path, *, stay: bool, sabotage: str, port: int, control_port: int) -> int:
    """Tell the story; return 0 when every claim of its closing table was recomputed and holds, else 1.

    Raises:
        InputError: there is no such step to sabotage.
        UnavailableError: the folder is not the demo's, or a process did not answer.
    """
    if sabotage and sabotage not in STEPS:
        raise InputError(f"no step called '{sabotage}' to sabotage", hint=f"one of: {', '.join(STEPS)}")
    out = Console(highlight=False, soft_wrap=True)
    # Told to end, the story ends what it started.
    signal.signal(signal.SIGTERM, _end)
    story = Story(project=lay_out(folder.absolute(), port, control_port), out=out, sabotage=sabotage)
    try:
        for step in (prepare, refuse, release, drift, rollback, explain, drill, close):
            step(story)
        holds = verdict(story)
        if stay and not sabotage:
            go_on(story)
    except KeyboardInterrupt:
        return 0
    else:
        return 0 if holds else 1
    finally:
        if story.up is not None:
            story.up.send_signal(signal.SIGTERM)
            story.up.wait(_PATIENCE_S)


def prepare(story: Story) -> None:
    """Show what there is to begin with, and make a home."""
    project, files = story.project, story.project.files
    story.title("A model on a laptop")
    story.say(
        f"{files.train_rows:,} flights of January to March 2013 to learn from; will this one arrive 15 minutes late?"
    )
    story.say(f"{files.later_rows:,} flights of April to December to replay, in order, outcomes when they land")
    story.say(f"the project: {project.folder}")
    if story.sabotage == "drift":
        project.blind_to_drift()
    project.run("apply", "--reason", "begin")
    made = project.ask("keys", "create", "replay", "--scopes", "admin")
    project.key = str(made["key"])


def refuse(story: Story) -> None:
    """A colleague's slip: `<` for `>=`. The release is refused, with every reason at once."""
    project = story.project
    story.title("A bad release is refused")
    project.train_with("train_bad.py", "Clean up the target")
    if story.sabotage == "refuse":
        for gate in ("baseline", "tests", "contract", "latency", "export", "skew"):
            project.run("waive", gate, "--why", "sabotage", "--until", "2013-12-31")
    done = project.run("release", "--json", check=False)
    document = json.loads(done.stdout)
    story.bad = str(project.ask("build")["candidate"])
    failed = ["baseline"]
    if done.returncode == REFUSED:
        for line in str(document["error"]["message"]).splitlines():
            story.say(line, "red")
        story.say("exit code 2, and nothing was changed: callers would still get the baseline's answers", "dim")
    else:
        story.say("it was admitted", "red")
    story.claims["gates that refused the bad model"] = ", ".join(failed)
    story.claims["the bad model was admitted before it was forced"] = False


def release(story: Story) -> None:
    """The good model passes its gates and takes traffic through shadow and canary, watched at each step."""
    project = story.project
    story.title("A good release goes through shadow and canary")
    project.train_with("train.py", "Mend the target")
    done = project.ask("release", "--reason", "better than the baseline")
    for verdict_ in done["verdicts"]:
        story.say(f"{verdict_['state']:<6} {verdict_['gate']:<9} {verdict_['reason']}", "green")
    story.good = str(done["release"]["id"])
    story.up = project.start("up")
    _await(story, lambda: _ready(project), "the workers to answer")
    story.say(f"console: http://127.0.0.1:{project.control_port}/  (sign in with {project.key})", "bold")
    story.replay = Replay(project.files.later, project.port, project.control_port, project.key, every=2)
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
        rollout: dict[str, Any] = _status(story)["rollout"] or {}
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
    replay.pass_by(9 * DAY, 3 * HOUR)
    if story.sabotage != "drift":
        _await(story, lambda: story.good in _incidents(story, "drift"), "the drift to be seen")
    for one in _status(story)["objectives"]:
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
        if _champion(story) != story.bad or replay.seen.bad_outcomes[name] > 4 * bound:
            break
    replay.pass_by(2 * HOUR, HOUR)
    accepted = replay.seen.bad_accepted_at.get(name, [])
    nth = accepted[min(bound, len(accepted)) - 1] if accepted else 0.0
    seconds = max(0.0, replay.seen.last_answer_by.get(name, nth) - nth)
    story.say(
        f"{replay.seen.bad_outcomes[name]} bad outcomes, then {_champion_name(story)} was champion again", "green"
    )
    story.say(f"from the {min(bound, len(accepted))}th bad outcome accepted to its last answer: {seconds:.1f} s")
    story.say(f"requests that failed meanwhile: {replay.seen.failed - failed_before} of {replay.seen.sent:,}")
    story.claims["the bad release was rolled back by"] = "roadworthy"
    story.claims["and the champion became"] = "flights@v1"
    story.claims["requests that failed"] = 0


def explain(story: Story) -> None:
    """One answer, traced back to release, code, data, gates and who approved."""
    story.title("One prediction explained")
    record = _replay(story).seen.last_record
    if story.sabotage == "explain":
        record = "0" * 32
    done = story.project.run("explain", record, check=False)
    for line in (done.stdout or done.stderr).splitlines()[:24]:
        story.say(line)
    story.claims["the last answer is explained"] = record


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


def close(story: Story) -> None:
    """Write down what was claimed."""
    story.claims["answers without a record"] = 0
    story.claims["answers = records + counted losses"] = True
    story.claims["ledger entries that do not hold"] = 0
    story.claims["state changes carried out twice"] = 0
    if story.sabotage == "ledger":
        with sqlite3.connect(story.project.home / "control.sqlite", timeout=30) as database:
            database.execute("update ledger set reason = 'nothing happened' where seq = 5")
        database.close()


def verdict(story: Story) -> bool:
    """Have the claims recomputed by a script that knows only the files and the ports."""
    story.title("Recomputed from the ledger and over HTTP")
    project = story.project
    claims = {
        "system": "flights", "bad": story.bad, "good": story.good, "port": project.port, "key": project.key,
        "control_port": project.control_port, "claims": story.claims,
        "record": story.claims.get("the last answer is explained", ""),
    }  # fmt: skip
    path = project.folder / "claims.json"
    path.write_text(json.dumps(claims, indent=2), encoding="utf-8")
    script = Path(__file__).with_name("recompute.py")
    done = subprocess.run(
        [sys.executable, "-I", str(script), str(project.home), str(path)], capture_output=True, text=True, check=False
    )
    sheet = Table(box=None, pad_edge=False, show_header=False)
    for line in done.stdout.splitlines():
        mark, _, rest = line.partition(" ")
        sheet.add_row(f"[{'green' if mark == 'holds' else 'bold red'}]{escape(mark)}[/]", escape(rest.strip()))
    story.out.print(sheet)
    if done.stderr:
        story.say(done.stderr.strip(), "red")
    return done.returncode == 0


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


def _end(*_: object) -> None:
    sys.exit(1)


def _replay(story: Story) -> Replay:
    if story.replay is None:
        raise UnavailableError("the replay has not begun")
    return story.replay


def _status(story: Story) -> dict[str, Any]:
    return story.project.look("/systems/flights.json")


def _incidents(story: Story, objective: str) -> list[str]:
    """Return the releases that have an incident of an objective."""
    found = story.project.look("/incidents.json")
    return [one["release"] for one in (*found["open"], *found["closed"]) if one["objective"] == objective]


def _champion(story: Story) -> str:
    return next(arm["id"] for arm in _status(story)["route"]["arms"] if arm["role"] == "champion")


def _champion_name(story: Story) -> str:
    return next(arm["release"] for arm in _status(story)["route"]["arms"] if arm["role"] == "champion")


def _bound(story: Story) -> int:
    for rule in story.project.ask("plan")["rules"]:
        for bound in rule["bounds"]:
            if bound["release"] == story.bad and bound["n"]:
                return int(bound["n"])
    raise RefusedError("the plan states no bound for the forced release")


def _ready(project: Project) -> bool:
    import http.client

    line = http.client.HTTPConnection("127.0.0.1", project.port, timeout=2)
    try:
        line.request("GET", "/v2/models/flights/ready", headers={"authorization": f"Bearer {project.key}"})
        return line.getresponse().status == 200  # noqa: PLR2004
    except OSError:
        return False
    finally:
        line.close()


def _await(story: Story, holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not holds():
        if time.monotonic() > deadline or (story.up is not None and story.up.poll() is not None):
            raise UnavailableError(f"waited in vain for {what}", hint=f"see {story.project.folder / 'up.log'}")
        time.sleep(0.2)
