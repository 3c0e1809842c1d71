"""Run one command: common options, errors as one clear message, exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import msgspec

from roadworthy.cli.context import Common, common
from roadworthy.cli.reply import Reply, console, warn
from roadworthy.errors import InputError, ManifestError, RefusedError, RoadworthyError

DONE, ERROR, REFUSED, INCONCLUSIVE, INTERRUPTED = 0, 1, 2, 3, 130


def run(tokens: Sequence[str]) -> int:
    """Run a command line; print its reply as text or, with `--json`, as one JSON document.

    A mistake of the caller's is printed as one message with the next step; only a mistake of ours shows a traceback.
    """
    from cyclopts import CycloptsError

    from roadworthy.cli.app import app

    as_json = "--json" in tokens
    try:
        words = _take_common([word for word in tokens if word != "--json"])
        reply = app(words, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        return _complain({"code": "RW001", "message": str(error), "hint": "roadworthy --help"}, ERROR, as_json=as_json)
    except RoadworthyError as error:
        return _complain(describe(error), error.exit_code, as_json=as_json)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return DONE
    if isinstance(reply, Reply):
        _show(reply, as_json=as_json)
        return reply.exit_code
    return DONE


def _take_common(words: Sequence[str]) -> list[str]:
    """Take the options out that every command has, wherever they stand."""
    left: list[str] = []
    taken: dict[str, str] = {}
    queue = list(words)
    while queue:
        word = queue.pop(0)
        name, equals, value = word.partition("=")
        if name not in ("--home", "--as"):
            left.append(word)
            continue
        if not equals and not queue:
            raise InputError(f"{name} needs a value", hint="--home FOLDER, --as NAME")
        taken[name] = value if equals else queue.pop(0)
    home = taken.get("--home")
    common.set(Common(home=Path(home) if home else None, actor=taken.get("--as", "")))
    return left


def describe(error: RoadworthyError) -> dict[str, object]:
    """Turn an error into the document that `--json` prints."""
    document: dict[str, object] = {"code": error.code, "message": error.message, "hint": error.hint}
    if isinstance(error, ManifestError):
        document["findings"] = [msgspec.to_builtins(finding) for finding in error.findings]
    if isinstance(error, InputError):
        document["violations"] = [msgspec.to_builtins(violation) for violation in error.violations]
    document["refused"] = isinstance(error, RefusedError)
    return document


def _show(reply: Reply, *, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(msgspec.json.format(msgspec.json.encode(reply.data), indent=2).decode() + "\n")
        return
    reply.show(console())


def _complain(document: dict[str, object], exit_code: int, *, as_json: bool) -> int:
    if as_json:
        sys.stdout.write(msgspec.json.encode({"error": document}).decode() + "\n")
        return exit_code
    warn(f"{document['code']} {document['message']}", str(document.get("hint", "")))
    return exit_code
