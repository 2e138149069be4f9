"""Counters of this instance in the Prometheus text format (`/metrics`)."""

from __future__ import annotations

import time

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Metrics:
    """What the edge counts. Children of labelled metrics are looked up once, not per request."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "callboard_requests_total",
            "MCP requests answered, by method, era and problem code (empty: none)",
            ["method", "era", "problem"],
            registry=self._registry,
        )
        self._seconds = Histogram(
            "callboard_request_seconds",
            "Time from receipt to the last byte of the answer",
            ["method"],
            buckets=BUCKETS,
            registry=self._registry,
        )
        self._unexpected = Counter(
            "callboard_unexpected_total", "Requests that failed unexpectedly", registry=self._registry
        )
        self.in_flight = Gauge("callboard_calls_in_flight", "Calls waiting for an answer", registry=self._registry)
        self.streams = Gauge("callboard_streams", "Open event streams", registry=self._registry)
        self.connections = Gauge(
            "callboard_connections", "Open WebSockets and HTTP+SSE streams", registry=self._registry
        )
        self._counters: dict[tuple[str, str, str], Counter] = {}
        self._histograms: dict[str, Histogram] = {}

    def request(self, method: str, era: str, problem: str, received: int) -> None:
        """One request is answered; `received` in epoch microseconds."""
        key = (method, era, problem)
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = self._requests.labels(*key)
        counter.inc()
        histogram = self._histograms.get(method)
        if histogram is None:
            histogram = self._histograms[method] = self._seconds.labels(method)
        histogram.observe(time.time() - received / 1e6)

    def unexpected(self) -> None:
        """A request failed in a way nobody foresaw."""
        self._unexpected.inc()

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self._registry)
