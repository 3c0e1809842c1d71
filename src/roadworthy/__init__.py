"""Roadworthy: a prototype becomes a production system and stays one."""

__version__ = "0.1.0"
