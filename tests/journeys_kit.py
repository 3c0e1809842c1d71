"""A user's whole loop for journeys: a prototype, released, and `up` in real processes.

`released` makes one project by the command line and keeps it for every test of the run, since a release takes its time;
a test copies the folder. Callers and the pager's receiver are in `callers_kit`.
"""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from roadworthy.domain.ledger import Noun
from roadworthy.domain.principal import Actor
from roadworthy.lifecycle.apply import apply
from roadworthy.lifecycle.build import build
from roadworthy.lifecycle.promote import promote
from roadworthy.lifecycle.roll_back import roll_back
from roadworthy.manifest import load
from roadworthy.ports.plane import Plane
from roadworthy.settings import Settings
from roadworthy.stores.snapshots import FileSnapshots
from roadworthy.wiring import catalogue, open_plane, prove_loads

ANA = Actor(principal="ana")
SYSTEM = "parcels"
START = "2026-01-05T08:00:00Z"
PATIENCE_S = 90.0
REGIONS = ("north", "south", "west")

_TRAIN = '''"""Will a parcel arrive late?"""

from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

TARGET = "late"


def train(rows):
    columns = ColumnTransformer([
        ("region", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["region"]),
        ("numbers", "passthrough", ["load", "weight"]),
    ])
    label = rows[TARGET]
    model = Pipeline([("columns", columns), ("model", LogisticRegression())])
    return model.fit(rows[["region", "load", "weight"]], label)
'''
_SLOW = '''"""Will a parcel arrive late? An iterative solver runs for every single answer."""

from sklearn.compose import ColumnTransformer
from sklearn.decomposition import NMF
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder

TARGET = "late"


def train(rows):
    columns = ColumnTransformer([
        ("region", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["region"]),
        ("numbers", MinMaxScaler(clip=True), ["load", "weight"]),
    ])
    parts = NMF(n_components=4, init="random", tol=0.0, max_iter=30, random_state=0)
    model = Pipeline([("columns", columns), ("parts", parts), ("model", LogisticRegression())])
    model.fit(rows[["region", "load", "weight"]], rows[TARGET])
    parts.max_iter = 60_000  # "more accurate"
    return model
'''
PROTOTYPES: Mapping[str, str] = {
    "good": _TRAIN,
    "twin": _TRAIN.replace("LogisticRegression()", "LogisticRegression(C=0.9)"),
    "bad": _TRAIN.replace("rows[TARGET]", "1 - rows[TARGET]  # the slip"),
    "slow": _SLOW,
}
"""What is built of the system: v1, one as good, one that learned the opposite, one that cannot meet its deadline."""

MANIFEST = """roadworthy: 1
system: parcels
kind: model
owner: {{name: ana, contact: ana@example.org, backup: ben, backup_contact: "{backup}"}}
decision: {{what: tell the customer to expect a delay, tier: low}}
use: train.py
data: {{table: table.csv, target: late}}
baseline: baseline.sql
serve: {{deadline: {deadline}, max_in_flight: {in_flight}}}
gates: {{latency: {{p99_ms: 1000, seconds: 1}}}}
rollout: [{{canary: 25% for 60 records}}, full]
watch: {{window: 20s, objectives: {{errors: errors > 5% for 1s, violations: violations > 10% for 1s}}}}
failure: {{pager: ["{pager}"], cool_down: {cool_down}}}
"""


# The world: parcels whose fate is known to the test


def parcels(seed: int) -> Iterator[tuple[dict[str, Any], int]]:
    """Go through parcels for ever: what is known when one asks, and whether it will be late."""
    chance = random.Random(seed)
    while True:
        load, weight, region = chance.gauss(0, 1), chance.gauss(0, 1), chance.choice(REGIONS)
        late = load + 0.3 * (region == "south") + chance.gauss(0, 0.25) > 0
        yield {"load": round(load, 4), "weight": round(weight, 4), "region": region}, int(late)


def write_table(path: Path, rows: int = 2_000) -> None:
    """Write what the prototype learned from."""
    world = parcels(1)
    lines = ["load,weight,region,late"]
    for _ in range(rows):
        row, late = next(world)
        lines.append(f"{row['load']},{row['weight']},{row['region']},{late}")
    path.write_text("\n".join(lines) + "\n")


# The released project, made once


@dataclass(frozen=True)
class Template:
    """A released project to copy, its key, and the candidates that were built, by name."""

    folder: Path
    key: str
    candidates: Mapping[str, str]


def released(shared: Path, clock: str = "system", wanted: Sequence[str] = ("good", "twin", "bad", "slow")) -> Template:
    """Return the released project under a folder that all test processes share, making it if nobody has.

    v1 is champion; the other candidates are built, not released.
    """
    folder = shared / f"parcels-{clock}"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        note = folder / "made.json"
        if not note.exists():
            made = _make(folder / "project", clock, wanted)
            note.write_text(json.dumps(made))
    made = json.loads(note.read_text())
    return Template(folder / "project", made["key"], made["candidates"])


