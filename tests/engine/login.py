"""Logging in over real SSH, for tests."""

import pytest

from stackctl.core.connection import Connection
from stackctl.core.finding import Finding, FindingsError
from stackctl.engine.batch import Command
from stackctl.engine.session import SshSession


def said(connection: Connection, script: str = "echo hello") -> str:
    """What a script says there."""
    session = SshSession(connection)
    try:
        session.open()
        return session.run([Command(script, 10)])[0].stdout
    finally:
        session.close()


def refused(connection: Connection) -> Finding:
    """Why there is no way in."""
    with pytest.raises(FindingsError) as error:
        said(connection)
    return error.value.findings[0]
