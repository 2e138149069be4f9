"""What of the installation's status somebody sees who is no administrator."""

from __future__ import annotations

from callboard.contracts.status import HeldStatus, InstanceStatus
from callboard_edge.api.system import of_organisations


def test_nothing_of_other_organisations_is_in_a_status() -> None:
    held = tuple(HeldStatus(playbook=f"{name}/secret", thing="tool x", why="it changed") for name in ("acme", "other"))
    status = InstanceStatus(
        room="router",
        instance="r",
        version="1",
        pid=1,
        uptime_seconds=1.0,
        ready=True,
        problem="other/secret: two tools have one name",
        figures={"playbooks": 2.0},
        held=held,
    )
    seen = of_organisations(frozenset({"acme"}), status)
    assert [one.playbook for one in seen.held] == ["acme/secret"]
    assert "other" not in repr(seen)
    assert seen.problem
