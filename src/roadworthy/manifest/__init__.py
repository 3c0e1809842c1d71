"""Text → System: the loader, conditions, units, interface file, resolved form, JSON Schema."""

from roadworthy.manifest.catalogue import BUILT_IN, Catalogue
from roadworthy.manifest.interface_file import read_interface
from roadworthy.manifest.interface_writer import resolved_interface, write_interface
from roadworthy.manifest.loader import load, load_text
from roadworthy.manifest.resolved import resolved, resolved_content, resolved_policy
from roadworthy.manifest.schema import json_schema
from roadworthy.manifest.upgrade import Upgrade, upgrade

__all__ = [
    "BUILT_IN",
    "Catalogue",
    "Upgrade",
    "json_schema",
    "load",
    "load_text",
    "read_interface",
    "resolved",
    "resolved_content",
    "resolved_interface",
    "resolved_policy",
    "upgrade",
    "write_interface",
]
