"""Heavy parts are extras: what the base install is for works where none of them is installed."""

from __future__ import annotations

import subprocess
import sys

import pytest

EXTRAS = (
    "aiohttp", "genai_prices", "ik_llama_cpp", "jsonschema", "onnxruntime", "opentelemetry", "pandas", "skl2onnx",
    "sklearn", "skops", "tokenizers", "uvloop", "yarl",
)  # fmt: skip
HIDDEN = f"""
import sys

class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {EXTRAS}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
"""
DOORS = (
    "import roadworthy.cli as cli; cli.app if hasattr(cli, 'app') else cli.main",
    "import roadworthy.lifecycle.build, roadworthy.lifecycle.release, roadworthy.lifecycle.control",
    "import roadworthy.serving.worker, roadworthy.serving.serve, roadworthy.serving.asgi",
    "import roadworthy.console.app, roadworthy.wiring.processes, roadworthy.wiring.prove_routes",
    "from roadworthy.wiring import catalogue; assert catalogue().guards and catalogue().gates",
    "import roadworthy.cli.projects, roadworthy.cli.traffic, roadworthy.cli.looking, roadworthy.cli.homes",
)


@pytest.mark.parametrize("door", DOORS)
def test_a_door_opens_without_any_extra(door: str) -> None:
    """Who serves a table or a query never installs what a language model needs, nor the other way round."""
    done = subprocess.run([sys.executable, "-c", HIDDEN + door], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
