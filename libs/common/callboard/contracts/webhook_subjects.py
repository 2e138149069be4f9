"""Subjects of webhooks of ours. The edge asks, authsvc answers; `contracts.subjects` has the permissions."""

from __future__ import annotations

from typing import Final

REGISTER: Final = "cb.cmd.webhook.register"
ROTATE: Final = "cb.cmd.webhook.rotate"
SWITCH: Final = "cb.cmd.webhook.switch"
DELETE: Final = "cb.cmd.webhook.delete"
TEST: Final = "cb.cmd.webhook.test"
REPLAY: Final = "cb.cmd.webhook.replay"
WEBHOOKS: Final = "cb.ask.authsvc.webhooks"
DELIVERIES: Final = "cb.ask.authsvc.webhook_deliveries"
