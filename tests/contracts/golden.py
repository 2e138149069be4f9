"""One value of every event, head and record, and the files with the bytes they had when they were first written."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import msgspec

from callboard.contracts import (
    access_events,
    calls,
    drift,
    events,
    policy_events,
    sign_in_events,
    signing_events,
    vault_events,
    webhook_events,
)
from callboard.contracts import definitions as d
from callboard.contracts import policy_definitions as pd

FOLDER = Path(__file__).parent / "golden"
GOLDEN_EVENTS = FOLDER / "events.tsv"
GOLDEN_HEADS = FOLDER / "heads.tsv"
GOLDEN_RECORDS = FOLDER / "records.jsonl"
WHEN = datetime(2026, 11, 20, 14, 5, tzinfo=UTC)


def _content() -> d.PlaybookContent:
    rules = d.ToolRules(allow=("git_*",), deny=("git_reset",), rename={"git_log": "history"}, describe={"git_log": "x"})
    prompt = d.StoredPrompt(template="{{n}}", title="T", description="D", arguments=(d.PromptArgument(name="n"),))
    definition = d.PlaybookDefinition(
        title="T",
        description="D",
        instructions="I",
        access="anonymous",
        servers={"git": d.PlaybookServer(names="bare", tools=rules), "time": d.PlaybookServer()},
        prompts={"sum": prompt},
    )
    exposed = d.Exposed(server="git", name="git_log", digest="sha256:1")
    return d.PlaybookContent(
        definition=definition, tools={"history": exposed}, prompts={}, resources={"a://b": exposed}
    )


def _drift() -> drift.Drift:
    return drift.Drift(
        kind="tool",
        name="history",
        server="git",
        item="git_log",
        change="changed",
        verdict="held",
        before="sha256:1",
        after="sha256:2",
        old='{"name":"log"}',
        new='{"name":"log","description":"d"}',
    )


def _policy() -> pd.PolicyDefinition:
    rule = pd.ArgumentRule(
        argument="repo", tools=("git/*",), name="ours", required=True, forbidden=False, values=("a", 1), pattern="a.*"
    )
    return pd.PolicyDefinition(
        layer="agent",
        description="D",
        callers=pd.PolicyCallers(clients=("bot-*",), keys=("k",), members=("m",)),
        playbooks=("start",),
        tools=pd.Rights(allow=("git/*",), deny=("git/reset",)),
        prompts=pd.Rights(),
        resources=pd.Rights(allow=("*",)),
        read_only=True,
        arguments=(rule,),
        when=(pd.Window(days=("mon",), start="08:00", end="18:00", zone="Europe/Zurich"),),
        limits=(pd.LimitRule(calls=5, every="minute", per=("key", "tool"), tools=("git/*",)),),
        step_up=(pd.StepUpRule(tools=("git/push",), scope="mcp:operate"),),
    )


def all_events() -> list[events.Event]:
    """One of each type, with every field set."""
    stdio = d.ServerDefinition(command=("mcp-server-git",), env={"A": "b", "K": d.SecretRef(secret="s")}, cwd="/tmp")
    http = d.ServerDefinition(url="http://h/mcp", headers={"X": d.SecretRef(secret="s")}, deadline_seconds=5.0)
    item = d.CatalogueItem(name="t", digest="sha256:2", raw=msgspec.Raw(b'{"name":"t", "z":1.0}'), problem="bad")
    catalogue = d.Catalogue(
        era=calls.MODERN, tools=(item,), capabilities=msgspec.Raw(b'{"tools":{}}'), instructions="i"
    )
    return [
        events.OrganisationCreated(organisation="acme", title="Acme"),
        events.ServerRegistered(server="git", definition=stdio),
        events.ServerReconfigured(server="git", definition=http),
        events.ServerRetired(server="git"),
        events.ServerCatalogueDiscovered(server="git", digest="sha256:3", catalogue=catalogue),
        events.PlaybookPublished(playbook="start", version=1, content=_content(), content_digest="sha256:4"),
        events.PlaybookRolledBack(
            playbook="start", version=3, to_version=1, content=_content(), content_digest="sha256:4"
        ),
        events.PlaybookVersionImported(
            playbook="start",
            version=1,
            content=_content(),
            content_digest="sha256:4",
            origin="other/start",
            reason="published",
            actor="ann",
            comment="first",
            made_at=WHEN,
            definitions={"sha256:1": '{"name":"log"}'},
        ),
        events.PlaybookDrifted(playbook="start", version=1, drifts=(_drift(),)),
        events.PlaybookDriftApproved(
            playbook="start", version=2, content=_content(), content_digest="sha256:4", approved=(_drift().brief,)
        ),
        events.PlaybookDriftRejected(playbook="start", rejected=(_drift().brief,)),
        events.PlaybookRetired(playbook="start"),
        events.DraftEdited(playbook="start", revision=4, base=3, definition=_content().definition),
        events.DraftDiscarded(playbook="start", revision=4),
        events.DraftPublished(playbook="start", revision=4, version=5),
        events.LayerPublished(
            scope="project",
            project="web",
            version=2,
            layer=d.Layer(
                instructions="I",
                prompts={"sum": d.StoredPrompt(template="t")},
                resources={"doc://x": d.StoredResource(text="t", mime_type="text/plain", name="n", title="T")},
            ),
            digest="sha256:5",
        ),
        events.ClientPinned(playbook="start", client="c", version=1),
        events.ClientUnpinned(playbook="start", client="c"),
        events.CanaryStarted(
            playbook="start", canary="k", version=1, percent=12.5, until=WHEN, condition="errors > 2%", min_calls=50
        ),
        events.CanaryPromoted(
            playbook="start", canary="k", version=3, tried=1, content=_content(), content_digest="sha256:4"
        ),
        events.CanaryEnded(playbook="start", canary="k", tried=1, reason="failed"),
        access_events.ClientTokenIssued(client="c", key_id="k", scopes=("use",), playbooks=("start",), expires_at=WHEN),
        access_events.ClientTokenRevoked(client="c", key_id="k"),
        access_events.ClientTokenRotated(client="c", key_id="k", replaced_by="l", until=WHEN),
        events.MemberInvited(invitation="i", role="viewer", permissions=("drift:decide",), expires_at=WHEN),
        events.InvitationWithdrawn(invitation="i"),
        events.MemberJoined(member="person-1", role="viewer", permissions=("drift:decide",), invitation="i"),
        events.MemberProvisioned(member="person-1", role="viewer"),
        events.ServiceAccountCreated(account="ci", role="manager", permissions=("drift:decide",)),
        events.MemberRoleGiven(member="person-1", role="admin", permissions=("drift:decide",)),
        events.MemberRemoved(member="person-1"),
        events.ProjectCreated(project="shop", title="Shop"),
        events.ProjectRetitled(project="shop", title="Store"),
        events.PlaybookAssigned(project="shop", playbook="start"),
        events.PlaybookUnassigned(playbook="start"),
        events.ProjectRemoved(project="shop"),
        events.OrganisationPlanChosen(organisation="acme", plan="free", playbooks=3, servers=5, calls_per_day=1000),
        vault_events.SecretStored(secret="s", version=2),
        vault_events.SecretDestroyed(secret="s"),
        vault_events.VaultKeyRotated(version=2),
        vault_events.VaultShredded(),
        signing_events.SigningKeyPublished(kid="2026-11-20-a", thumbprint="t", signs_from=WHEN),
        signing_events.SigningKeyRemoved(kid="2026-11-20-a"),
        vault_events.UpstreamSignedIn(server="s", subject="c", issuer="https://i", scopes=("a",)),
        vault_events.UpstreamSignInLost(server="s", subject="c"),
        vault_events.UpstreamSignedOut(server="s", subject="c"),
        webhook_events.WebhookRegistered(webhook="w", url="https://h/w", kinds=("playbook.*",)),
        webhook_events.WebhookSecretRotated(webhook="w"),
        webhook_events.WebhookPaused(webhook="w"),
        webhook_events.WebhookResumed(webhook="w"),
        webhook_events.WebhookDisabled(webhook="w", seq=7, reason="answered 500"),
        webhook_events.WebhookReplayOrdered(webhook="w", first=1, last=7),
        webhook_events.WebhookDeleted(webhook="w"),
        access_events.ConsentGiven(
            grant="g", member="person-1", client_id="i", client_name="Claude Code", playbook="start", scopes=("use",)
        ),
        access_events.ConsentRefused(
            member="person-1", client_id="i", client_name="Claude Code", playbook="start", scopes=("use",)
        ),
        access_events.GrantIssued(
            grant="g", member="ci", client_id="i", means="client_credentials", playbook="start", scopes=("use",)
        ),
        access_events.GrantRevoked(grant="g", member="person-1", reason="person"),
        access_events.RefreshReplayDetected(grant="g", generation=3),
        access_events.ServiceClientAdded(client_id="i", account="ci", auth_method="private_key_jwt"),
        access_events.ServiceClientRemoved(client_id="i", account="ci"),
        access_events.ConsumerAdmitted(consumer="a", public_key="U1"),
        access_events.ConsumerDismissed(consumer="a", public_key="U1"),
        events.PersonErased(person="p_aaaaaaaaaaaaaaaa"),
        policy_events.PolicySet(policy="careful", definition=_policy()),
        policy_events.PolicyRemoved(policy="careful"),
        policy_events.ServerSwitched(server="git", on=False),
        sign_in_events.PersonSignedIn(person="person-1", session="session-1", means="password"),
        sign_in_events.PersonPasswordSet(person="person-1", by="link"),
        sign_in_events.PersonResetLinkMade(person="person-1", expires_at=WHEN),
        sign_in_events.AuthenticationRefused(
            since=WHEN,
            until=WHEN,
            lines=(
                sign_in_events.Refused(
                    door="login", reason="login.refused", count=3, account="person-1", address="0123456789abcdef"
                ),
            ),
            others=2,
        ),
    ]


def all_heads() -> list[msgspec.Struct]:
    """The heads of the call path, in the order edge, router, connector."""
    return [
        calls.RpcHead(
            "id",
            "tools/call",
            calls.MODERN,
            "cl",
            "pr",
            5,
            6,
            "7",
            "s",
            8,
            "tp",
            b"{}",
            b"{}",
            "info",
            True,
            {"a": "b"},
        ),
        calls.CallHead(
            "id", "tools/call", "o", "p", 1, "s", "u", "w", "d", "r", calls.LEGACY, "cl", "pr", 5, 6, 7, "8", "se", "tp"
        ),
        calls.ReplyHead("id", calls.ERROR, "server.unavailable", 4),
        calls.PostedHead("se", "pr", "o", "p", 5),
    ]


def all_records() -> list[calls.CallRecord]:
    """A record as it was first, and one with every field."""
    first = _first_record()
    content = calls.CallContent(
        arguments={"text": "x", "n": [1, 2.5, None]}, result={"isError": True}, redacted=("/arguments/k",),
        omitted=("result",),
    )  # fmt: skip
    return [first, msgspec.structs.replace(first, connector_us=6, replay_of="before", content=content)]


def _first_record() -> calls.CallRecord:
    return calls.CallRecord(
        call_id="id",
        organisation="acme",
        playbook="start",
        version=2,
        method="tools/call",
        server="git",
        tool="history",
        upstream_name="git_log",
        digest="sha256:1",
        client="agent",
        principal="k",
        era=calls.MODERN,
        upstream_era=calls.LEGACY,
        outcome="error",
        error_code=-32000,
        problem="server.unavailable",
        started_at=WHEN,
        router_us=1,
        upstream_us=2,
        total_us=3,
        request_bytes=4,
        response_bytes=5,
        trace_id="t",
        connector="c-1",
    )


def main() -> None:
    """Write golden lines that are missing; lines that exist are left alone."""
    FOLDER.mkdir(exist_ok=True)
    known = GOLDEN_EVENTS.read_text().splitlines() if GOLDEN_EVENTS.exists() else []
    tags = {line.split("\t")[0] for line in known}
    fresh = [
        f"{events.type_of(event)}\t1\t{events.encode_event(event).decode()}"
        for event in all_events()
        if events.type_of(event) not in tags
    ]
    GOLDEN_EVENTS.write_text("\n".join([*known, *fresh]) + "\n")
    if not GOLDEN_HEADS.exists():
        lines = [f"{type(head).__name__}\t{msgspec.msgpack.encode(head).hex()}" for head in all_heads()]
        GOLDEN_HEADS.write_text("\n".join(lines) + "\n")
    if not GOLDEN_RECORDS.exists():
        GOLDEN_RECORDS.write_text("\n".join(calls.encode_record(r).decode() for r in all_records()) + "\n")


if __name__ == "__main__":
    main()
