"""A local model file, served by an adapter process of ours and spoken to like any other provider."""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from aiohttp import BaseConnector, UnixConnector

from roadworthy.domain.pin import Pin
from roadworthy.errors import PluginError
from roadworthy.runtimes.llm.connection import KEEP_ALIVE_S, MAX_CONNECTIONS
from roadworthy.runtimes.llm.openai import OpenAIModel

_NAME_LENGTH: Final = 24
_LONGEST_FOLDER: Final = 107 - len("/gguf-.sock.4194304") - _NAME_LENGTH
"""A socket's whole path has at most 107 bytes, also while it is still opening, under its process id."""


class GgufModel(OpenAIModel):
    """The OpenAI client over the adapter's socket. The adapter is started by `start_adapter`, once a machine."""

    def __init__(self, pin: Pin, secret: Callable[[str], str], sockets: Path) -> None:
        path = str(socket_of(pin, sockets))

        def connect() -> BaseConnector:
            return UnixConnector(path, limit=MAX_CONNECTIONS, keepalive_timeout=KEEP_ALIVE_S)

        super().__init__(replace(pin, url="http://gguf/v1", key="", lookup=False), secret, connect)
        self.pin = pin


def folder_for_sockets(folder: Path) -> Path:
    """Make and return a private folder in which sockets can be opened: this one, if their paths are not too long.

    Otherwise it is one under the machine's folder for temporary files, named after this one, so that all who serve one
    home meet there.

    Raises:
        PluginError: somebody else's folder is in its place.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if len(os.fsencode(folder)) <= _LONGEST_FOLDER:
        return folder
    name = hashlib.sha256(os.fsencode(folder.resolve())).hexdigest()[:16]
    short = Path(tempfile.gettempdir()) / f"roadworthy-{os.getuid()}-{name}"
    with suppress(FileExistsError):
        short.mkdir(mode=0o700)
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o077:
        raise PluginError(
            f"{short} is not a private folder of yours, and {folder} is too long a path for sockets",
            hint=f"remove {short}, or move the project to a shorter path",
        )
    return short


def socket_of(pin: Pin, sockets: Path) -> Path:
    """Return where the adapter of a pin listens: one a model file, whichever systems use it."""
    return sockets / f"gguf-{pin.artifact.partition(':')[2][:_NAME_LENGTH]}.sock"


def start_adapter(
    file: Path, pin: Pin, sockets: Path, *, threads: int = 1, log: int | None = None
) -> subprocess.Popen[bytes]:
    """Start the process that serves a pin's model file; its socket appears when it is ready.

    It refuses a file that is not the pin's artifact, and ends with this process. `log` is a file descriptor.
    """
    socket = socket_of(pin, sockets)
    socket.unlink(missing_ok=True)
    command = [sys.executable, "-m", "roadworthy.runtimes.llm.gguf_child"]
    command += ["--file", str(file), "--socket", str(socket), "--parent", str(os.getpid())]
    command += ["--context", str(pin.context), "--threads", str(threads), "--digest", pin.artifact]
    quiet = subprocess.DEVNULL if log is None else log
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=quiet, stderr=quiet)  # noqa: S603 (our own module)
