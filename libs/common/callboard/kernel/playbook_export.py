"""The file of an exported playbook: its whole history, and whether it is what was exported."""

from __future__ import annotations

from callboard.contracts.definitions import PlaybookContent
from callboard.contracts.playbooks import EXPORT_FORMAT, ExportedPlaybook
from callboard.kernel.digest import digest_of_json, digest_of_struct
from callboard.kernel.names import is_slug


def digests_of(content: PlaybookContent) -> set[str]:
    """The digests of everything that a version exposes."""
    exposed = (content.tools, content.prompts, content.resources)
    return {item.digest for items in exposed for item in items.values() if item.server}


def faults_of(exported: ExportedPlaybook) -> list[str]:
    """What does not verify: the content of versions and definitions is known by its digests.

    Who made a version, when and why, and how its servers are defined, is what the file says: trust it as its sender.
    """
    faults = []
    if exported.format != EXPORT_FORMAT:
        faults.append(f"the format is {exported.format!r}, and this version reads {EXPORT_FORMAT!r}")
    if not is_slug(exported.playbook):
        faults.append(f"{exported.playbook!r} is no name of a playbook")
    if not exported.versions:
        faults.append("there is no version in it")
    for number, version in enumerate(exported.versions, 1):
        if version.version != number:
            faults.append(f"after version {number - 1} comes version {version.version}")
        if digest_of_struct(version.content) != version.content_digest:
            faults.append(f"version {version.version} does not have the content of its digest")
    faults += [
        f"the definition {digest[:19]} is another one" for digest in exported.definitions if not _is(exported, digest)
    ]
    return faults


def _is(exported: ExportedPlaybook, digest: str) -> bool:
    try:
        return digest_of_json(exported.definitions[digest].encode()) == digest
    except ValueError:
        return False
