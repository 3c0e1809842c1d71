"""The child process that runs one native model: `python -m roadworthy.serving.native_child FD`.

Loads what its parent names, then answers frames until the socket closes. It dies with its parent, and the kernel takes
it before anything else when memory runs out.
"""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from roadworthy import plugins
from roadworthy.domain.candidate import Candidate
from roadworthy.errors import RoadworthyError
from roadworthy.ports.runtime import Predictor
from roadworthy.serving.native_frames import HEAD, LARGEST, frame, message, pack_arrays, unpack_arrays
from roadworthy.stores.artifacts import FileArtifacts
from roadworthy.stores.codec import from_doc

_PR_SET_PDEATHSIG: Final = 1


def main() -> None:
    """Load, say ready, answer."""
    _die_with_parent()
    with socket.socket(fileno=int(sys.argv[1])) as line:
        predictor = _load(line)
        if predictor is not None:
            _answer(line, predictor)


def _die_with_parent() -> None:
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _load(line: socket.socket) -> Predictor | None:
    """Load the release the parent names; what refuses is told, never raised into the void."""
    order = _receive(line)
    if order is None:
        return None
    try:
        candidate = from_doc(Candidate, order["candidate"])
        runtime = plugins.load("runtimes", candidate.runtime)
        predictor: Predictor = runtime.load(candidate, FileArtifacts(Path(order["artifacts"])))
    except RoadworthyError as refused:
        line.sendall(frame({"failed": refused.message, "kind": type(refused).__name__}))
        return None
    except Exception as broken:  # noqa: BLE001 (a broken artifact may raise anything)
        line.sendall(frame({"failed": f"it cannot be loaded ({type(broken).__name__})", "kind": "ArtifactError"}))
        return None
    line.sendall(frame({"ready": os.getpid()}))
    return predictor


def _answer(line: socket.socket, predictor: Predictor) -> None:
    while (order := _receive(line)) is not None:
        try:
            outputs = predictor.predict(unpack_arrays(order["columns"]))
            reply: dict[str, Any] = {"outputs": pack_arrays(outputs)}
        except Exception as error:  # noqa: BLE001 (whatever a model raises is a failed attempt)
            reply = {"failed": type(error).__name__}
        line.sendall(frame(reply))


def _receive(line: socket.socket) -> dict[str, Any] | None:
    head = _exactly(line, HEAD.size)
    if head is None:
        return None
    (length,) = HEAD.unpack(head)
    payload = _exactly(line, length) if length <= LARGEST else None
    return None if payload is None else message(payload)


def _exactly(line: socket.socket, length: int) -> bytes | None:
    parts = bytearray()
    while len(parts) < length:
        part = line.recv(min(length - len(parts), 1 << 20))
        if not part:
            return None
        parts += part
    return bytes(parts)


if __name__ == "__main__":
    main()
