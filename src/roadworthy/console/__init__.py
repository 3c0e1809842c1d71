"""The console and the control API: how a browser, or a program with a key, reaches the verbs."""

from roadworthy.console.app import app

__all__ = ["app"]
