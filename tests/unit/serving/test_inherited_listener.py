"""The socket that `up` holds and the data plane takes over."""

from __future__ import annotations

import os
import socket

import pytest

from roadworthy.errors import UnavailableError
from roadworthy.serving.serve import inherit, listen


def test_an_inherited_listener_is_the_same_port() -> None:
    """Who takes over the socket answers where `up` listens, without binding again."""
    with listen("127.0.0.1", 0) as held, inherit(os.dup(held.fileno())) as taken:
        assert taken.getsockname() == held.getsockname()


def test_a_socket_that_does_not_listen_is_refused() -> None:
    """A wrong descriptor ends in one message, not in workers that never get a caller."""
    with socket.socket() as mute, pytest.raises(UnavailableError, match="does not listen"):
        inherit(mute.fileno())


def test_a_descriptor_that_is_no_socket_is_refused() -> None:
    """So does one that is something else altogether."""
    reading, writing = os.pipe()
    try:
        with pytest.raises(UnavailableError, match="is no socket"):
            inherit(reading)
    finally:
        os.close(reading)
        os.close(writing)
