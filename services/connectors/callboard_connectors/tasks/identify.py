"""Which task a request is about, and what a new task is called."""

from __future__ import annotations

from typing import Protocol

import msgspec

from callboard.contracts.calls import CallHead, TaskOwner
from callboard.contracts.problems import Problem
from callboard_connectors.tasks.domain import TaskIds, created, named_in
from callboard_connectors.tasks.seal import TaskRef, TaskSeal


class TaskKeys(Protocol):
    """Who knows the keys that seal task ids."""

    async def key(self, organisation: str) -> bytes:
        """64 bytes; raises `Problem`."""


class Tasks:
    """Gives and reads task ids. Keys are kept as long as the worker lives; ids are kept nowhere."""

    def __init__(self, keys: TaskKeys) -> None:
        self._keys = keys
        self._seals: dict[str, TaskSeal] = {}

    async def seal_of(self, organisation: str) -> TaskSeal:
        """Asked for before a call that may make a task: a task that cannot be named would be lost."""
        seal = self._seals.get(organisation)
        if seal is None:
            seal = self._seals[organisation] = TaskSeal(await self._keys.key(organisation))
        return seal

    async def found(self, head: CallHead, params: bytes) -> tuple[CallHead, TaskIds]:
        """The ids of the task that a request names, and the head with the tool and version that the task began with.

        Raises `task.unknown` unless the task was made for this caller in this playbook.
        """
        try:
            ours = named_in(params)
        except msgspec.DecodeError as error:
            raise Problem("argument.invalid", f"params of {head.method}: {error}") from None
        seal = await self.seal_of(head.organisation)
        ref, owner = seal.open(ours, head.playbook, head.principal)
        known = msgspec.structs.replace(
            head,
            version=ref.version,
            wire_name=ref.wire_name,
            upstream_name=owner.tool,
            digest=ref.digest,
        )
        return known, TaskIds(ref.task, ours)

    async def named(self, head: CallHead, result: bytes, holder: str) -> TaskIds | None:
        """The ids of the task that a result announces; None when it announces none."""
        theirs = created(result)
        if not theirs:
            return None
        ref = TaskRef(theirs, head.principal, head.version, head.wire_name, head.digest)
        owner = TaskOwner(head.playbook, head.server, holder, head.upstream_name)
        return TaskIds(theirs, (await self.seal_of(head.organisation)).seal(ref, owner))
