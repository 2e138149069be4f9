from __future__ import annotations

from callboard.contracts.definitions import Catalogue, ServerDefinition
from callboard.contracts.events import (
    ServerCatalogueDiscovered,
    ServerReconfigured,
    ServerRegistered,
    ServerRetired,
)
from callboard.contracts.playbooks import RecordCatalogue, RetireServer
from callboard_router.servers.domain import SERVER, DefineServer
from tests.support.gwt import given

HTTP = ServerDefinition(url="http://127.0.0.1:1/mcp")
STDIO = ServerDefinition(command=("mcp-server-time",))
SEEN = Catalogue(era="2026-07-28")
REGISTERED = ServerRegistered(server="time", definition=HTTP)
DISCOVERED = ServerCatalogueDiscovered(server="time", digest="sha256:1", catalogue=SEEN)


def seen(digest: str) -> RecordCatalogue:
    return RecordCatalogue(
        command_id="1", organisation="acme", server="time", digest=digest, catalogue=SEEN, producer="c"
    )


def test_a_new_server_is_registered_with_what_the_probe_saw() -> None:
    define = DefineServer(server="time", definition=HTTP, catalogue=SEEN, digest="sha256:1")
    given(SERVER).when(define).then(REGISTERED, DISCOVERED)


def test_a_server_that_did_not_answer_the_probe_is_registered_all_the_same() -> None:
    given(SERVER).when(DefineServer(server="time", definition=HTTP)).then(REGISTERED)


def test_an_equal_definition_changes_nothing() -> None:
    given(SERVER, REGISTERED).when(DefineServer(server="time", definition=HTTP)).then_nothing()


def test_another_definition_reconfigures_the_server() -> None:
    given(SERVER, REGISTERED).when(DefineServer(server="time", definition=STDIO)).then(
        ServerReconfigured(server="time", definition=STDIO)
    )


def test_a_catalogue_is_recorded_only_when_it_is_another_one() -> None:
    given(SERVER, REGISTERED).when(seen("sha256:1")).then(DISCOVERED)
    given(SERVER, REGISTERED, DISCOVERED).when(seen("sha256:1")).then_nothing()


def test_a_catalogue_of_a_server_that_is_not_registered_is_refused() -> None:
    given(SERVER).when(seen("sha256:1")).then_refused("server.unknown")
    given(SERVER, REGISTERED, ServerRetired(server="time")).when(seen("sha256:1")).then_refused("server.unknown")


def test_a_server_is_retired_once() -> None:
    retire = RetireServer(command_id="1", organisation="acme", server="time", comment="gone")
    given(SERVER, REGISTERED).when(retire).then(ServerRetired(server="time"))
    given(SERVER, REGISTERED, ServerRetired(server="time")).when(retire).then_refused("server.unknown")
