#!/bin/sh
# Ray Serve runs this in place of HAProxy; serve/network/haproxy.py says why. RAYGENRE_PYTHON is set with the path of
# this file in serve/network/proxy_environment.py.
exec "${RAYGENRE_PYTHON:-python3}" -m serve.network.haproxy "$@"
