"""pyinfra's view of a host: a connector that answers from what is known and notes what is not."""

from collections.abc import Iterator
from typing import Any

from pyinfra.api import StringCommand
from pyinfra.connectors.base import BaseConnector
from pyinfra.connectors.util import CommandOutput, OutputLine, make_unix_command_for_host

from stackctl.engine.batch import Answer, Command
from stackctl.engine.gather import Asked, Gathered
from stackctl.ops.question import Question
from stackctl.ops.step import SECONDS, Step

_FACT_SECONDS = 60


class UnansweredError(BaseException):
    """A fact is not known yet; a BaseException, so that pyinfra's own handlers let it through."""


class FactFailedError(BaseException):
    """A fact's command failed on the host."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.stderr)
        self.answer = answer


class Known(BaseConnector):
    """Never talks to a host: answers facts from earlier rounds, and notes those to fetch in the next."""

    def __init__(self, state: Any, host: Any) -> None:
        super().__init__(state, host)
        self.answers: dict[Command, Answer] = {}
        self.asked: dict[Command, None] = {}
        self.gathered = Gathered()

    @staticmethod
    def make_names_data(name: str) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
        """Inventories are made in code, never by a connector's name."""
        yield name, {}, []

    def run_shell_command(
        self,
        command: StringCommand | str,
        print_output: bool,  # noqa: ARG002 - pyinfra's signature
        print_input: bool,  # noqa: ARG002 - pyinfra's signature
        **arguments: Any,
    ) -> tuple[bool, CommandOutput]:
        """Answer a fact or note it."""
        answer = self._answer(command, arguments)
        if answer is None:
            raise UnansweredError
        if answer.status != 0:
            raise FactFailedError(answer)
        return True, CommandOutput([OutputLine("stdout", line) for line in answer.stdout.splitlines()])

    def _answer(self, command: StringCommand | str, arguments: dict[str, Any]) -> Answer | None:
        """What the host said; None, and the command is noted, where it was not asked yet."""
        wanted = shell_command(self.state, self.host, command, arguments, _FACT_SECONDS)
        if isinstance(command, Question) and wanted.script == command.get_raw_value():
            return self.gathered.answer(Asked(command.kind, command.things, wanted.seconds), self.answers)
        if wanted not in self.answers:
            self.asked[wanted] = None
        return self.answers.get(wanted)

    def put_file(self, *_args: Any, **_arguments: Any) -> bool:
        """Evaluating writes nothing."""
        raise TypeError("a fact cannot upload a file")

    def get_file(self, *_args: Any, **_arguments: Any) -> bool:
        """Evaluating downloads nothing."""
        raise TypeError("a fact cannot download a file")

    def take_asked(self) -> tuple[Command, ...]:
        """The facts to fetch, each once; forgets them."""
        asked = (*self.asked, *self.gathered.take())
        self.asked.clear()
        return tuple(dict.fromkeys(asked))

    def forget(self) -> None:
        """Drop all answers: the host has changed since."""
        self.answers.clear()
        self.gathered.forget()


def shell_command(
    state: Any, host: Any, command: StringCommand | str, arguments: dict[str, Any], seconds: int = SECONDS
) -> Command:
    """A command of pyinfra's as text; the shell it runs in is root's already, so sudo is left out.

    A plain command stays as it is: pyinfra would wrap it in `sh -c`, which shows in the process list.
    """
    if isinstance(command, str):
        command = StringCommand(command)
    wrapping = {
        key: arguments[key]
        for key in ("_env", "_chdir", "_su_user", "_shell_executable")
        if arguments.get(key)
    }
    if wrapping.get("_shell_executable") == "sh":
        wrapping.pop("_shell_executable")
    if arguments.get("_sudo_user"):
        wrapping.update(_su_user=arguments["_sudo_user"], _su_shell="sh")
    limit = int(arguments.get("_timeout") or (command.seconds if isinstance(command, Step) else seconds))
    if not wrapping:
        return Command(command.get_raw_value(), limit)
    return Command(make_unix_command_for_host(state, host, command, **wrapping).get_raw_value(), limit)
