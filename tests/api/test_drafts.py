from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.api.conftest import Api
from tests.support.stack import Stack


async def answered(api: Api, method: str, path: str, **body: Any) -> Any:
    response = await api(method, path, json=body) if body or method == "POST" else await api(method, path)
    assert response.status_code == 200, response.text
    return response.json()


async def applied(api: Api, organisation: str, server: dict[str, object], **definition: object) -> None:
    playbooks = {"start": {"title": "One", "servers": {"echo": {}}, **definition}}
    body = {"servers": {"echo": server}, "playbooks": playbooks, "comment": "by file"}
    await answered(api, "POST", f"/organisations/{organisation}/apply", **body)


def step(path: str, value: object) -> dict[str, object]:
    return {"path": path.split("."), "value": value}


async def test_a_draft_is_served_only_once_it_is_published(
    admin: Api, organisation: str, echo_server: dict[str, object]
) -> None:
    await applied(admin, organisation, echo_server)
    at = f"/organisations/{organisation}/playbooks/start"
    revised = await answered(admin, "POST", f"{at}/draft", edits=[step("title", "Two")], comment="a better title")
    assert (revised["revision"], revised["base"]) == (1, 1)
    await answered(admin, "POST", f"{at}/draft", edits=[step("servers.echo.tools.deny", ["mark"])])
    assert (await answered(admin, "GET", f"{at}/versions/0"))["content"]["definition"]["title"] == "One"
    draft = await answered(admin, "GET", f"{at}/draft")
    assert [change["path"] for change in draft["changes"]] == ["title", "servers.echo.tools"]
    assert [(edit["revision"], edit["comment"]) for edit in draft["edits"]] == [(2, ""), (1, "a better title")]
    listed = (await answered(admin, "GET", f"/organisations/{organisation}/drafts"))["drafts"]
    assert [(line["playbook"], line["revision"], line["outdated"]) for line in listed] == [("start", 2, False)]

    looked = await answered(admin, "POST", f"{at}/publish", dry_run=True)
    assert (looked["version"], looked["changed"], looked["seq"]) == (2, True, 0)
    assert ("tool echo__mark", "breaking") in {(change["path"], change["severity"]) for change in looked["changes"]}
    silent = await admin("POST", f"{at}/publish", json={})
    assert (silent.status_code, silent.json()["code"]) == (400, "comment.required")
    body = {"comment": "two", "expected_version": 1, "expected_revision": 2, "command_id": "publish-once"}
    done = await answered(admin, "POST", f"{at}/publish", **body)
    assert (done["version"], done["revision"], done["changed"]) == (2, 2, True)
    again = await answered(admin, "POST", f"{at}/publish", **body)
    assert {**again, "changes": []} == {**done, "changes": [], "notes": []}, "the same command does the same once"
    content = (await answered(admin, "GET", f"{at}/versions/2"))["content"]
    assert (content["definition"]["title"], "echo__mark" in content["tools"]) == ("Two", False)
    gone = await admin("GET", f"{at}/draft")
    assert (gone.status_code, gone.json()["code"]) == (404, "draft.unknown")
    events = (await answered(admin, "GET", f"/organisations/{organisation}/events"))["events"]
    kinds = [event["event"]["type"] for event in events]
    assert kinds[-4:] == ["draft.edited", "draft.edited", "playbook.published", "draft.published"]


async def test_a_draft_with_the_content_of_the_current_version_makes_no_new_one(
    admin: Api, organisation: str, echo_server: dict[str, object]
) -> None:
    await applied(admin, organisation, echo_server)
    at = f"/organisations/{organisation}/playbooks/start"
    await answered(admin, "POST", f"{at}/draft", edits=[step("title", "Two")])
    await applied(admin, organisation, echo_server, title="Two")
    digest = (await answered(admin, "GET", f"{at}/versions/2"))["line"]["content_digest"]
    done = await answered(admin, "POST", f"{at}/publish", comment="the same")
    assert (done["version"], done["changed"], done["content_digest"]) == (2, False, digest)
    assert (await admin("GET", f"{at}/draft")).status_code == 404
    history = (await answered(admin, "GET", f"{at}/versions"))["versions"]
    assert [line["version"] for line in history] == [2, 1]


async def test_of_many_who_publish_at_once_one_wins_and_the_others_learn_what_it_changed(
    admin: Api, organisation: str, echo_server: dict[str, object]
) -> None:
    await applied(admin, organisation, echo_server)
    at = f"/organisations/{organisation}/playbooks/start"
    for number in range(2, 5):
        await answered(admin, "POST", f"{at}/draft", edits=[step("title", f"Version {number}")])
        body = {"comment": "at once", "expected_version": number - 1}
        answers = await asyncio.gather(*(admin("POST", f"{at}/publish", json=body) for _ in range(4)))
        assert sorted(answer.status_code for answer in answers)[0] == 200
        lost = [answer.json() for answer in answers if answer.status_code != 200]
        assert {loser["code"] for loser in lost} == {"playbook.revision_stale"}
        assert all(loser["changes"][0]["after"] == f"Version {number}" for loser in lost)
    history = (await answered(admin, "GET", f"{at}/versions"))["versions"]
    assert [line["version"] for line in history] == [4, 3, 2, 1]


