"""Requests that are patient with a server that is busy, and never wait without end."""

import ssl
import time
from typing import Any

import httpx

from stackctl import __version__

LONGEST_WAIT = 60
"""Seconds that a server may ask us to wait before a further try."""
_TIMEOUT = httpx.Timeout(30, connect=10)
_WAITS = (1.0, 3.0)
"""Seconds before each further try, where the server does not name them."""
BUSY = frozenset({429, 500, 502, 503, 504})
"""Answers after which another try makes sense."""


class PatientClient(httpx.Client):
    """Tries again what a busy or hasty server did not answer; a refused connection is no busy server."""

    def __init__(self, *, verify: bool = True) -> None:
        # This machine's own authorities, as its other programs have them, and SSL_CERT_FILE.
        trust = ssl.create_default_context() if verify else False
        agent = {"User-Agent": f"stackctl/{__version__}"}
        super().__init__(verify=trust, timeout=_TIMEOUT, follow_redirects=True, headers=agent)

    def send(
        self,
        request: httpx.Request,
        *,
        stream: bool = False,
        auth: Any = httpx.USE_CLIENT_DEFAULT,
        follow_redirects: Any = httpx.USE_CLIENT_DEFAULT,
    ) -> httpx.Response:
        """Send a request that changes nothing there, as often as it makes sense."""
        for pause in (*_WAITS, None):
            try:
                response = super().send(request, stream=stream, auth=auth, follow_redirects=follow_redirects)
            except (httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError):
                if pause is None:
                    raise
                time.sleep(pause)
                continue
            wait = None if pause is None else _wait(response, pause)
            if wait is None:
                return response
            response.close()
            time.sleep(wait)
        raise AssertionError  # the last try returns or raises


def _wait(response: httpx.Response, pause: float) -> float | None:
    """Seconds until a further try; None where there is no reason for one, or none soon."""
    if response.status_code not in BUSY:
        return None
    told = response.headers.get("Retry-After", "")
    wait = float(told) if told.isdecimal() else pause
    return wait if wait <= LONGEST_WAIT else None
