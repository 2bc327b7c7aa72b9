"""Sockwarden watches WebSocket traffic where it is plaintext: inside each host."""

__version__ = "0.1.0"
