"""A home on disk as a value: where each thing lies. Opening and creating one is `stores.home`."""

from dataclasses import dataclass
from pathlib import Path

from roadworthy.domain.moment import Micros


@dataclass(frozen=True, slots=True, kw_only=True)
class Home:
    """One control plane's place. `clock` is `system` or `replay`; `root` is absolute.

    Nothing here touches the disk, so a home can be passed to workers, tests and records alike.
    """

    root: Path
    id: str
    created_at: Micros
    clock: str = "system"
    format: int = 1

    @property
    def is_replay(self) -> bool:
        """Claim that the time of this home is driven from outside, which every page and record must show."""
        return self.clock == "replay"

    @property
    def database(self) -> Path:
        """Return where the ledger, projections, leases, people and signals are."""
        return self.root / "control.sqlite"

    @property
    def secret_file(self) -> Path:
        """Return where the 32 bytes are that key the subject digests; read it with `stores.home.secret_of`."""
        return self.root / "secret"

    @property
    def clock_file(self) -> Path:
        """Return where a replay home keeps its time."""
        return self.root / "clock"

    @property
    def artifacts(self) -> Path:
        """Return the folder of immutable bytes."""
        return self.root / "artifacts"

    @property
    def snapshot(self) -> Path:
        """Return the folder of the snapshot in force and its version."""
        return self.root / "snapshot"

    @property
    def workers(self) -> Path:
        """Return the folder of the workers' locks and acknowledgements."""
        return self.root / "workers"

    @property
    def records(self) -> Path:
        """Return the folder of the record log: `segments/` and `parquet/`."""
        return self.root / "records"

    @property
    def counters(self) -> Path:
        """Return the folder of the workers' preallocated counters."""
        return self.root / "counters"

    @property
    def budgets(self) -> Path:
        """Return the folder of the workers' wallets and of what control grants them."""
        return self.root / "budgets"

    @property
    def logs(self) -> Path:
        """Return the folder of the processes' logs."""
        return self.root / "logs"

    @property
    def control_file(self) -> Path:
        """Return where the running control process says its pid and address."""
        return self.root / "control.json"

    @property
    def serve_file(self) -> Path:
        """Return where the running data plane says its pid and address."""
        return self.root / "serve.json"
