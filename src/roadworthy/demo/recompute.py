"""Recompute the demo's closing table from the ledger file and over HTTP. Imports nothing of roadworthy.

`python recompute.py HOME CLAIMS.json` prints a line a claim and exits 1 if one does not hold.
"""

# pyright: basic
import hashlib
import http.client
import json
import sqlite3
import sys
from pathlib import Path

GENESIS = "sha256:" + "0" * 64
SEALED = (
    "seq", "at", "kind", "system", "environment", "noun", "subject", "actor", "assurance", "reason", "before", "after",
    "key", "previous", "version",
)  # fmt: skip


def spelled(value):
    """Spell a value as the ledger hashes it: sorted keys, numbers as tagged decimal text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, int):
        return f"#{value}"
    if isinstance(value, float):
        return f"#{int(value)}" if value.is_integer() and abs(value) < 2**53 else f"#{value!r}"
    if isinstance(value, str):
        return "#" + value if value.startswith("#") else value
    if isinstance(value, dict):
        return {key: spelled(value[key]) for key in sorted(value, key=lambda key: key.encode("utf-16-be"))}
    return [spelled(item) for item in value]


def entries(home):
    """Read the ledger; return its entries and the first one that does not hold, or 0."""
    database = sqlite3.connect(f"file:{home / 'control.sqlite'}?mode=ro", uri=True)
    database.row_factory = sqlite3.Row
    rows, previous, broken = [], GENESIS, 0
    for place, row in enumerate(map(dict, database.execute("select * from ledger order by seq")), 1):
        for name in ("before", "after"):
            row[name] = None if row[name] is None else json.loads(row[name])
        text = json.dumps(spelled({name: row[name] for name in SEALED}), ensure_ascii=False, separators=(",", ":"))
        sealed = "sha256:" + hashlib.sha256(text.encode()).hexdigest()
        if not broken and (row["seq"] != place or row["previous"] != previous or row["hash"] != sealed):
            broken = place
        previous = row["hash"]
        rows.append(row)
    database.close()
    return rows, broken


def get(port, path, key):
    """Get a document from a server on this machine."""
    line = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    line.request("GET", path, headers={"authorization": f"Bearer {key}"})
    answer = line.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise SystemExit(f"GET {path} on port {port}: {answer.status} {body[:200]!r}")
    return body


def served(text):
    """Add up the answers to callers by status class, from the data plane's own metrics."""
    counts = {}
    for line in text.splitlines():
        if line.startswith("roadworthy_requests_total{"):
            labels, _, value = line.rpartition(" ")
            status = labels.split('status="', 1)[1].split('"', 1)[0]
            counts[status[0]] = counts.get(status[0], 0) + int(float(value))
    return counts


def recomputed(claims, rows, broken, metrics, record):
    """Return what each claim comes to when it is worked out again."""
    about = [row for row in rows if row["system"] == claims["system"]]
    done = [row["subject"] for row in about if row["kind"] == "action.done"]
    return {
        **STORIES[claims["system"]](claims, about),
        "requests that failed": served(metrics).get("5", 0),
        "answers without a record": total(metrics, "unrecorded"),
        "answers = records + counted losses": (
            total(metrics, "answers") == total(metrics, "records") + total(metrics, "unrecorded")
        ),
        "the last answer is explained": explained(record),
        "ledger entries that do not hold": broken,
        "state changes carried out twice": len(done) - len(set(done)),
    }


def flights(claims, about):
    """Work out the claims of the flights' story."""
    bad, good = claims["bad"], claims["good"]
    admitted = [row for row in about if row["kind"] == "release.admitted" and row["subject"] == bad]
    forced = [row for row in about if row["kind"] == "route.changed" and champion(row) == bad]
    after = [row for row in about if forced and row["seq"] > forced[0]["seq"] and row["kind"] == "route.changed"]
    back = next((row for row in after if champion(row) != bad), None)
    drills = {row["after"]["fault"]: row["after"] for row in about if row["kind"] == "drill.finished"}
    return {
        "gates that refused the bad model": refusing(about, bad),
        "the bad model was admitted before it was forced": bool(
            admitted and forced and admitted[0]["seq"] < forced[0]["seq"] and not admitted[0]["after"]["forced_by"]
        ),
        "stages the good release went through": ", ".join(stages(about, good)),
        "the season's drift was seen before anyone changed the route": any(
            row["kind"] == "incident.opened"
            and (row["after"]["objective"], row["after"]["release"]) == ("drift", good)
            and not (forced and row["seq"] > forced[0]["seq"])
            for row in about
        ),
        "the bad release was rolled back by": back["actor"] if back else "nobody",
        "and the champion became": name_of(about, champion(back)) if back else "",
        "faults drilled and restored": sum(1 for one in drills.values() if one["restored_after_s"] is not None),
    }


