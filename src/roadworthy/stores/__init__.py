"""What is kept: ledger, leases, people, artifacts, snapshots, signals and records. One kind, one file."""
