"""The part of the client about OAuth clients: what they may do for whom, and those of service accounts."""

from __future__ import annotations

from callboard.client.routes import Routes, organisation_path, part_of
from callboard.contracts.management import NewServiceClient
from callboard.contracts.oauth_server import ClientRegistered, Grants, ServiceClients
from callboard.contracts.playbooks import Done


class Granting(Routes):
    """Every method raises `Problem` when refused and `Unreachable` when nobody answers."""

    def own_grants(self) -> Grants:
        """What clients may do as oneself."""
        return self._get("/me/grants", Grants)

    def revoke_own_grant(self, grant: str, comment: str) -> Done:
        """Refuse all tokens of it from now on."""
        return self._delete(f"/me/grants/{part_of(grant)}", comment=comment)

    def grants(self, organisation: str) -> Grants:
        """What clients may do as members of the organisation."""
        return self._get(f"{organisation_path(organisation)}/grants", Grants)

    def revoke_grant(self, organisation: str, grant: str, comment: str) -> Done:
        """Refuse all tokens of it from now on."""
        return self._delete(f"{organisation_path(organisation)}/grants/{part_of(grant)}", comment=comment)

    def service_clients(self, organisation: str) -> ServiceClients:
        """The clients of its service accounts."""
        return self._get(f"{organisation_path(organisation)}/oauth-clients", ServiceClients)

    def add_service_client(self, organisation: str, account: str, title: str, public_keys: str) -> ClientRegistered:
        """A client that acts as a service account; its secret is shown this once."""
        body = NewServiceClient(account=account, title=title, public_keys=public_keys)
        return self._post(f"{organisation_path(organisation)}/oauth-clients", body, ClientRegistered)

    def remove_service_client(self, organisation: str, client_id: str) -> Done:
        """The client, with all that it was granted."""
        return self._delete(f"{organisation_path(organisation)}/oauth-clients/{part_of(client_id)}")
