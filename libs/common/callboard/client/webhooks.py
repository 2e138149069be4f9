"""The part of the client about webhooks of ours."""

from __future__ import annotations

from collections.abc import Sequence

from callboard.client.routes import Routes, organisation_path, part_of
from callboard.contracts.management import Comment
from callboard.contracts.people_management import Rotation
from callboard.contracts.playbooks import Done
from callboard.contracts.webhooks import Deliveries, Delivery, NewWebhook, WebhookRange, Webhooks, WebhookSecret

_TEST_SECONDS = 25.0


class OutgoingWebhooks(Routes):
    """Every method raises `Problem` when refused and `Unreachable` when nobody answers."""

    def webhooks(self, organisation: str) -> Webhooks:
        """Where events are sent."""
        return self._get(_path(organisation), Webhooks)

    def register_webhook(self, organisation: str, webhook: str, url: str, kinds: Sequence[str]) -> WebhookSecret:
        """Send events of these kinds there; the secret is shown this once."""
        body = NewWebhook(webhook=webhook, url=url, kinds=tuple(kinds))
        return self._post(_path(organisation), body, WebhookSecret)

    def rotate_webhook(self, organisation: str, webhook: str, overlap_seconds: int) -> WebhookSecret:
        """Sign with another secret, and with the old one as well for so long."""
        return self._post(
            f"{_path(organisation, webhook)}/rotate", Rotation(overlap_seconds=overlap_seconds), WebhookSecret
        )

    def switch_webhook(self, organisation: str, webhook: str, comment: str, *, on: bool) -> Done:
        """Pause or resume."""
        return self._post(
            f"{_path(organisation, webhook)}/{'resume' if on else 'pause'}", Comment(comment=comment), Done
        )

    def try_webhook(self, organisation: str, webhook: str) -> Delivery:
        """Send a test now."""
        return self._change("POST", f"{_path(organisation, webhook)}/test", Delivery, timeout=_TEST_SECONDS)

    def replay_webhook(self, organisation: str, webhook: str, first: int, last: int) -> Done:
        """Send a range of events again."""
        return self._post(f"{_path(organisation, webhook)}/replay", WebhookRange(first=first, last=last), Done)

    def deliveries(self, organisation: str, webhook: str, limit: int) -> Deliveries:
        """What was sent lately."""
        return self._get(f"{_path(organisation, webhook)}/deliveries", Deliveries, {"limit": limit})

    def delete_webhook(self, organisation: str, webhook: str, comment: str) -> Done:
        """Send nothing any more."""
        return self._delete(_path(organisation, webhook), comment=comment)


def _path(organisation: str, webhook: str = "") -> str:
    path = f"{organisation_path(organisation)}/webhooks"
    return f"{path}/{part_of(webhook)}" if webhook else path
