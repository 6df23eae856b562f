#!/usr/bin/env bash
# What cargo runs each test program through (its `runner`), for scripts/tests.sh: says by the file $TURN.waits that cargo has built all it has to, and waits
# for the file $TURN.
touch "$TURN.waits"
until [ -e "$TURN" ]; do sleep 0.1; done
exec "$@"
