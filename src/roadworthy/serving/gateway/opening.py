"""Opens the gateway in a worker, when its snapshot names the first system of kind llm."""

from __future__ import annotations

import random
from collections.abc import Callable

from roadworthy.domain.moment import Micros
from roadworthy.ports.artifacts import Artifacts
from roadworthy.ports.home import Home
from roadworthy.ports.records import RecordLog
from roadworthy.runtimes.llm.secrets import Secrets
from roadworthy.serving.app import App
from roadworthy.serving.gateway.answer import ChatAnswerer
from roadworthy.serving.gateway.cache import ExactCache
from roadworthy.serving.gateway.calling import Caller
from roadworthy.serving.gateway.doors import Gateway
from roadworthy.serving.gateway.local import LocalModels
from roadworthy.serving.gateway.paying import Cashier
from roadworthy.serving.gateway.place import ChatLoader, ModelPool
from roadworthy.stores.home import secret_of
from roadworthy.stores.wallets.wallet import open_wallet


def open_gateway(
    app: App,
    home: Home,
    artifacts: Artifacts,
    log: RecordLog,
    new_id: Callable[[Micros], str],
    flags: int,
    *,
    worker: str,
    now: Callable[[], Micros],
) -> ChatLoader:
    """Join the gateway's parts to a worker's app; returns what loads its releases.

    Secrets of the manifest's `file:` references are read beside the home, where the project is.
    """
    secret = secret_of(home)
    wallet = open_wallet(home.budgets, worker, now)
    caller = Caller(Cashier(wallet), random.Random())  # noqa: S311 (jitter between tries)
    answerer = ChatAnswerer(log, new_id, secret, caller, ExactCache(secret))
    answerer.recorder.extra_flags = flags
    app.gateway = gateway = Gateway(app, answerer)
    pool = ModelPool(Secrets(home.root.parent), LocalModels(home.root / "models"))
    return ChatLoader(artifacts, pool, secret, wallet, gateway.close)
