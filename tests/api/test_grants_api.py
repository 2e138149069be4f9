"""OAuth clients of an organisation, from the API to a playbook's endpoint and back to where they are ended."""

from __future__ import annotations

from collections.abc import Callable

import httpx2

from tests.api.conftest import Api
from tests.api.test_management_api import problem, publish
from tests.api.test_people_api import join
from tests.support.stack import Stack
from tests.support.waiting import promised

ApiOf = Callable[[str | None], Api]


async def token_for(stack: Stack, client: dict[str, str], resource: str) -> httpx2.Response:
    form = {"grant_type": "client_credentials", "resource": resource}
    async with httpx2.AsyncClient(auth=(client["client_id"], client["client_secret"])) as http:
        return await http.post(f"{stack.url}/token", data=form)


async def test_a_service_client_enters_its_playbook_until_its_grant_is_ended(
    installation: Stack, admin: Api, organisation: str, echo_server: dict[str, object]
) -> None:
    at = f"/organisations/{organisation}"
    await publish(admin, organisation, echo_server)
    owner = await join(installation, admin, organisation, "owner")
    viewer = await join(installation, admin, organisation, "viewer")
    made = await admin("POST", f"{at}/service-accounts", json={"account": "ci", "role": "user"})
    assert made.status_code in (200, 201), made.text
    added = await owner("POST", f"{at}/oauth-clients", json={"account": "ci", "title": "Build"})
    assert (added.status_code, added.headers["cache-control"]) == (201, "no-store")
    client = added.json()
    url, other = installation.endpoint(organisation, "start"), installation.endpoint(organisation, "other")

    tokens = await token_for(installation, client, url)

    assert tokens.status_code == 200, tokens.text
    token = tokens.json()["access_token"]
    listed = await installation.rpc(url, "tools/list", token=token)
    assert [tool["name"] for tool in listed.json()["result"]["tools"]]
    assert (await installation.rpc(other, "tools/list", token=token)).status_code == 401
    problem(await Api(installation.url, token)("GET", f"{at}/playbooks"), 401, "auth.invalid")
    for path in (f"{at}/grants", f"{at}/oauth-clients"):
        problem(await viewer("GET", path), 403, "auth.forbidden")
    [line] = (await owner("GET", f"{at}/grants")).json()["grants"]
    assert (line["member"], line["client_name"], line["playbook"], line["means"]) == (
        "ci", "Build", "start", "client_credentials",
    )  # fmt: skip
    assert (await viewer("GET", "/me/grants")).json()["grants"] == []
    problem(await viewer("DELETE", f"/me/grants/{line['grant']}"), 404, "grant.unknown")
    for playbooks, seen in ((["start"], 1), (["oth*"], 0), ([], 1)):
        wanted = {"client": "ci", "scopes": ["use"], "playbooks": playbooks}
        mine = Api(installation.url, (await owner("POST", f"{at}/tokens", json=wanted)).json()["token"])
        assert len((await mine("GET", "/me/grants")).json()["grants"]) == seen
        if playbooks:
            problem(await mine("DELETE", f"/me/grants/{line['grant']}"), 404, "grant.unknown")
    assert (await token_for(installation, client, url)).json()["access_token"] != token

    ended = await owner("DELETE", f"{at}/grants/{line['grant']}?comment=over")

    assert ended.status_code == 200, ended.text

    async def refused() -> bool:
        return (await installation.rpc(url, "tools/list", token=token)).status_code == 401

    await promised(refused, within=2)
    events = (await owner("GET", f"{at}/events?limit=100")).json()["events"]
    kinds = [event["event"]["type"] for event in events]
    assert {"oauth_client.added", "grant.issued", "grant.revoked"} <= set(kinds)
    removed = await owner("DELETE", f"{at}/oauth-clients/{client['client_id']}")
    assert removed.status_code == 200, removed.text
    assert (await owner("GET", f"{at}/oauth-clients")).json()["clients"] == []
    assert (await token_for(installation, client, url)).status_code == 401


async def test_an_operator_deals_with_clients_on_the_command_line(
    installation: Stack, admin: Api, organisation: str, echo_server: dict[str, object]
) -> None:
    await publish(admin, organisation, echo_server)
    await admin("POST", f"/organisations/{organisation}/service-accounts", json={"account": "ci", "role": "user"})
    at = ("--org", organisation)

    added = await installation.cli_json("oauth-client", "add", "ci", *at)

    client = {"client_id": added["client_id"], "client_secret": added["client_secret"]}
    url = installation.endpoint(organisation, "start")
    assert (await token_for(installation, client, url)).status_code == 200
    [grant] = (await installation.cli_json("grant", "ls", *at))["grants"]
    assert (await installation.cli_json("grant", "ls", "--mine"))["grants"] == []
    assert (await installation.cli_json("grant", "revoke", grant["grant"], "-m", "over", *at))["seq"] > 0
    assert (await installation.cli_json("oauth-client", "rm", client["client_id"], *at))["seq"] > 0
    assert (await installation.cli_json("oauth-client", "ls", *at))["clients"] == []
    assert (await token_for(installation, client, url)).status_code == 401


async def test_what_is_not_there_is_json_under_well_known_too(installation: Stack) -> None:
    async with httpx2.AsyncClient(base_url=installation.url) as http:
        for path in ("nothing", "oauth-authorization-server/p/a/b/mcp", "openid-configuration/x"):
            missing = await http.get(f"/.well-known/{path}")
            assert missing.status_code == 404
            assert missing.headers["content-type"].startswith("application/json")
            missing.json()
        described = (await http.get("/.well-known/oauth-authorization-server")).json()
        assert described["issuer"] == installation.url
