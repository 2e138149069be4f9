"""A task id of ours: which task, whose, made by which tool under which version; sealed with the organisation's key.

    cbt2.<playbook>.<server>.<worker, or ->.<base64url of the tool>.<base64url of AES-SIV ciphertext>

Playbook, server, worker and tool stand in the clear, so that any router finds the owner and what policies say of it;
they are bound to the rest. The same task has the same id, and there is no nonce that could come twice. Nothing is kept
anywhere. Above: `tasks.identify`.
"""

from __future__ import annotations

import base64
import binascii

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from callboard.contracts.calls import TaskOwner, task_id, task_owner
from callboard.contracts.problems import Problem


class TaskRef(msgspec.Struct, frozen=True, array_like=True):
    """What an id says under its seal. `task` is the upstream's own id; `version` the playbook's when the task began."""

    task: str
    principal: str
    version: int
    wire_name: str
    digest: str


_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(TaskRef).decode


class TaskSeal:
    """Seals and opens the ids of one organisation."""

    def __init__(self, key: bytes) -> None:
        self._key = AESSIV(key)

    def seal(self, ref: TaskRef, owner: TaskOwner) -> str:
        """The id that the client gets."""
        sealed = self._key.encrypt(_pack(ref), [part.encode() for part in owner])
        return task_id(owner, base64.urlsafe_b64encode(sealed).decode().rstrip("="))

    def open(self, id: str, playbook: str, principal: str) -> tuple[TaskRef, TaskOwner]:
        """What the id says, under its seal and before it.

        Raises `task.unknown` for one that was altered, is not ours, or is somebody else's.
        """
        owner = task_owner(id)
        if owner is None or owner.playbook != playbook:
            raise unknown_task()
        encoded = id.rpartition(".")[2]
        try:
            sealed = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True)
            ref = _unpack(self._key.decrypt(sealed, [part.encode() for part in owner]))
        except (ValueError, binascii.Error, InvalidTag, msgspec.DecodeError):
            raise unknown_task() from None
        if ref.principal != principal:
            raise unknown_task()
        return ref, owner


def unknown_task() -> Problem:
    """Nothing here tells apart what is another's and what is not there."""
    return Problem("task.unknown", "Task not found")
