// RequestMetrics: counters of what was served, by route template.

import Core
import HTTPTypes
import Metrics
import Synchronization

/// The API's metrics. Instruments are made once for each combination of labels, of which there are few.
final class RequestMetrics: Sendable {
    private struct Labels: Hashable {
        var route: String
        var method: String
        var status: Int
    }

    private struct Instruments: Sendable {
        var requests: Counter
        var duration: Metrics.Timer
    }

    private let factory: any MetricsFactory
    private let instruments = Mutex<[Labels: Instruments]>([:])
    private let received: Counter
    private let streams: Meter

    init(factory: any MetricsFactory) {
        self.factory = factory
        received = Counter(label: "ferry_http_received_bytes_total", dimensions: [], factory: factory)
        streams = Meter(label: "ferry_http_event_streams", dimensions: [], factory: factory)
    }

    /// A request was answered.
    func served(route: String, method: HTTPRequest.Method, status: Int, duration: Duration, bytes: Int64) {
        let isKnown = Route.allCases.contains { $0.method == method }
        let labels = Labels(route: route, method: isKnown ? method.rawValue : "other", status: status)
        let found = instruments.withLock { known in
            if let found = known[labels] { return found }
            let made = make(labels)
            known[labels] = made
            return made
        }
        found.requests.increment()
        found.duration.recordNanoseconds(duration.microseconds * 1_000)
        if bytes > 0 { received.increment(by: bytes) }
    }

    /// So many event streams are open.
    func streaming(_ count: Int) { streams.set(count) }

    /// What workers found out about targets.
    func targets(_ targets: [TargetPresence]) {
        for presence in targets {
            let dimensions = [("target", presence.target.description)]
            Meter(label: "ferry_target_reachable", dimensions: dimensions, factory: factory)
                .set(presence.reachable ? 1 : 0)
            Meter(label: "ferry_target_breaker_open", dimensions: dimensions, factory: factory)
                .set(presence.breaker == .closed ? 0 : 1)
        }
    }

    /// What waits for a person, or to be sent.
    func backlog(_ backlog: Backlog) {
        Meter(label: "ferry_dead_letters", dimensions: [], factory: factory).set(backlog.deadLetters)
        for (target, count) in backlog.outbox {
            Meter(label: "ferry_outbox_jobs", dimensions: [("target", target.description)], factory: factory).set(count)
        }
    }

    private func make(_ labels: Labels) -> Instruments {
        let route = ("route", labels.route)
        let method = ("method", labels.method)
        return Instruments(
            requests: Counter(
                label: "ferry_http_requests_total",
                dimensions: [route, method, ("status", String(labels.status))],
                factory: factory
            ),
            duration: Metrics.Timer(
                label: "ferry_http_request_duration_seconds",
                dimensions: [route, method],
                preferredDisplayUnit: .seconds,
                factory: factory
            )
        )
    }
}