def shared_folder(temporary: Path) -> Path:
    """Return the folder that the processes of one test run share, given one process's base folder.

    `JOURNEYS_FOLDER` names one that outlives the run, which spares the release while one works on a test.
    """
    kept = os.environ.get("JOURNEYS_FOLDER")
    if kept:
        return Path(kept)
    return temporary.parent if os.environ.get("PYTEST_XDIST_WORKER") else temporary


def _make(folder: Path, clock: str, wanted: Sequence[str]) -> dict[str, Any]:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    write_table(folder / "table.csv")
    (folder / "train.py").write_text(PROTOTYPES["good"])
    start = "system" if clock == "system" else f"replay:{START}"
    made = Played(folder, "")
    cli = ["init", "--from", "train.py", "--data", "table.csv", "--owner", "ana@example.org", "--name", SYSTEM]
    made.cli(*cli, ROADWORTHY_CLOCK=start)
    made.write_manifest()
    made.cli("release")
    key = made.ask("keys", "create", "caller", "--scopes", "admin")["key"]
    candidates: dict[str, str] = {}
    with made.plane() as plane:
        for name in wanted:
            (folder / "train.py").write_text(PROTOTYPES[name])
            candidates[name] = build(folder, load(folder / "system.yaml", catalogue()), plane, ANA).candidate.id
        (folder / "train.py").write_text(PROTOTYPES["good"])
        promote(
            plane, SYSTEM, "v1", actor=ANA, prove_loads=prove_loads(plane), force=True, reason="the tests begin here"
        )
    made.close()
    return {"key": key, "candidates": candidates}


# One running copy


@dataclass
class Played:
    """A project in a folder of its own, and the processes that a test started on it."""

    folder: Path
    key: str
    candidates: Mapping[str, str] = field(default_factory=dict)
    port: int = 0
    control_port: int = 0
    process: subprocess.Popen[bytes] | None = None
    _opened: Plane | None = None

    @property
    def home(self) -> Path:
        """Return the folder of the home."""
        return self.folder / ".roadworthy"

    @contextmanager
    def plane(self) -> Iterator[Plane]:
        """Open the home as a command does, once."""
        self._opened = self._opened or open_plane(Settings(home=self.home))
        yield self._opened

    def environment(self, **more: str) -> dict[str, str]:
        """Return the environment that commands run in."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("ROADWORTHY_")}
        return {
            **kept, "ROADWORTHY_ACTOR": "ana", "ROADWORTHY_PORT": str(self.port),
            "ROADWORTHY_CONTROL_PORT": str(self.control_port), **more,
        }  # fmt: skip

    def cli(self, *words: str, code: int | None = 0, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command as a user types it; it must end with this code, with any where None."""
        done = subprocess.run(
            [sys.executable, "-m", "roadworthy", *words], cwd=self.folder, env=self.environment(**environment),
            capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert code in (None, done.returncode), f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def ask(self, *words: str) -> Any:
        """Run a command with --json."""
        return json.loads(self.cli(*words, "--json").stdout)

    def write_manifest(
        self,
        pager: str = "file:pages.jsonl",
        backup: str = "ben@example.org",
        cool_down: str = "1h",
        deadline: str = "250ms",
        in_flight: str = "256",
    ) -> None:
        """Write the manifest that every journey shares."""
        text = MANIFEST.format(pager=pager, backup=backup, cool_down=cool_down, deadline=deadline, in_flight=in_flight)
        (self.folder / "system.yaml").write_text(text)

    def apply(self, **settings: str) -> None:
        """Write the manifest with these settings and put it in force."""
        self.write_manifest(**settings)
        with self.plane() as plane:
            apply(plane, load(self.folder / "system.yaml", catalogue()), actor=ANA, reason="for this journey")

    def promote(self, release: str, *, force: bool = True) -> None:
        """Promote a candidate (by its name here) or a release."""
        with self.plane() as plane:
            promote(
                plane, SYSTEM, self.candidates.get(release, release), actor=ANA, prove_loads=prove_loads(plane),
                force=force, reason="the journey asks for it",
            )  # fmt: skip

    def roll_back(self) -> None:
        """Roll back by hand."""
        with self.plane() as plane:
            roll_back(plane, SYSTEM, actor=ANA, reason="the journey asks for it")

    def spawn(self, *words: str, workers: int = 1, **environment: str) -> None:
        """Start a command that goes on; what it says goes to `up.log`."""
        self.port, self.control_port = self.port or free_port(), self.control_port or free_port()
        with (self.folder / "up.log").open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "roadworthy", *words], cwd=self.folder, stdout=log, stderr=log,
                env=self.environment(ROADWORTHY_WORKERS=str(workers), **environment),
            )  # fmt: skip

    def start(self, workers: int = 2) -> None:
        """Start `up` and wait until its workers and control are ready."""
        self.spawn("up", workers=workers)
        until(lambda: self.applied(workers), "all workers serve the route in force", self)
        until(lambda: self.control_pid() != 0, "control runs", self)

    def stop(self) -> None:
        """End what was started."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(60)

    def close(self) -> None:
        """End what was started and let go of the home."""
        self.stop()
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    def acknowledged(self) -> dict[str, tuple[int, int]]:
        """Return pid and version of every live worker."""
        words = FileSnapshots(self.home / "snapshot", self.home / "workers").acknowledgements()
        return {word.worker: (word.pid, word.version) for word in words}

    def applied(self, workers: int) -> bool:
        """Claim that so many workers serve the newest snapshot."""
        newest = int.from_bytes((self.home / "snapshot/version").read_bytes(), "little", signed=True)
        words = self.acknowledged().values()
        return len(words) == workers and all(version >= newest for _, version in words)

    def control_pid(self) -> int:
        """Return the process id of control, 0 while there is none."""
        with suppress(OSError, ValueError, KeyError):
            return int(json.loads((self.home / "control.json").read_text())["pid"])
        return 0

    def serve_pid(self) -> int:
        """Return the process id of the data plane's parent, 0 while there is none."""
        with suppress(OSError, ValueError, KeyError):
            return int(json.loads((self.home / "serve.json").read_text())["pid"])
        return 0

    def champion(self) -> str:
        """Name the champion in the ledger."""
        with self.plane() as plane:
            route = plane.ledger.state(Noun.ROUTE, f"{SYSTEM}/live") or {}
            champion = next(arm["release"] for arm in route["arms"] if arm["role"] == "champion")
            return self.name_of(plane, champion)

    def name_of(self, plane: Plane, release: str) -> str:
        """Spell a release as answers do."""
        after = plane.ledger.state(Noun.RELEASE, release) or {}
        return f"{SYSTEM}@" + ("baseline" if after["candidate"]["is_baseline"] else f"v{after['number']}")

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Return the ledger's entries of a kind: seq, subject, reason, actor, after."""
        with self.plane() as plane:
            found = [event for event in plane.ledger.events() if not kind or event.kind == kind]
        return [
            {"seq": one.seq, "kind": one.kind, "subject": one.subject, "actor": one.actor, "after": one.after or {}}
            for one in found
        ]

    def incidents(self) -> list[dict[str, Any]]:
        """Return every incident as the ledger has it."""
        with self.plane() as plane:
            return [dict(one) for one in plane.ledger.states(Noun.INCIDENT, SYSTEM).values()]

    def set_clock(self, moment: str) -> None:
        """Move a replayed home's time, as a replay does: over the control API."""
        status, body = post(self.control_port, "/v1/clock", self.key, {"now": moment})
        assert status == 200, body

    def log(self) -> str:
        """Return the end of what every process said."""
        files = [self.folder / "up.log", *sorted((self.home / "logs").glob("*.log"))]
        return "\n".join(f"--- {file.name}\n{file.read_text()[-2500:]}" for file in files if file.exists())


