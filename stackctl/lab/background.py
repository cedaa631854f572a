"""Work side by side that does not hold the process back when it is interrupted."""

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

Done = TypeVar("Done")


def begin(work: Callable[[], Done]) -> Future[Done]:
    """Start work in the background.

    A pool would wait for all its work before the process may end; this ends with the process, and so do the
    confined tools that it runs.
    """
    future: Future[Done] = Future()

    def carry_out() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is asked for
            future.set_exception(error)

    threading.Thread(target=carry_out, daemon=True).start()
    return future
