"""Layers: what playbooks get from their project, their organisation and the installation."""

from __future__ import annotations

from callboard.client.drafting import Drafting
from callboard.client.routes import organisation_path, part_of
from callboard.contracts.definitions import Layer
from callboard.contracts.layers import LayerPublishing, Layers, ShownLayer
from callboard.contracts.management import NewLayer


class Layering(Drafting):
    """The routes about layers. Without an organisation the layer of the installation is meant."""

    def layers(self, organisation: str) -> Layers:
        """The layers that the playbooks of an organisation can stand on, and those that stand on older ones."""
        return self._get(f"{organisation_path(organisation)}/layers", Layers)

    def layer(self, organisation: str = "", project: str = "", version: int = 0) -> ShownLayer:
        """One layer whole; version 0 is the newest."""
        return self._get(_path(organisation, project), ShownLayer, {"version": version})

    def publish_layer(
        self,
        layer: Layer,
        comment: str = "",
        *,
        organisation: str = "",
        project: str = "",
        expected: int | None = None,
        dry_run: bool = False,
    ) -> LayerPublishing:
        """Make this the next version of a layer."""
        body = NewLayer(layer=layer, comment=comment, expected=expected, dry_run=dry_run)
        return self._post(_path(organisation, project), body, LayerPublishing)


def _path(organisation: str, project: str) -> str:
    if not organisation:
        return "/system/layer"
    base = organisation_path(organisation)
    return f"{base}/projects/{part_of(project)}/layer" if project else f"{base}/layer"
