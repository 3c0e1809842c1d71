"""Text → System: the loader, conditions, units, interface file, resolved form, JSON Schema."""

from roadworthy.manifest.catalogue import BUILT_IN, Catalogue
from roadworthy.manifest.interface_file import read_interface, write_interface
from roadworthy.manifest.loader import load, load_text

__all__ = ["BUILT_IN", "Catalogue", "load", "load_text", "read_interface", "write_interface"]
