"""Keeps a process from connecting to other machines."""

from __future__ import annotations

import ipaddress
import socket
from typing import Any


def refuse() -> None:
    """Have connections of this process to anything but itself fail. Datagrams pass: asking for a route sends none."""
    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, _guarded(getattr(socket.socket, name)))


def _guarded(connect: Any) -> Any:
    def guarded(self: socket.socket, address: Any) -> Any:
        if self.family in (socket.AF_INET, socket.AF_INET6) and self.type == socket.SOCK_STREAM:
            host = str(address[0])
            if not _is_here(host):
                raise PermissionError(f"a target is verified without network, so {host} cannot be reached")
        return connect(self, address)

    return guarded


def _is_here(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == socket.gethostname()