def docs(claims, about):
    """Work out the claims of the chatbot's story, from the ledger and the books of the provider."""
    with Path(claims["books"]).open() as lines:
        bills = [json.loads(line) for line in lines]
    opened = [row for row in about if row["kind"] == "incident.opened" and row["after"]["objective"] == "model_change"]
    changed = [row for row in about if row["kind"] == "route.changed"]
    fallen = [row for row in changed if opened and row["seq"] > opened[0]["seq"]]
    routed = [row["at"] for row in changed if claims["good"] in [arm["release"] for arm in row["after"]["arms"]]]
    paid = [
        PRICE["input"] * bill["input"] + PRICE["output"] * bill["output"]
        for bill in bills
        if not bill["is_probe"] and min(routed, default=0) <= bill["at"] <= claims["spent_until"]
    ]
    return {
        "gates that refused the worse prompt": refusing(about, claims["worse"]),
        "stages the good release went through": ", ".join(stages(about, claims["good"])),
        "the budget was spent to its end": any(row["kind"] == "budget.exhausted" for row in about),
        "what the provider billed stayed within the cap": 0 < sum(paid) <= claims["cap_picos"],
        "gates that refused the dearer model": refusing(about, claims["dearer"]),
        "the hidden change was noticed, and the fallback put in front by": fallen[0]["actor"] if fallen else "nobody",
        "alarms before the change": sum(row["at"] < claims["changed_at"] for row in opened),
        "names and fingerprints the provider gave": len(
            {(one["model"], one["fingerprint"]) for one in bills if one["model"] == "smollm2"}
        ),
    }


STORIES = {"flights": flights, "docs": docs}
PRICE = {"input": 10_000_000, "output": 40_000_000}  # picounits a token: 10 and 40 USD for a million


def refusing(rows, candidate):
    """Name the gates whose verdict on a candidate was a fail, in order."""
    failed = {
        row["after"]["gate"]
        for row in rows
        if row["kind"] == "verdict.given" and row["after"]["candidate"] == candidate and row["after"]["state"] == "fail"
    }
    return ", ".join(sorted(failed))


def total(metrics, name):
    """Read one total from the data plane's metrics."""
    for line in metrics.splitlines():
        if line.startswith(f"roadworthy_{name}_total "):
            return int(float(line.split()[1]))
    return 0


def explained(record):
    """Return the id of the record if its page names its release, code, data and gates."""
    found = record.get("explained") or {}
    release = found.get("release") or {}
    whole = release.get("commit") and release.get("data") and release.get("gates")
    return found["record"] if whole else f"not explained: {record.get('problem', sorted(record))}"


def champion(row):
    """Name the champion of a route entry."""
    return next((arm["release"] for arm in row["after"]["arms"] if arm["role"] == "champion"), "")


def stages(rows, release):
    """List the stages of a release's rollout in order, from its entries."""
    seen = []
    for row in rows:
        if row["noun"] == "rollout" and row["after"]["release"] == release:
            state = row["after"]
            stage = state["plan"][min(state["stage_index"], len(state["plan"]) - 1)]["stage"]
            seen.append("full" if state["state"] == "done" else stage)
    return dict.fromkeys(seen)


def name_of(rows, release):
    """Spell a release as people do."""
    for row in rows:
        if row["kind"] == "release.admitted" and row["subject"] == release:
            after = row["after"]
            return f"{after['system']}@" + ("baseline" if after["candidate"]["is_baseline"] else f"v{after['number']}")
    return release


def main():
    """Compare what was claimed with what comes out."""
    home, claims = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    rows, broken = entries(home)
    metrics = get(claims["port"], "/metrics", claims["key"]).decode()
    try:
        record = json.loads(get(claims["control_port"], f"/records/{claims.get('record', 'none')}.json", claims["key"]))
    except SystemExit as problem:
        record = {"problem": str(problem)}
    found = recomputed(claims, rows, broken, metrics, record)
    wrong = 0
    for name, claimed in claims["claims"].items():
        holds = found.get(name) == claimed
        wrong += not holds
        print(
            f"{'holds' if holds else 'WRONG':6} {name}: {found.get(name)}" + ("" if holds else f" (claimed {claimed})")
        )
    print(f"{len(claims['claims']) - wrong} of {len(claims['claims'])} claims hold, recomputed without roadworthy")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
