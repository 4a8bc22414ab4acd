"""The endpoint's web application without Ray and HAProxy: `uvicorn benchmarks.peers.without_ray:app`.

It shows how much of a difference to other servers is due to Ray. Never use it to serve other machines: it checks no
limits that the proxies would check.
"""

import sys

from serve.admission.api_keys import Keys
from serve.monitoring import logs
from serve.service import Service
from serve.settings import Settings
from serve.web.routes import build

logs.configure()
sys.setswitchinterval(0.0005)  # as in the endpoint
settings = Settings()
service = Service(settings, Keys.of(settings))
service.watch()
app = build(service)