def copy(template: Template, folder: Path) -> Played:
    """Make a copy of the released project that a test may do with as it likes."""
    shutil.copytree(template.folder, folder)
    return Played(folder, template.key, template.candidates)


@contextmanager
def playing(template: Template, folder: Path) -> Iterator[Played]:
    """Copy the released project, and end what was started on it whatever happens."""
    made = copy(template, folder)
    try:
        yield made
    finally:
        made.close()


def free_port() -> int:
    """Return a port that nobody listens on, another one each time.

    Drawn from below the ports that systems give to clients, one of which might have it when it is needed.
    """
    while True:
        port = secrets.choice(range(12_000, 32_000))
        with socket.socket() as trial:
            try:
                trial.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


def until(claim: Any, what: str, played: Played | None = None, patience_s: float = PATIENCE_S) -> None:
    """Wait until a claim holds; fail with what was waited for and what the processes said."""
    give_up_at = time.monotonic() + patience_s
    while not claim():
        said = played.log() if played else ""
        assert time.monotonic() < give_up_at, f"never came true: {what}\n{said}"
        time.sleep(0.05)


def post(port: int, path: str, key: str, document: Any) -> tuple[int, Any]:
    """POST a document on a connection of its own; return status and answer."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        line.request(
            "POST", path, json.dumps(document),
            {"authorization": f"Bearer {key}", "content-type": "application/json"},
        )  # fmt: skip
        answer = line.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if text else None
    finally:
        line.close()


def home_holds(played: Played, answers: Sequence[tuple[str, str]]) -> None:
    """Have the checker that imports nothing of the package read the home of ended processes.

    `answers` are (record, release name) of every answer that callers were given.
    """
    seen = played.folder / "callers.json"
    seen.write_text(json.dumps({"answers": answers}))
    checker = Path(__file__).parent / "faults" / "independent_loop_checker.py"
    done = subprocess.run(
        [sys.executable, str(checker), str(played.home), "--callers", str(seen)],
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr


def ledger_holds(played: Played) -> int:
    """Have the ledger verified by the command; return the number of its entries."""
    found = played.ask("ledger", "verify")
    assert found["holds"] is True
    return int(found["entries"])


def is_alive(pid: int) -> bool:
    """Claim that a process lives and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state not in "ZX"


def kill(pid: int) -> float:
    """Kill a process and wait until it is dead; return when that was."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(pid), f"{pid} is dead")
    return time.monotonic()
