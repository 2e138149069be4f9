"""The subjects of signing keys and of grants behind access tokens, within what `subjects.PERMISSIONS` allows."""

from __future__ import annotations

SIGNING_KEYS = "cb.ask.authsvc.signing_keys"
VERIFY_GRANT = "cb.ask.authsvc.verify_grant"
ROTATE_SIGNING_KEY = "cb.cmd.vault.rotate_signing_key"
SIGNING_KEYS_CHANGED = "cb.push.signing_keys_changed"
