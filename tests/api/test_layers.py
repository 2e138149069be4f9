from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.api.conftest import Api
from tests.support.stack import Stack


async def answered(api: Api, method: str, path: str, **body: Any) -> Any:
    response = await api(method, path, json=body) if body or method == "POST" else await api(method, path)
    assert response.status_code == 200, response.text
    return response.json()


def layer(text: str) -> dict[str, object]:
    return {"prompts": {"review": {"template": text}}, "resources": {"doc://rules": {"text": text}}}


async def test_a_layer_reaches_agents_when_its_playbooks_are_published_again(
    installation: Stack, admin: Api, organisation: str, echo_server: dict[str, object]
) -> None:
    at, start = f"/organisations/{organisation}", f"/organisations/{organisation}/playbooks/start"
    body = {"layer": layer("one"), "comment": "house rules", "command_id": "layer-once"}
    done = await answered(admin, "POST", f"{at}/layer", **body)
    assert (done["version"], done["changed"], done["outdated"]) == (1, True, [])
    again = await answered(admin, "POST", f"{at}/layer", **body)
    assert (again["version"], again["seq"]) == (1, done["seq"])
    playbooks = {"start": {"project": "web", "servers": {"echo": {}}}}
    applied = {"servers": {"echo": echo_server}, "playbooks": playbooks, "comment": "first"}
    await answered(admin, "POST", f"{at}/apply", **applied)

    endpoint, token = installation.endpoint(organisation, "start"), await installation.token(organisation)

    async def read() -> str:
        answer = await installation.rpc(endpoint, "resources/read", {"uri": "doc://rules"}, token)
        return str(answer.json()["result"]["contents"][0]["text"])

    assert await read() == "one"
    looked = await answered(admin, "POST", f"{at}/layer", layer=layer("two"), dry_run=True)
    told = [(line["playbook"], line["layers"]) for line in looked["outdated"]]
    assert (looked["version"], looked["seq"], told) == (2, 0, [("start", ["organisation"])])
    assert (await answered(admin, "GET", f"{at}/layer"))["version"] == 1, "a dry run writes nothing"
    await answered(admin, "POST", f"{at}/layer", layer=layer("two"), comment="other rules", expected=1)
    stale = await admin("POST", f"{at}/layer", json={"layer": layer("three"), "comment": "x", "expected": 1})
    assert (stale.status_code, stale.json()["code"]) == (409, "layer.revision_stale")
    assert await read() == "one", "a version holds its layers as they were"
    explained = await answered(admin, "GET", f"{start}/explain?tool=review")
    assert (explained["things"][0]["layer"], explained["outdated"]) == ("organisation", ["organisation"])

    assert not (await answered(admin, "POST", f"{at}/projects/web/layer", layer=layer("x"), dry_run=True))["unused"]
    assert (await answered(admin, "POST", f"{at}/projects/wbe/layer", layer=layer("x"), dry_run=True))["unused"]

    _, out, _ = await installation.cli("layer", "ls", "--org", organisation)
    assert f"{organisation}/start@1 holds another organisation" in out
    name = f"{organisation}/start"
    _, out, _ = await installation.cli("publish", name, "-m", "take the other rules over")
    assert f"{name}: published version 2" in out
    assert "layers.organisation.resources.doc://rules.text: one -> two" in out
    assert await read() == "two"
    await answered(admin, "POST", f"{at}/layer", layer=layer("three"), comment="yet other rules")
    await answered(admin, "POST", f"{start}/draft", edits=[{"path": ["title"], "value": "T"}])
    every = ("publish", "--outdated", "--org", organisation, "-m", "to all")
    code, _, err = await installation.cli(*every, ok=False)
    assert (code, "draft.stale" in err) == (1, True), "what somebody edits is not published by the way"
    await answered(admin, "DELETE", f"{start}/draft")
    _, out, _ = await installation.cli(*every)
    assert (f"{name}: published version 3" in out, await read()) == (True, "three")
    assert (await answered(admin, "GET", f"{at}/layers"))["outdated"] == []
    code, _, err = await installation.cli("publish", name, "-m", "again", ok=False)
    assert (code, "draft.unknown" in err) == (1, True)
    events = (await answered(admin, "GET", f"{at}/events"))["events"]
    kinds = [event["event"]["type"] for event in events]
    assert kinds.count("layer.published") == 3


async def test_layers_on_the_command_line(
    installation: Stack, organisation: str, tmp_path: Path, echo_server: dict[str, object]
) -> None:
    file = tmp_path / "layer.yaml"
    file.write_text("prompts:\n  review: {template: 5}\n")
    words = ("layer", "publish", "-f", str(file), "--org", organisation, "--project", "web")
    code, _, err = await installation.cli(*words, "-m", "x", ok=False)
    assert (code, "layer.yaml:2:" in err) == (2, True), err
    file.write_text(json.dumps(layer("web")))
    _, out, err = await installation.cli(*words, "-m", "for the web")
    assert "layer project web: version 1 is published" in out
    assert "no playbook gets it: none has `project: web`" in err
    code, out, _ = await installation.cli(*words, "--dry-run", "--exit-code")
    assert (code, "version 1 has this content" in out) == (0, True)
    show = ("layer", "show", "--org", organisation, "--project", "web")
    _, out, err = await installation.cli(*show)
    assert "for the web" in err
    file.write_text(out)
    assert "has this content" in (await installation.cli(*words, "-m", "what it prints can be published"))[1]
    code, _, err = await installation.cli(*show, "--version", "7", ok=False)
    assert (code, "layer.version_unknown" in err) == (1, True)


async def test_the_layer_of_the_installation_is_the_administrator_s_and_reaches_every_organisation(
    installation: Stack,
    admin: Api,
    api_of: Callable[[str | None], Api],
    organisation: str,
    echo_server: dict[str, object],
) -> None:
    issued = await admin("POST", f"/organisations/{organisation}/tokens", json={"client": "c", "scopes": ["manage"]})
    tenant = api_of(issued.json()["token"])
    for answer in (await tenant("GET", "/system/layer"), await tenant("POST", "/system/layer", json={"layer": {}})):
        assert (answer.status_code, answer.json()["code"]) == (403, "auth.forbidden")
    applied = {"servers": {"echo": echo_server}, "playbooks": {"start": {"servers": {"echo": {}}}}, "comment": "first"}
    await answered(admin, "POST", f"/organisations/{organisation}/apply", **applied)
    try:
        done = await answered(admin, "POST", "/system/layer", layer=layer("everywhere"), comment="defaults")
        assert (organisation, "start") in {(line["organisation"], line["playbook"]) for line in done["outdated"]}
        at = f"/organisations/{organisation}/playbooks/start"
        await answered(tenant, "POST", f"{at}/publish", comment="take the defaults")
        explained = await answered(tenant, "GET", f"{at}/explain?tool=doc://rules")
        assert [thing["layer"] for thing in explained["things"]] == ["system"]
        listed = (await answered(admin, "GET", "/organisations"))["organisations"]
        assert "_system" not in {line["organisation"] for line in listed}
        assert (await admin("GET", "/organisations/_system/events")).status_code == 404
    finally:
        await answered(admin, "POST", "/system/layer", layer={}, comment="no defaults for the other tests")
    _, out, _ = await installation.cli("audit", "verify")
    assert "_system" in out, "its log has a chain too"
