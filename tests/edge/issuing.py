"""An authsvc in memory, as far as an edge asks one about access tokens: keys, the tokens they sign, grants."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from callboard.contracts import signing_subjects as subjects
from callboard.contracts import subjects as all_subjects
from callboard.contracts.access import Principal, VerifyToken
from callboard.contracts.problems import Problem
from callboard.contracts.signing import SigningKeyLine, SigningKeys, VerifyGrant
from callboard.kernel.access_tokens import AccessClaims, resource_url
from callboard.kernel.tokens import compose
from callboard_authsvc.signing.material import Made, make, opened
from callboard_edge.auth.access_tokens import AccessTokens
from callboard_edge.auth.signing_keys import SigningKeySet
from callboard_edge.auth.verify import Tokens

PUBLIC = "https://gate.example"
TOKEN = compose(b"7" * 40)
Answer = TypeVar("Answer", bound=msgspec.Struct)


class Issuer:
    """`grants`: gid -> principal; taking one away revokes it. `asked` counts the questions by subject.

    `signing` signs, or else the newest of `keys`.
    """

    def __init__(self, public_url: str = PUBLIC) -> None:
        self.public_url = public_url
        self.keys: list[Made] = [make("k1")]
        self.signing: Made | None = None
        self.grants = {"g1": principal("g1")}
        self.tokens = {TOKEN: principal("key-1", playbooks=())}
        self.asked: dict[str, int] = {}

    async def ask(self, subject: str, message: Any, answer: type[Answer], within: float = 10.0) -> Answer:
        """As a bus, for tests without one."""
        self.asked[subject] = self.asked.get(subject, 0) + 1
        if subject == subjects.SIGNING_KEYS:
            found: Any = self.lines()
        elif subject == subjects.VERIFY_GRANT:
            found = self.grant(message)
        else:
            assert subject == all_subjects.VERIFY_TOKEN
            found = self.token_of(message)
        assert isinstance(found, answer)
        return found

    def lines(self) -> SigningKeys:
        now = datetime.now(UTC)
        return SigningKeys(keys=tuple(SigningKeyLine(kid=k.fresh.kid, x=k.x, y=k.y, signs_from=now) for k in self.keys))

    def grant(self, question: VerifyGrant) -> Principal:
        found = self.grants.get(question.grant)
        if found is None or question.subject != "m1" or question.client_id != "c1":
            raise Problem("auth.invalid", "the grant is over")
        return found

    def token_of(self, question: VerifyToken) -> Principal:
        if question.token not in self.tokens:
            raise Problem("auth.invalid", "the token is unknown, expired or revoked")
        return self.tokens[question.token]

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(time.time())
        claims = AccessClaims(
            iss=self.public_url,
            sub="m1",
            aud=resource_url(self.public_url, "acme", "start"),
            exp=now + 600,
            iat=now,
            jti="j1",
            client_id="c1",
            scope="mcp:use",
            org="acme",
            gid="g1",
        )
        return {**msgspec.structs.asdict(claims), **changes}

    def token(self, *, header: dict[str, Any] | None = None, key: Made | None = None, **changes: Any) -> str:
        """Signed with the newest key; with changes to header and claims (a claim None: left out)."""
        signing = key or self.signing or self.keys[-1]
        head = {"alg": "ES256", "typ": "at+jwt", "kid": signing.fresh.kid, **(header or {})}
        payload = {name: value for name, value in self.claims(**changes).items() if value is not None}
        head = {name: value for name, value in head.items() if value is not None}
        content = f"{_segment(msgspec.json.encode(head))}.{_segment(msgspec.json.encode(payload))}"
        # Not by the library, which would not write some of what is tried here.
        r, s = decode_dss_signature(opened(signing.private).private_key.sign(content.encode(), ECDSA(SHA256())))
        return f"{content}.{_segment(r.to_bytes(32, 'big') + s.to_bytes(32, 'big'))}"

    def edge(self, *, soft: float = 15.0, hard: float = 60.0) -> Tokens:
        """The part of an edge that knows tokens, asking this."""
        bus: Any = self
        keys = SigningKeySet(bus)
        return Tokens(bus, AccessTokens(bus, keys, self.public_url), soft, hard)


def _segment(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


def principal(key_id: str, **changes: Any) -> Principal:
    """A member of acme who may use everything in it."""
    values = {"client": "agent", "organisation": "acme", "scopes": ("use", "read"), "member": "m1"}
    grants = {"acme": ("viewer",)}
    return Principal(key_id=key_id, **{"grants": grants, **values, **changes})
