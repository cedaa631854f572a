"""A session that opens while the program is still getting ready to use it."""

import threading

from stackctl.core.connection import Connection
from stackctl.engine.session import SshSession


class EarlySession(SshSession):
    """Begins to connect when it is made.

    Logging in is mostly waiting, and takes about as long as it does to import pyinfra and call the deploys.
    """

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection)
        self._error: Exception | None = None
        self._closed = False
        self._begun = threading.Thread(target=self._begin, daemon=True)
        self._begun.start()

    def open(self) -> None:
        """Wait until it is open; raises what keeps it closed."""
        self._begun.join()
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """Leave, or go no further."""
        self._closed = True
        super().close()

    def _begin(self) -> None:
        try:
            super().open()
        except Exception as error:  # noqa: BLE001 - kept for the one who waits
            self._error = error
        if self._closed:
            super().close()
