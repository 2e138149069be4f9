"""A person from the first token to the erasure: shown by name wherever somebody may read it, and then nowhere."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from callboard.kernel.personal import sealed_in
from tests.api.conftest import Api
from tests.support.names import fresh
from tests.support.stack import ROOT, Stack
from tests.support.waiting import eventually

pytestmark = [pytest.mark.asyncio(loop_scope="session")]


class Organisation:
    """What one reads of an organisation."""

    def __init__(self, api: Api, name: str) -> None:
        self._api = api
        self._path = f"/organisations/{name}"

    async def get(self, path: str) -> Any:
        answer = await self._api("GET", f"{self._path}/{path}")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def sent(self, method: str, path: str, **body: object) -> Any:
        answer = await self._api(method, f"{self._path}/{path}", json=body)
        assert answer.status_code in (200, 201), answer.text
        return answer.json()

    async def everything_shown(self) -> dict[str, str]:
        """Every place where the person may be named."""
        history, pins = await self.get("playbooks/start/versions"), await self.get("pins")
        tokens, [call] = await self.get("tokens"), (await self.get("calls"))["calls"]
        events = {event["event"]["type"]: event for event in (await self.get("events"))["events"]}
        return {
            "history": history["versions"][0]["actor"].partition("/")[0],
            "playbook": (await self.get("playbooks"))["playbooks"][0]["changed_by"].partition("/")[0],
            "pin": pins["pins"][0]["client"],
            "token": tokens["tokens"][0]["client"],
            "call": call["client"],
            "actor": events["playbook.published"]["actor"].partition("/")[0],
            "issued": events["client.token_issued"]["event"]["client"],
            "pinned": events["playbook.client_pinned"]["event"]["client"],
        }

    async def recorded(self) -> list[Any]:
        calls: list[Any] = (await self.get("calls"))["calls"]
        return calls


async def furnished(
    installation: Stack, admin: Api, organisation: str, name: str, server: dict[str, object]
) -> tuple[str, Organisation]:
    """A person publishes a playbook and calls a tool of it; the person's token, and what the administrator reads."""
    here = Organisation(admin, organisation)
    token = await here.sent("POST", "tokens", client=name, person=True, scopes=["manage"])
    assert token["client"] == name
    as_person = Organisation(Api(installation.url, token["token"]), organisation)
    wanted = {"servers": {"echo": server}, "playbooks": {"start": {"servers": {"echo": {}}}}}
    await as_person.sent("POST", "apply", **wanted, comment="why")
    await here.sent("PUT", f"playbooks/start/pins/{name}", version=1, comment="tries it")
    endpoint = installation.endpoint(organisation, "start")
    answer = await installation.rpc(endpoint, "tools/call", {"name": "echo__echo"}, token["token"])
    assert answer.status_code == 200, answer.text
    await eventually(here.recorded)
    return token["token"], here


async def test_a_person_is_named_to_readers_only_and_after_the_erasure_to_nobody(
    installation: Stack,
    admin: Api,
    api_of: Callable[[str | None], Api],
    organisation: str,
    echo_server: dict[str, object],
    tmp_path: Path,
) -> None:
    name = fresh("ann")
    token, here = await furnished(installation, admin, organisation, name, echo_server)

    assert set((await here.everything_shown()).values()) == {name}
    assert len((await here.get(f"calls?client={name}"))["calls"]) == 1
    preview = await here.get(f"playbooks/start/preview?client={name}")
    assert (preview["client"], preview["version"]) == (name, 1)
    before = await _exported(installation, organisation, tmp_path / "before.jsonl")
    assert name.encode() not in before
    assert sealed_in(before)

    [line] = (await here.get("persons"))["persons"]
    await installation.cli("erase", organisation, name, "-m", "asked to")

    async def erased() -> bool:
        return set((await here.everything_shown()).values()) == {"[erased]"}

    await eventually(erased)
    assert (await api_of(token)("GET", f"/organisations/{organisation}/persons")).status_code == 401
    [gone] = (await here.get("persons"))["persons"]
    assert (gone["person"], gone["name"]) == (line["person"], "")
    assert (await admin("POST", "/audit/verify", json={"organisation": organisation})).json()["intact"]
    after = await _exported(installation, organisation, tmp_path / "after.jsonl")
    assert after.startswith(before[: before.rindex(b'{"head"')]), "not a byte of the log changed"
    export = await here.get("playbooks/start/export")
    assert name not in str(export)


async def _exported(installation: Stack, organisation: str, file: Path) -> bytes:
    """The exported log, which the stand-alone script finds intact."""
    await installation.cli("audit", "export", "--org", organisation, "--out", str(file))
    script = [sys.executable, "-I", "-S", str(ROOT / "bin" / "verify-export"), str(file)]
    verified = await asyncio.to_thread(subprocess.run, script, capture_output=True, check=False)
    assert verified.returncode == 0, verified.stdout
    return file.read_bytes()
