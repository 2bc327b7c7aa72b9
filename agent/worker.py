"""The agent itself: `python -m sockwarden.agent.worker`, started by the privileged helper.

Everything that touches captured bytes happens here, without any privilege: it opens what it
needs (configuration, spool, certificates), gives up every right, and only then maps the rings.
Ends when the helper says stop or is gone.
"""

import argparse
import logging
import os
import secrets
import socket
import sys
import time
from pathlib import Path

from sockwarden import __version__
from sockwarden.agent.alert import Alert, Anomaly, Connection, Control, Message
from sockwarden.agent.config import Config
from sockwarden.agent.control import Control as HelperControl
from sockwarden.agent.control import HelperGone
from sockwarden.agent.live import Live, boot_to_epoch_ns
from sockwarden.agent.pipeline import Pipeline
from sockwarden.agent.probe import privileges
from sockwarden.agent.ring import Ring
from sockwarden.agent.rules.engine import RuleSet
from sockwarden.agent.rules.errors import RuleError
from sockwarden.agent.rules.load import load_rules
from sockwarden.agent.spool import Spool
from sockwarden.agent.uplink import Uplink
