# What runs in a test machine, in this checkout; run.py reads what it prints.
# Deadlines of tests are for ordinary machines: SOCKWARDEN_PATIENCE says how much slower this one is.
export PATH=$PWD/.venv/bin:$PATH NODE_PATH=$PWD/build/node/node_modules TERM=dumb HOME=/root
export SOCKWARDEN_PATIENCE=${SOCKWARDEN_PATIENCE:-1}
