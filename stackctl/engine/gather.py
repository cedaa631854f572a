"""Questions of one kind go to a host as one command, and every one gets its own part of the answer."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from stackctl.engine.batch import Answer, Command
from stackctl.ops.question import Kind


class Asked(NamedTuple):
    """A question with the seconds that its answer may take."""

    kind: Kind
    things: tuple[Any, ...]
    seconds: int


class Gathered:
    """The questions of one host, those answered and those that wait for the next batch."""

    def __init__(self) -> None:
        self._waiting: dict[Asked, None] = {}
        self._sent: dict[Asked, _Sent] = {}
        self._alone: set[Asked] = set()

    def answer(self, asked: Asked, answers: Mapping[Command, Answer]) -> Answer | None:
        """What the host said to it; None, and it waits for the next batch, where that is not known."""
        sent = self._sent.get(asked)
        answer = None if sent is None else answers.get(sent.command)
        if sent is None or answer is None:
            self._waiting[asked] = None
            return None
        if not sent.together:
            return answer
        parts = sent.parts(answer)
        if parts is not None:
            return Answer(0, "".join(parts.get(thing, "") for thing in asked.things), "")
        # One of them failed or took too long, which is nothing to the others.
        self._alone.add(asked)
        self._waiting[asked] = None
        return None

    def take(self) -> tuple[Command, ...]:
        """The commands of the next batch."""
        groups: dict[object, list[Asked]] = {}
        for asked in self._waiting:
            key = asked if asked in self._alone else (asked.kind, asked.seconds)
            groups.setdefault(key, []).append(asked)
        self._waiting.clear()
        sent = [_Sent(group) for group in groups.values()]
        for item, group in zip(sent, groups.values(), strict=True):
            self._sent.update(dict.fromkeys(group, item))
        return tuple(item.command for item in sent)

    def forget(self) -> None:
        """Drop all: the host has changed since."""
        self._waiting.clear()
        self._sent.clear()
        self._alone.clear()


class _Sent:
    """A command for some questions of one kind."""

    def __init__(self, questions: Sequence[Asked]) -> None:
        first = questions[0]
        self.together = len(questions) > 1
        self._kind = first.kind
        self._things = tuple(dict.fromkeys(thing for asked in questions for thing in asked.things))
        self.command = Command(
            first.kind.script(self._things if self.together else first.things), first.seconds
        )
        self._parts: Mapping[Any, str] | None = None

    def parts(self, answer: Answer) -> Mapping[Any, str] | None:
        """What the answer says of each thing, found once; None where it does not say that."""
        if self._parts is None and answer.status == 0:
            with suppress(ValueError):
                self._parts = self._kind.parted(self._things, answer.stdout)
        return self._parts
