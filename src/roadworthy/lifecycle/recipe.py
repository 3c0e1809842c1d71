"""What a candidate is built from: code, data, parameters, seed and environment, each by digest."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

from roadworthy.domain.candidate import Environment, Recipe
from roadworthy.domain.digest import Digest, digest
from roadworthy.domain.system import Content, System
from roadworthy.errors import InputError
from roadworthy.lifecycle.table import digest_file
from roadworthy.runtimes.environment import capture

# What a build itself runs, whatever the project imports.
_TOOLS: Final = (
    "duckdb", "numpy", "scikit-learn", "scipy", "pandas", "skops", "skl2onnx", "onnx", "onnxruntime", "roadworthy",
)  # fmt: skip
_SKIPPED: Final = frozenset((".git", ".roadworthy", ".venv", "venv", "__pycache__", "tests"))


def recipe_of(folder: Path, system: System) -> Recipe:
    """Return the recipe of the system's prototype as the folder holds it now.

    Raises:
        InputError: a declared file is missing.
    """
    content = system.content
    files = code_files(folder, content)
    return Recipe(
        system=system.name,
        code=_digest_files(folder, files),
        content=content.digest,
        data=data_digests(folder, content),
        environment=build_environment(folder, files).digest,
        seed=content.seed,
        parameters=content.parameters,
    )


def baseline_recipe(folder: Path, system: System) -> Recipe:
    """Return the recipe of the system's baseline, which does not change when only the prototype does."""
    content = system.content
    return Recipe(
        system=system.name,
        code=_digest_files(folder, (_file(folder, content.baseline, "baseline"),)),
        content=digest({"interface": content.interface, "data": content.data, "seed": content.seed}),
        data=data_digests(folder, content),
        environment=capture(("duckdb", "numpy")).digest,
        seed=content.seed,
    )


def data_digests(folder: Path, content: Content) -> Mapping[str, Digest]:
    """Return the digest of each table by its path in the manifest."""
    return {content.data.table: digest_file(_file(folder, content.data.table, "data"))}


def code_files(folder: Path, content: Content) -> tuple[Path, ...]:
    """Return the files whose bytes decide the candidate.

    These are the prototype and the baseline, and what `code` in the manifest lists (files, or folders of Python
    files). When it lists nothing else: the modules of the folder that the prototype imports, followed to the end.
    """
    use = _file(folder, content.use, "use")
    files = {use}
    if content.baseline:
        files.add(_file(folder, content.baseline, "baseline"))
    for path in content.code:
        files.update(_under(folder / path))
    if use.suffix == ".py" and set(content.code) <= {content.use}:
        files.update(local_modules(folder, use))
    return tuple(sorted(files))


def build_environment(folder: Path, files: Iterable[Path]) -> Environment:
    """Return the environment a build runs in: its own tools and what the project's Python files import."""
    names = {name for path in files if path.suffix == ".py" for name in _imported(path)}
    foreign = {name for name in names if name not in sys.stdlib_module_names and not _module(folder, name)}
    return capture((*_TOOLS, *distributions_of(foreign)))


def distributions_of(modules: Iterable[str]) -> set[str]:
    """Return the installed distributions that provide these top-level modules."""
    installed = _installed()
    return {name for module in modules for name in installed.get(module, ())}


@cache
def _installed() -> Mapping[str, list[str]]:
    return packages_distributions()


def _file(folder: Path, path: str, key: str) -> Path:
    found = folder / path
    if not found.is_file():
        raise InputError(f"system.yaml names '{path}' as {key}, but there is no such file in {folder.name}/")
    return found


def _digest_files(folder: Path, files: Iterable[Path]) -> Digest:
    return digest({_relative(folder, path): digest_file(path) for path in files})


def _relative(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name


def _under(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path
        return
    if not path.is_dir():
        raise InputError(f"system.yaml lists '{path.name}' under code, but there is no such file or folder")
    for found in sorted(path.rglob("*")):
        if found.is_file() and not _SKIPPED & set(found.relative_to(path).parts):
            yield found


def local_modules(folder: Path, start: Path) -> set[Path]:
    """Return a Python file and every module of its folder that it imports, directly or through others."""
    seen, waiting = {start}, [start]
    while waiting:
        for name in _imported(waiting.pop()):
            for path in _module(folder, name):
                if path not in seen:
                    seen.add(path)
                    waiting.append(path)
    return seen


def _module(folder: Path, name: str) -> tuple[Path, ...]:
    """Return the files of a top-level module that lies in the folder: one file, or a package's Python files."""
    single, package = folder / f"{name}.py", folder / name
    if single.is_file():
        return (single,)
    if (package / "__init__.py").is_file():
        return tuple(path for path in _under(package) if path.suffix == ".py")
    return ()


def _imported(path: Path) -> set[str]:
    """Return the top-level modules that a Python file imports anywhere in it."""
    try:
        tree = ast.parse(path.read_bytes(), filename=path.name)
    except (SyntaxError, ValueError) as wrong:
        line = getattr(wrong, "lineno", None)
        raise InputError(f"{path.name} is not valid Python" + (f" (line {line}): {wrong}" if line else "")) from wrong
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.split(".")[0])
    return names
