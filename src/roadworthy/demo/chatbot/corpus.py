"""The corpus: pages of this project's own documentation, from the package or from the checkout it runs in."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Final

from roadworthy.errors import NotFoundError

PAGES: Final = (
    "explanation/failure-plan.md", "explanation/why.md", "how-to/back-up-and-restore.md", "how-to/drill.md",
    "how-to/post-outcomes.md", "how-to/replay-a-year.md", "how-to/respond-to-an-incident.md", "how-to/rotate-keys.md",
    "reference/home.md", "reference/ledger.md", "reference/records.md", "reference/settings.md",
)  # fmt: skip


def docs_folder() -> Path:
    """Return where the documentation lies: beside this file in a built package, at the top of a checkout otherwise.

    Raises:
        NotFoundError: neither is there.
    """
    here = Path(__file__).resolve()
    for folder in (here.with_name("docs"), *(parent / "docs" for parent in here.parents[3:5])):
        if all((folder / page).is_file() for page in PAGES):
            return folder
    raise NotFoundError("the documentation is not where the demo looks for it", hint="run it in a checkout")


def write_corpus(folder: Path) -> None:
    """Copy the pages into a project."""
    source = docs_folder()
    for page in PAGES:
        (folder / page).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / page, folder / page)
