"""Spans as OpenTelemetry's exporter wants them; imported by the thread that sends, and only where a collector is named.

The exporter reads `OTEL_EXPORTER_OTLP_HEADERS`, `…_CERTIFICATE`, `…_COMPRESSION` and the like by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

import callboard
from callboard.platform.span_names import ERROR_TYPE
from callboard.platform.traces import NO_PARENT, Span

_PATH = "/v1/traces"
_SECONDS = 5.0
"""For one batch, with all its attempts."""
_KINDS = {"server": SpanKind.SERVER, "client": SpanKind.CLIENT, "internal": SpanKind.INTERNAL}
_SCOPE = InstrumentationScope("callboard", callboard.__version__)


class OtlpSender:
    """Sends to one collector, under the name of one instance of a room."""

    def __init__(self, endpoint: str, room: str, instance: str) -> None:
        # It tells of every attempt; what became of a batch is logged and counted by who sends it.
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
        self._resource = Resource.create(
            {
                "service.name": f"callboard-{room}",
                "service.namespace": "callboard",
                "service.version": callboard.__version__,
                "service.instance.id": instance,
            }
        )
        self._exporter = OTLPSpanExporter(endpoint=endpoint_of(endpoint), timeout=_SECONDS)

    def send(self, spans: Sequence[Span]) -> bool:
        """Whether the collector has taken them; tries again for some seconds."""
        return self._exporter.export([self._readable(span) for span in spans]) is SpanExportResult.SUCCESS

    def give_up(self) -> None:
        """No attempt after the one that is under way."""
        self._exporter.shutdown()  # type: ignore[no-untyped-call]

    def _readable(self, span: Span) -> ReadableSpan:
        fault = {ERROR_TYPE: span.fault} if span.fault else {}
        return ReadableSpan(
            name=span.name,
            context=_context(span.traceparent, remote=False),
            parent=None if span.parent[36:52] == NO_PARENT else _context(span.parent, remote=True),
            resource=self._resource,
            attributes={**span.attributes, **fault},
            kind=_KINDS[span.kind],
            status=Status(StatusCode.ERROR if span.fault else StatusCode.UNSET),
            start_time=span.began,
            end_time=max(span.began, span.ended),
            instrumentation_scope=_SCOPE,
        )


def endpoint_of(url: str) -> str:
    """Where traces go at a collector: as with OTEL_EXPORTER_OTLP_ENDPOINT the path is added, unless it is there."""
    plain = url.rstrip("/")
    return plain if plain.endswith(_PATH) else plain + _PATH


def _context(traceparent: str, *, remote: bool) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(int(traceparent[3:35], 16), int(traceparent[36:52], 16), remote, flags)
