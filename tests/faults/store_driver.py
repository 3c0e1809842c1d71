"""Writes to every store of a home, round after round, saying after each step that it is done.

`python store_driver.py HOME ROUNDS`; `ROADWORTHY_CRASH_AT` kills it at a crash point. Not a test by itself.
`python store_driver.py serve` reads requests, one JSON object a line, and runs each in a forked process: the packages
are loaded once for all of them.
"""

import json
import os
import sys
import traceback
from pathlib import Path

from roadworthy.domain.ledger import Decide, Noun
from roadworthy.domain.principal import AUTOMATION
from roadworthy.domain.route import Arm, ArmRole, Route
from roadworthy.domain.snapshot import Acknowledgement
from roadworthy.domain.system import Owner, Policy
from roadworthy.errors import Conflict
from roadworthy.lifecycle.backup import backup
from roadworthy.lifecycle.publish import publish
from roadworthy.ports.deliveries import Delivery
from roadworthy.ports.leases import LEADER
from roadworthy.ports.observations import BucketKey
from roadworthy.ports.people import Person
from roadworthy.settings import Settings, from_environment
from roadworthy.stores.codec import from_doc, to_doc
from roadworthy.stores.crash_points import arm
from roadworthy.stores.home import create, is_home
from roadworthy.stores.presence import WorkerPresence
from roadworthy.wiring import open_plane

SUBJECT = "flights/live"


def decided(noun, subject, after, **fields):
    """A decision about the system."""
    return Decide(
        kind=f"{noun}.changed", system="flights", noun=noun, subject=subject, after=after, actor=AUTOMATION, **fields
    )


def put_policy(plane):
    """Give the system a policy, once over all rounds and restarts."""
    policy = Policy(owner=Owner(principal="ada", contact="file:x"))
    plane.ledger.commit([decided(Noun.POLICY, "flights", to_doc(policy), key="policy")])


def change_route(plane):
    """Put the next route in force; return the entry's sequence, or None if another writer was first."""
    seq = plane.ledger.seq_of(Noun.ROUTE, SUBJECT)
    document = plane.ledger.state(Noun.ROUTE, SUBJECT)
    version = 1 + (0 if document is None else from_doc(Route, document).version)
    route = Route(
        system="flights", version=version, arms=(Arm(role=ArmRole.CHAMPION, release=f"r{version}", share=1.0),)
    )
    change = decided(Noun.ROUTE, SUBJECT, to_doc(route), environment="live", expected=seq, key=f"route-{version}")
    try:
        events = plane.ledger.commit([change])
    except Conflict:
        return None
    return events[0].seq if events else None


def fold_more(plane):
    """Fold ten more frames into a bucket, as the observer does."""
    before = plane.observations.cursor()
    folded = int(before or 0)
    key = BucketKey("flights", "live", "r", folded // 30)
    bucket = plane.observations.bucket(key) or {"n": 0}
    plane.observations.save(before=before, cursor=str(folded + 10), buckets={key: {"n": bucket["n"] + 10}})


def deliver(plane, key):
    """Carry one delivery from intent to done."""
    plane.deliveries.intend(Delivery(key=key, kind="page", system="flights"))
    if plane.deliveries.attempt(key, retry_at=1):
        plane.deliveries.done(key, 2)


def say(*words):
    """Acknowledge a step to whoever reads."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def one_round(plane):
    """Go once through every store."""
    put_policy(plane)
    digest = plane.artifacts.put(os.urandom(100_000))
    say("artifact", digest)
    say("committed", change_route(plane))
    published = publish(plane)
    say("published", published.version if published else 0)
    presence = WorkerPresence(plane.home.workers, f"w{os.getpid()}")
    plane.snapshots.acknowledge(
        Acknowledgement(worker=presence.worker, pid=os.getpid(), version=plane.snapshots.version(), at=1)
    )
    fold_more(plane)
    for earlier in plane.deliveries.due(10):
        deliver(plane, earlier.key)
    deliver(plane, f"page-{plane.ledger.head().seq}")
    assert plane.leases.acquire(LEADER, "driver", 60)
    plane.people.put(Person(principal="ada", contact="file:x"))
    presence.close()


def main(path, rounds):
    """Create the home if it is not there, go round, back up."""
    arm(from_environment().crash_at)
    if not is_home(path):
        create(path)
    plane = open_plane(Settings(home=path, crash_at=from_environment().crash_at))
    for _ in range(rounds):
        one_round(plane)
    target = path.parent / "backups" / f"{plane.ledger.head().seq}.tar"
    if not target.exists():
        backup(plane, target)
    say("done")
    plane.close()


def run_forked(request):
    """Run `main` in a child process; return its exit code (negative: the signal) and all that it said."""
    listen, speak = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.dup2(speak, 1)
        os.dup2(speak, 2)
        os.environ["ROADWORTHY_CRASH_AT"] = request["crash_at"]
        try:
            main(Path(request["home"]), request["rounds"])
            os._exit(0)
        except BaseException:  # noqa: BLE001 (whatever a child dies of must be said)
            traceback.print_exc()
            sys.stderr.flush()
            os._exit(1)
    os.close(speak)
    with os.fdopen(listen) as said:
        text = said.read()
    return {"code": os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), "said": text}


def serve():
    """Answer requests until the end of the input."""
    for line in sys.stdin:
        sys.stdout.write(json.dumps(run_forked(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        serve()
    else:
        main(Path(sys.argv[1]), int(sys.argv[2]))
