#!/bin/sh
# Ray Serve runs this in place of HAProxy; serve/network/haproxy.py explains why. RAYGENRE_PYTHON and the path of this
# file are set in serve/network/proxy_environment.py.
exec "${RAYGENRE_PYTHON:-python3}" -m serve.network.haproxy "$@"
