#!/bin/bash
# Installs both units as a package would, waits until systemd calls them ready, and sees an attack on a
# server of TLS that was there before, with no right but those that the unit gives.
set -euo pipefail

readonly query=unix:/run/sockwarden/query.sock attempts=10

systemd-sysusers "$PWD"/packaging/systemd/sockwarden.sysusers
ln -sf "$PWD/.venv/bin/sockwarden" /usr/bin/sockwarden
install -m 644 packaging/systemd/*.service /etc/systemd/system
mkdir -p /etc/sockwarden
cat >/etc/sockwarden/collector.toml <<END
[listen]
address = "127.0.0.1:7443"
insecure_loopback = true
END
cat >/etc/sockwarden/agent.toml <<END
[uplink]
collectors = ["127.0.0.1:7443"]
insecure_loopback = true
END
# The checkout may be in a home; a package is not.  The deadlines are for an ordinary processor.
for unit in collector agent; do
    mkdir -p "/etc/systemd/system/sockwarden-$unit.service.d"
    printf '[Service]\nProtectHome=no\nTimeoutStartSec=900\nWatchdogSec=600\n' \
        >"/etc/systemd/system/sockwarden-$unit.service.d/checkout.conf"
done
systemctl daemon-reload

folder=$(mktemp -d)
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost \
    -keyout "$folder/key" -out "$folder/certificate" 2>/dev/null
python tests/e2e/servers/threads.py 127.0.0.1 7444 "$folder/certificate" "$folder/key" &
trap 'kill %1; journalctl -q -o cat -u "sockwarden-*" | tail -n 20' EXIT

systemctl start sockwarden-collector sockwarden-agent
for unit in collector agent; do
    systemctl show -P StatusText "sockwarden-$unit" | sed "s/^/$unit: /"
    systemctl is-active -q "sockwarden-$unit"
done

attack='import ssl, sys
from websockets.sync.client import connect
context = ssl._create_unverified_context()
with connect("wss://127.0.0.1:7444/units", ssl=context, proxy=None, open_timeout=60) as connection:
    connection.send("x\x27 UNION SELECT card, pin FROM customers --")
    connection.recv()
'
for ((attempt = 1; attempt <= attempts; attempt++)); do
    python -c "$attack"
    if sockwarden alerts list --json --collector "$query" | grep '"rule": *"sqli-union-select"'; then
        echo "the attack was seen"
        systemctl stop sockwarden-agent sockwarden-collector
        exit 0
    fi
done
echo "the attack was not seen"
exit 1