async def test_what_is_published_past_a_draft_is_told_and_taken_in(
    admin: Api, organisation: str, echo_server: dict[str, object]
) -> None:
    await applied(admin, organisation, echo_server)
    at = f"/organisations/{organisation}/playbooks/start"
    await answered(admin, "POST", f"{at}/draft", edits=[step("title", "Mine")])
    await applied(admin, organisation, echo_server, description="theirs")
    refused = await admin("POST", f"{at}/publish", json={"comment": "mine"})
    assert (refused.status_code, refused.json()["code"]) == (409, "draft.outdated")
    assert [change["path"] for change in refused.json()["changes"]] == ["description"]
    assert (await answered(admin, "GET", f"{at}/draft"))["published_since"]
    rebased = await answered(admin, "POST", f"{at}/draft/rebase", comment="take theirs in")
    assert (rebased["base"], [change["path"] for change in rebased["changes"]]) == (2, ["title"])
    done = await answered(admin, "POST", f"{at}/publish", comment="both")
    definition = (await answered(admin, "GET", f"{at}/versions/3"))["content"]["definition"]
    assert (done["version"], definition["title"], definition["description"]) == (3, "Mine", "theirs")


async def test_drafts_on_the_command_line(
    installation: Stack, admin: Api, organisation: str, echo_server: dict[str, object], tmp_path: Path
) -> None:
    await applied(admin, organisation, echo_server)
    name = f"{organisation}/start"
    _, out, _ = await installation.cli("draft", "set", name, "title=Two", "servers.echo.tools.deny=[mark]")
    assert f"{name}: draft at revision 1, over version 1" in out
    _, out, _ = await installation.cli("draft", "show", name)
    assert "~ title: One -> Two" in out
    await installation.cli("draft", "set", name, "--unset", "/servers/echo/tools")
    definition = json.dumps({"title": "Three", "servers": {"echo": {}}})
    late = ("draft", "edit", name, "-f", "-", "--expect-revision", "1")
    code, _, err = await installation.cli(*late, ok=False, stdin=definition)
    assert (code, "draft.stale" in err, "- servers.echo.tools" in err) == (1, True, True), err
    code, _, err = await installation.cli("draft", "edit", name, "-f", "-", ok=False, stdin="title: [a]\n")
    assert (code, "<stdin>:1:" in err) == (2, True), err
    await installation.cli("draft", "edit", name, "-f", "-", stdin=definition)
    code, out, _ = await installation.cli("publish", name, "--dry-run", "--exit-code", ok=False)
    assert (code, f"{name}: would publish version 2" in out) == (4, True)
    _, out, _ = await installation.cli("publish", name, "-m", "three", "--expect-version", "1")
    assert f"{name}: published version 2" in out
    code, _, err = await installation.cli("draft", "show", name, ok=False)
    assert (code, "draft.unknown" in err) == (1, True)

    file = tmp_path / "callboard.yaml"
    file.write_text(json.dumps({"version": 1, "organisation": organisation, "servers": {"echo": echo_server},
                                "playbooks": {"start": {"title": "Four", "servers": {"echo": {}}}}}))  # fmt: skip
    await installation.cli("apply", "-f", str(file), "--draft", "-m", "by file")
    assert (await installation.cli_json("draft", "show", name))["definition"]["title"] == "Four"
    await installation.cli("draft", "discard", name, "-m", "no")
    assert (await installation.cli_json("draft", "ls", "--org", organisation))["drafts"] == []


def test_an_editor_gets_the_definition_and_what_it_leaves_is_taken(tmp_path: Path, monkeypatch: Any) -> None:
    from callboard.cli.drafts import _edited_by_hand

    editor = tmp_path / "editor.py"
    editor.write_text("import pathlib, sys\np = pathlib.Path(sys.argv[1])\np.write_text(p.read_text() + 'b: 2\\n')\n")
    monkeypatch.setenv("VISUAL", f"{sys.executable} {editor}")
    assert _edited_by_hand("a: 1\n", "acme/start") == "a: 1\nb: 2\n"


