"""Which Python and packages a release was built with, and whether this process has the same."""

from __future__ import annotations

import platform
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version

from roadworthy.domain.candidate import Environment
from roadworthy.errors import EnvironmentMismatch

_NOT_INSTALLED = "not installed"


def capture(distributions: Iterable[str]) -> Environment:
    """Return this process's environment, with the versions of those distributions that are installed."""
    found = {name: _version(name) for name in sorted(set(distributions))}
    present = {name: text for name, text in found.items() if text != _NOT_INSTALLED}
    return Environment(python=_python(), platform=_platform(), distributions=present)


def require(built_with: Environment, distributions: Iterable[str] | None = None) -> None:
    """Refuse to go on unless this process has what a release was built with.

    Args:
        built_with: the release's environment.
        distributions: look at these only, because nothing else is loaded; all of them if None.

    Raises:
        EnvironmentMismatch: names each package with both versions.
    """
    names = set(built_with.distributions) & set(distributions or built_with.distributions)
    pairs = [(name, built_with.distributions[name], _version(name)) for name in sorted(names)]
    pairs += [("python", built_with.python, _python()), ("platform", built_with.platform, _platform())]
    differing = [f"{name} {wanted} (here: {found})" for name, wanted, found in pairs if wanted != found]
    if differing:
        wanted = " ".join(f"{name}=={text}" for name, text, found in pairs[:-2] if text != found)
        raise EnvironmentMismatch(
            f"this process is not what the release was built with: {', '.join(differing)}",
            hint=f"pip install {wanted}" if wanted else "serve it where it was built, or build it again here",
        )


def _version(distribution: str) -> str:
    try:
        return version(distribution)
    except PackageNotFoundError:
        return _NOT_INSTALLED


def _python() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _platform() -> str:
    return f"{platform.system()}-{platform.machine()}".lower()
