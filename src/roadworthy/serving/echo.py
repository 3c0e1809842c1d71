"""An empty answer through the same server, `python -m roadworthy.serving.echo FD`: what the machine is worth now."""

from __future__ import annotations

import socket
import sys
from typing import Any

from roadworthy.runtimes.parent import end_with_parent
from roadworthy.serving.granian_loop import drive, granian_serve

_BODY = b'{"echo":true}'


async def echo(scope: Any, proto: Any) -> None:
    """Read the request, answer a constant."""
    del scope
    await proto()
    proto.response_bytes(200, [("content-type", "application/json")], _BODY)


def main() -> None:
    """Serve on a socket that the parent holds, until told to end."""
    end_with_parent()
    with socket.socket(fileno=int(sys.argv[1])) as listener:
        drive(granian_serve(echo, listener))


if __name__ == "__main__":
    main()