async def test_two_files_at_once_do_not_undo_each_other(
    admin: Api, organisation: str, echo_server: dict[str, object]
) -> None:
    await applied(admin, organisation, echo_server)
    bodies = [
        {
            "servers": {"echo": echo_server},
            "playbooks": {"start": {"title": f"By {number}", "servers": {"echo": {}}}},
            "comment": "at once",
        }
        for number in range(4)
    ]
    answers = await asyncio.gather(*(admin("POST", f"/organisations/{organisation}/apply", json=b) for b in bodies))
    won = [answer for answer in answers if answer.status_code == 200]
    lost = [answer.json() for answer in answers if answer.status_code != 200]
    versions = (await answered(admin, "GET", f"/organisations/{organisation}/playbooks/start/versions"))["versions"]
    assert len(versions) == 1 + len(won), "each that was acknowledged is a version of its own"
    assert {loser["code"] for loser in lost} <= {"playbook.revision_stale"}


async def test_a_playbook_may_waive_the_comment_of_a_publish_and_of_a_rollback(
    installation: Stack, admin: Api, organisation: str, echo_server: dict[str, object]
) -> None:
    await applied(admin, organisation, echo_server)
    at = f"/organisations/{organisation}/playbooks/start"
    refused = await admin("POST", f"{at}/rollback", json={"to": 1})
    assert (refused.status_code, refused.json()["code"]) == (400, "comment.required")
    await answered(admin, "POST", f"{at}/draft", edits=[step("comments", "optional")])
    assert (await admin("POST", f"{at}/publish", json={})).json()["code"] == "comment.required", "waiving it says why"
    await answered(admin, "POST", f"{at}/publish", comment="we talk anyway")
    await answered(admin, "POST", f"{at}/draft", edits=[step("title", "Three")])
    assert (await answered(admin, "POST", f"{at}/publish"))["version"] == 3
    _, out, _ = await installation.cli("playbook", "undo", f"{organisation}/start")
    assert "version 4 has the content of version 2" in out
    body = {"playbooks": {"start": {"title": "Five", "comments": "optional", "servers": {"echo": {}}}}}
    await answered(admin, "POST", f"/organisations/{organisation}/apply", **body)
    more = {**body, "servers": {"other": echo_server}}
    refused = await admin("POST", f"/organisations/{organisation}/apply", json=more)
    assert refused.json()["code"] == "comment.required", "servers waive nothing"


async def test_a_token_of_one_playbook_can_draft_and_whoever_manages_the_organisation_publishes(
    admin: Api, api_of: Callable[[str | None], Api], organisation: str, echo_server: dict[str, object]
) -> None:
    await applied(admin, organisation, echo_server)
    wanted = {"client": "c", "scopes": ["manage"], "playbooks": ["start"]}
    issued = await admin("POST", f"/organisations/{organisation}/tokens", json=wanted)
    limited, at = api_of(issued.json()["token"]), f"/organisations/{organisation}/playbooks/start"
    body = {"edits": [step("title", "Proposed")], "command_id": "edit-once"}
    first = await answered(limited, "POST", f"{at}/draft", **body)
    await answered(admin, "POST", f"{at}/draft", edits=[step("description", "d")])
    again = await answered(limited, "POST", f"{at}/draft", **body)
    assert again == first, "the same command gets the same answer, whatever came after"
    candidate = {"call_id": "any", "candidate": {"title": "T", "servers": {"other": {}}}, "unsafe": ["any"]}
    for path, more in (("publish", {"comment": "mine"}), ("publish", {"dry_run": True}), ("replays", candidate)):
        refused = await limited("POST", f"{at}/{path}", json=more)
        assert (refused.status_code, refused.json()["code"]) == (403, "auth.forbidden"), path
    deep = await admin("POST", f"{at}/draft", content=b"[" * 100_000, headers={"Content-Type": "application/json"})
    assert (deep.status_code, deep.json()["code"]) == (400, "argument.invalid")
    wanted = {"client": "o", "scopes": ["operate"]}
    operator = api_of((await admin("POST", f"/organisations/{organisation}/tokens", json=wanted)).json()["token"])
    await answered(operator, "POST", f"{at}/draft", edits=[step("title", "By an operator")])
    assert (await operator("POST", f"{at}/publish", json={"comment": "mine"})).status_code == 403
    viewer = {"client": "v", "scopes": ["read"]}
    reader = api_of((await admin("POST", f"/organisations/{organisation}/tokens", json=viewer)).json()["token"])
    assert (await answered(reader, "GET", f"{at}/draft"))["definition"]["title"] == "By an operator"
    assert (await reader("POST", f"{at}/draft", json={"edits": [step("title", "x")]})).status_code == 403
    other = f"/organisations/{organisation}/playbooks/other/draft"
    assert (await limited("POST", other, json={"edits": [step("title", "x")]})).status_code == 403
    await answered(admin, "POST", f"{at}/publish", comment="a good proposal")
