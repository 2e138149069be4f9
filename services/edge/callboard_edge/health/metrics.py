"""Counters of this instance in the Prometheus text format (`/metrics`)."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from callboard.platform.traces import Traces

BUCKETS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Requests(Collector):
    """What every request is counted in: plain numbers of one thread, which are put in the library's form when asked."""

    def __init__(self) -> None:
        self._answered: dict[tuple[str, str, str], int] = {}
        self._times: dict[str, list[int]] = {}
        self._seconds: dict[str, float] = {}

    def add(self, method: str, era: str, problem: str, seconds: float) -> None:
        """One request is answered after so many seconds."""
        key = (method, era, problem)
        self._answered[key] = self._answered.get(key, 0) + 1
        times = self._times.get(method)
        if times is None:
            times = self._times[method] = [0] * (len(BUCKETS) + 1)
        times[bisect_left(BUCKETS, seconds)] += 1
        self._seconds[method] = self._seconds.get(method, 0.0) + seconds

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        words = "MCP requests answered, by method, era and problem code (empty: none)"
        counter = CounterMetricFamily("callboard_requests_total", words, labels=("method", "era", "problem"))
        for labels, count in self._answered.items():
            counter.add_metric(labels, count)
        yield counter
        words = "Time from receipt to the last byte of the answer"
        histogram = HistogramMetricFamily("callboard_request_seconds", words, labels=("method",))
        bounds = [*(str(bound) for bound in BUCKETS), "+Inf"]
        for method, times in self._times.items():
            buckets = list(zip(bounds, accumulate(times), strict=True))
            histogram.add_metric((method,), buckets, self._seconds[method])
        yield histogram


class Spans(Collector):
    """What became of the spans of this process."""

    def __init__(self, traces: Traces) -> None:
        self._traces = traces

    def collect(self) -> Iterator[Metric]:
        """The two counts as they are now."""
        words = "Spans that a collector took, and those that were dropped because none did"
        counter = CounterMetricFamily("callboard_spans_total", words, labels=("outcome",))
        counter.add_metric(("exported",), self._traces.exported)
        counter.add_metric(("dropped",), self._traces.dropped)
        yield counter


class Metrics:
    """What the edge counts."""

    def __init__(self, traces: Traces | None = None) -> None:
        self._registry = CollectorRegistry()
        self._requests = Requests()
        self._registry.register(self._requests)
        if traces is not None:
            self._registry.register(Spans(traces))
        self._unexpected = Counter(
            "callboard_unexpected_total", "Requests that failed unexpectedly", registry=self._registry
        )
        self.in_flight = Gauge("callboard_calls_in_flight", "Calls waiting for an answer", registry=self._registry)
        self.streams = Gauge("callboard_streams", "Open event streams", registry=self._registry)
        self.connections = Gauge(
            "callboard_connections", "Open WebSockets and HTTP+SSE streams", registry=self._registry
        )

    def request(self, method: str, era: str, problem: str, received: int) -> None:
        """One request is answered; `received` in epoch microseconds."""
        self._requests.add(method, era, problem, time.time() - received / 1e6)

    def unexpected(self) -> None:
        """A request failed in a way nobody foresaw."""
        self._unexpected.inc()

    def text(self) -> bytes:
        """The exposition."""
        return generate_latest(self._registry)
