"""Which definitions are refused, those of servers with a sign-in above all, and where the fault stands."""

from __future__ import annotations

from typing import Any

import pytest

from callboard.contracts.definitions import (
    IdentityProvider,
    PlaybookDefinition,
    SecretRef,
    ServerDefinition,
    StoredPrompt,
    UpstreamOAuth,
)
from callboard.kernel.definition_rules import playbook_faults, server_faults

URL = "https://wiki.example/mcp"
KEY = SecretRef(secret="key")


def faults(**definition: Any) -> list[tuple[str, ...]]:
    return [fault.path[2:] for fault in server_faults("wiki", ServerDefinition(**{"url": URL, **definition}))]


@pytest.mark.parametrize(
    "oauth",
    [
        UpstreamOAuth(),
        UpstreamOAuth(credentials="shared", client_id="c", client_secret=KEY, scopes=("read", "a:b/c")),
        UpstreamOAuth(credentials="shared", grant="client_credentials", client_id="c", private_key=KEY),
        UpstreamOAuth(credentials="shared", grant="workload", assertion=KEY),
        UpstreamOAuth(
            credentials="shared",
            grant="enterprise",
            assertion=KEY,
            identity_provider=IdentityProvider(token_endpoint="https://idp.example/token"),
        ),
    ],
)
def test_a_sign_in_that_makes_sense_is_accepted(oauth: UpstreamOAuth) -> None:
    assert faults(oauth=oauth, tenant_header="X-Tenant") == []


@pytest.mark.parametrize(
    ("oauth", "where"),
    [
        (UpstreamOAuth(client_secret=KEY), "client_id"),
        (UpstreamOAuth(client_id="c", client_secret=KEY, private_key=KEY), "private_key"),
        (UpstreamOAuth(credentials="shared", grant="client_credentials"), "grant"),
        (UpstreamOAuth(grant="client_credentials", client_id="c", client_secret=KEY), "credentials"),
        (UpstreamOAuth(credentials="shared", grant="workload"), "assertion"),
        (UpstreamOAuth(credentials="shared", grant="enterprise", assertion=KEY), "identity_provider"),
        (UpstreamOAuth(scopes=('a"b',)), "scopes"),
        (UpstreamOAuth(scopes=("a b",)), "scopes"),
    ],
)
def test_a_sign_in_that_cannot_work_is_refused(oauth: UpstreamOAuth, where: str) -> None:
    assert faults(oauth=oauth) == [("oauth", where)]


def test_a_sign_in_goes_with_a_url_and_sets_the_header_itself() -> None:
    assert faults(url=None, command=("server",), oauth=UpstreamOAuth()) == [("oauth",)]
    assert faults(headers={"authorization": "x"}, oauth=UpstreamOAuth()) == [("headers",)]


@pytest.mark.parametrize(
    "header", ["Authorization", "Cookie", "Host", "Mcp-Session-Id", "a b", "X-Own", "Sec-Fetch-Site"]
)
def test_a_header_that_means_something_else_cannot_tell_the_organisation(header: str) -> None:
    assert faults(headers={"X-Own": "1"}, tenant_header=header) == [("tenant_header",)]


@pytest.mark.parametrize("field", ["title", "description", "instructions"])
def test_a_text_of_a_playbook_has_no_nul_and_may_have_lines(field: str) -> None:
    def found(text: str) -> list[tuple[str, ...]]:
        said: dict[str, Any] = {field: text}
        definition = PlaybookDefinition(prompts={"p": StoredPrompt(template="hi")}, **said)
        return [fault.path for fault in playbook_faults("start", definition, ())]

    assert found("one\nand\ttwo") == []
    assert found("a\0b") == [("playbooks", "start", field)]
