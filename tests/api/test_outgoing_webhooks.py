"""Webhooks of ours over the management API and the command line."""

from __future__ import annotations

from tests.api.conftest import Api
from tests.api.test_management_api import problem
from tests.api.test_people_api import join
from tests.support.stack import Stack
from tests.support.waiting import eventually
from tests.webhooks.receiver import receiving
from tests.webhooks.sender import verify


async def test_an_organisation_s_administrator_has_its_events_sent(
    installation: Stack, admin: Api, organisation: str
) -> None:
    at = f"/organisations/{organisation}"
    await join(installation, admin, organisation, "owner")
    manager, governor = [await join(installation, admin, organisation, role) for role in ("manager", "admin")]
    async with receiving() as receiver:
        body = {"webhook": "hook", "url": receiver.url, "kinds": ["project.*"]}
        problem(await manager("POST", f"{at}/webhooks", json=body), 403, "auth.forbidden")
        problem(await manager("GET", f"{at}/webhooks"), 403, "auth.forbidden")
        made = await governor("POST", f"{at}/webhooks", json=body)
        assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
        secret = made.json()["secret"]
        assert (await manager("POST", f"{at}/projects", json={"project": "shop"})).status_code == 200
        await eventually(lambda: [came.message.type for came in receiver.came] == ["project.created"])
        verify(secret, receiver.came[0])
        [line] = (await governor("GET", f"{at}/webhooks")).json()["webhooks"]
        assert (line["state"], line["kinds"], "secret" in line) == ("on", ["project.*"], False)

        words = ("--org", organisation)
        assert (await installation.cli_json("webhook", "test", "hook", *words))["status"] == 204
        rotated = await installation.cli_json("webhook", "rotate", "hook", "--overlap", "1h", *words)
        assert (await governor("POST", f"{at}/webhooks/hook/test")).json()["problem"] == ""
        for each in (secret, rotated["secret"]):
            verify(each, receiver.came[-1])
        await installation.cli_json("webhook", "pause", "hook", "-m", "quiet", *words)
        [line] = (await installation.cli_json("webhook", "ls", *words))["webhooks"]
        assert line["state"] == "paused"
        resumed = await governor("POST", f"{at}/webhooks/hook/resume", json={"comment": "go"})
        assert resumed.json()["seq"] > 0
        await installation.cli_json("webhook", "replay", "hook", "1", "1000", *words)
        await eventually(lambda: receiver.kinds.count("project.created") == 2)
        beyond = await governor("POST", f"{at}/webhooks/hook/replay", json={"first": 1, "last": 10**23})
        assert "9223372036854775807" in problem(beyond, 400, "argument.invalid")["detail"]
        log = await installation.cli_json("webhook", "log", "hook", *words)
        assert {each["kind"] for each in log["deliveries"]} == {"webhook.test", "project.created"}
        await installation.cli_json("webhook", "rm", "hook", *words)
        problem(await governor("GET", f"{at}/webhooks/hook/deliveries"), 404, "webhook.unknown")
        secrets = (await manager("GET", f"{at}/secrets")).json()["secrets"]
        assert secrets == []
        told = (await manager("GET", f"{at}/events")).text
        assert "webhook.registered" in told
        assert "webhook.deleted" in told
        assert secret not in told
