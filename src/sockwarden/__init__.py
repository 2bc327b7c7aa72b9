"""Sockwarden watches WebSocket traffic where it is plaintext: inside each host."""

import os

# gRPC reads it when it is imported.  Its own lines are for its developers: what went wrong is
# said in ours, once.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

__version__ = "0.1.0"
