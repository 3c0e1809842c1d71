"""Where this process runs. The one place that reads the environment."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Settings of a process; each has an environment variable `ROADWORTHY_<NAME>`.

    `home` is the control plane's folder. `port` serves answers, `control_port` the control API and console. `clock` is
    used only when a home is created: `system`, or `replay:<time>` which starts there and is driven from outside.
    `listen_fd` is a listening socket that the data plane inherits from `up`, -1 for none: it binds its own port then.
    `crash_at` kills the process at a named crash point (tests). `actor` is the name under which a local command
    line acts. `key` is the key that a client sends. `traces_url` is where control
    sends traces of the share `traces_share` of answers of kind llm; empty sends none.
    """

    home: Path = Path(".roadworthy")
    environment: str = "live"
    host: str = "127.0.0.1"
    port: int = 8080
    control_port: int = 8081
    workers: int = 1
    clock: str = "system"
    listen_fd: int = -1
    crash_at: str = ""
    actor: str = ""
    key: str = ""
    url: str = ""
    traces_url: str = ""
    traces_share: float = 0.01


def from_environment() -> Settings:
    """Read the settings of this process.

    Raises:
        ValueError: a number is not a number.
    """
    read = os.environ.get
    default = Settings()
    return Settings(
        home=Path(read("ROADWORTHY_HOME", str(default.home))),
        environment=read("ROADWORTHY_ENVIRONMENT", default.environment),
        host=read("ROADWORTHY_HOST", default.host),
        port=int(read("ROADWORTHY_PORT", str(default.port))),
        control_port=int(read("ROADWORTHY_CONTROL_PORT", str(default.control_port))),
        workers=int(read("ROADWORTHY_WORKERS", str(default.workers))),
        clock=read("ROADWORTHY_CLOCK", default.clock),
        listen_fd=int(read("ROADWORTHY_LISTEN_FD", str(default.listen_fd))),
        crash_at=read("ROADWORTHY_CRASH_AT", ""),
        actor=read("ROADWORTHY_ACTOR", "") or read("USER", "") or read("LOGNAME", "") or "local",
        key=read("ROADWORTHY_KEY", ""),
        url=read("ROADWORTHY_URL", ""),
        traces_url=read("ROADWORTHY_TRACES_URL", ""),
        traces_share=float(read("ROADWORTHY_TRACES_SHARE", str(default.traces_share))),
    )


def to_environment(settings: Settings) -> dict[str, str]:
    """Write settings as the environment of a child process that shall run under the same ones.

    A crash point stays with the process it was armed for.
    """
    return {
        f"ROADWORTHY_{name.upper()}": str(value.absolute() if isinstance(value, Path) else value)
        for name, value in asdict(settings).items()
        if name != "crash_at"
    } | {"ROADWORTHY_CRASH_AT": ""}
