"""One made-up answer, so that the first caller does not pay for what a model sets up lazily."""

from __future__ import annotations

from contextlib import suppress

from roadworthy.domain.interface import Field, FieldType, Interface, Scalar
from roadworthy.ports.runtime import Predictor
from roadworthy.runtimes.columns import gather


def warmed(predictor: Predictor, interface: Interface) -> Predictor:
    """Return the predictor after one call.

    What that call says or raises is ignored: the row is invented, and the real ones decide.
    """
    row = {field.name: _plausible(field) for field in interface.features}
    with suppress(Exception):
        predictor.predict(gather([row], interface.features))
    return predictor


def _plausible(field: Field) -> Scalar:
    if field.default is not None:
        return field.default
    if field.type is FieldType.STRING:
        return field.categories[0] if field.categories else ""
    if field.type is FieldType.BOOLEAN:
        return False
    lowest = field.minimum if field.minimum is not None else 0.0
    return lowest if field.type is FieldType.NUMBER else int(lowest)
