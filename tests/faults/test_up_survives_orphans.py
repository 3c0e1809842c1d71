"""No worker outlives what supervises it, whenever that dies."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

from roadworthy.stores.home import create


def test_a_worker_whose_parent_died_while_it_started_does_not_serve(tmp_path: Path) -> None:
    """The kernel tells of a parent's death only once it was asked to; a worker orphaned before that ends itself."""
    home = create(tmp_path / "home")
    with subprocess.Popen([sys.executable, "-c", ""]) as dead:
        dead.wait()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        fd = listener.fileno()
        words = ["--home", str(home.root), "--fd", str(fd), "--parent", str(dead.pid)]
        done = subprocess.run(
            [sys.executable, "-m", "roadworthy.serving.worker", *words], pass_fds=[fd], capture_output=True, text=True,
            timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 1
    assert "has ended" in done.stderr
    assert "Traceback" not in done.stderr
