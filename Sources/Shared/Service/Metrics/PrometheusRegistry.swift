// PrometheusRegistry: the backend of swift-metrics that a Prometheus server can scrape.

public import CoreMetrics
internal import Synchronization

/// Collects all metrics of a process and renders them in Prometheus' text exposition format, version 0.0.4.
///
/// Names become valid ones; counters end in `_total` and timers, which are histograms in seconds, in `_seconds`. A
/// recorder that aggregates is a histogram, one that does not a gauge. Two metrics of the same name and labels are one.
/// Where a name is in use for another type, the type is appended to it. A metric keeps a bounded number of series; what
/// goes beyond is counted under the one label `overflow="true"`, so that no caller's input can exhaust memory.
public final class PrometheusRegistry: MetricsFactory {
    /// The media type of what `render` returns.
    public static let contentType = "text/plain; version=0.0.4; charset=utf-8"
    /// Upper bounds of timers in seconds, where none are given.
    public static let durationBounds = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300,
    ]
    /// Upper bounds of other histograms, where none are given: powers of four to a gibibyte.
    public static let sizeBounds = (0...15).map { Double(1 << (2 * $0)) }

    private enum Series {
        case counter(CounterSeries)
        case floatingCounter(FloatingCounterSeries)
        case gauge(GaugeSeries)
        case histogram(HistogramSeries)

        var object: AnyObject {
            switch self {
            case .counter(let series): series
            case .floatingCounter(let series): series
            case .gauge(let series): series
            case .histogram(let series): series
            }
        }
    }

    private enum Kind: String {
        case counter, gauge, histogram
        /// Rendered as a counter, but apart from those of whole numbers.
        case floatingCounter
        var type: String { self == .floatingCounter ? Self.counter.rawValue : rawValue }
    }

    private struct Family {
        var kind: Kind
        var label: String
        var series: [PrometheusLabels: Series] = [:]
    }

    private struct State {
        var families: [String: Family] = [:]
        var help: [String: String] = [:]
        var bounds: [String: [Double]] = [:]
    }

    private static let maximumFamilies = 2_000
    private let maximumSeries: Int
    private let processMetrics: Bool
    private let state = Mutex(State())

    /// An empty registry.
    ///
    /// - Parameters:
    ///   - maximumSeries: series that one metric keeps apart.
    ///   - processMetrics: whether memory, processor time and descriptors of the process are rendered too.
    public init(maximumSeries: Int = 1_000, processMetrics: Bool = true) {
        self.maximumSeries = maximumSeries
        self.processMetrics = processMetrics
    }

    /// Gives the metric created with `label` a help text, and a histogram its upper bounds.
    ///
    /// - Parameters:
    ///   - label: as given to the metric.
    ///   - help: one sentence.
    ///   - bounds: upper bounds (seconds, for timers); take effect on series made from now on, so describe a metric
    ///     before it is first used.
    public func describe(_ label: String, help: String, bounds: [Double]? = nil) {
        state.withLock { state in
            state.help[label] = help
            let usable = bounds.map { Array(Set($0.filter(\.isFinite))).sorted() }
            if let usable, !usable.isEmpty { state.bounds[label] = usable }
        }
    }

    /// Everything, sorted by name and labels.
    public func render() -> String {
        var families = state.withLock { state in
            state.families.map { name, family in
                (name: name, help: state.help[family.label] ?? family.label, family: family)
            }
        }
        families.sort { $0.name < $1.name }
        var text = ""
        for (name, help, family) in families where !family.series.isEmpty {
            text += "# HELP \(name) \(PrometheusText.help(help))\n# TYPE \(name) \(family.kind.type)\n"
            for (labels, series) in family.series.sorted(by: { $0.key < $1.key }) {
                Self.render(series, name: name, labels: labels, into: &text)
            }
        }
        if processMetrics { text += ProcessMetrics.render() }
        return text
    }

    private static func render(_ series: Series, name: String, labels: PrometheusLabels, into text: inout String) {
        switch series {
        case .counter(let counter): text += "\(name)\(labels.rendered()) \(counter.snapshot)\n"
        case .floatingCounter(let counter):
            text += "\(name)\(labels.rendered()) \(PrometheusText.number(counter.snapshot))\n"
        case .gauge(let gauge): text += "\(name)\(labels.rendered()) \(PrometheusText.number(gauge.snapshot))\n"
        case .histogram(let histogram):
            let snapshot = histogram.snapshot
            var total: UInt64 = 0
            for (bound, count) in zip(histogram.bounds + [.infinity], snapshot.counts) {
                total &+= count
                let bucket = labels.rendered(extra: ("le", PrometheusText.number(bound)))
                text += "\(name)_bucket\(bucket) \(total)\n"
            }
            text += "\(name)_sum\(labels.rendered()) \(PrometheusText.number(snapshot.sum))\n"
            text += "\(name)_count\(labels.rendered()) \(total)\n"
        }
    }

    // MARK: Making

    /// A counter of whole numbers.
    public func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        let series = series(label, dimensions, kind: .counter) { _ in .counter(CounterSeries()) }
        return if case .counter(let counter) = series { counter } else { CounterSeries() }
    }

    /// A counter of fractions.
    public func makeFloatingPointCounter(
        label: String,
        dimensions: [(String, String)]
    ) -> any FloatingPointCounterHandler {
        let series = series(label, dimensions, kind: .floatingCounter) { _ in .floatingCounter(FloatingCounterSeries())
        }
        return if case .floatingCounter(let counter) = series { counter } else { FloatingCounterSeries() }
    }

    /// A gauge.
    public func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        gauge(label, dimensions)
    }

    /// A histogram, or a gauge where nothing is aggregated.
    public func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        aggregate ? histogram(label, dimensions, suffix: "", bounds: Self.sizeBounds) : gauge(label, dimensions)
    }

    /// A histogram in seconds.
    public func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        histogram(label, dimensions, suffix: "_seconds", bounds: Self.durationBounds)
    }

    private func gauge(_ label: String, _ dimensions: [(String, String)]) -> GaugeSeries {
        let series = series(label, dimensions, kind: .gauge) { _ in .gauge(GaugeSeries()) }
        return if case .gauge(let gauge) = series { gauge } else { GaugeSeries() }
    }

    private func histogram(
        _ label: String,
        _ dimensions: [(String, String)],
        suffix: String,
        bounds: [Double]
    ) -> HistogramSeries {
        let series = series(label, dimensions, kind: .histogram, suffix: suffix) { described in
            .histogram(HistogramSeries(bounds: described ?? bounds))
        }
        return if case .histogram(let histogram) = series { histogram } else { HistogramSeries(bounds: bounds) }
    }

    /// The series of that name, kind and labels, made where there is none yet; `nil` where the registry is full.
    private func series(
        _ label: String,
        _ dimensions: [(String, String)],
        kind: Kind,
        suffix: String = "",
        make: ([Double]?) -> Series
    ) -> Series? {
        var name = PrometheusText.metricName(label)
        let ending = kind == .counter || kind == .floatingCounter ? "_total" : suffix
        if !name.hasSuffix(ending) { name += ending }
        let labels = PrometheusLabels(dimensions)
        return state.withLock { state in
            if let family = state.families[name], family.kind != kind {
                name += "_\(kind.rawValue.lowercased())"
                if let other = state.families[name], other.kind != kind { return nil }
            }
            if let found = state.families[name]?.series[labels] { return found }
            var family = state.families[name] ?? Family(kind: kind, label: label)
            guard state.families[name] != nil || state.families.count < Self.maximumFamilies else { return nil }
            let key = family.series.count < maximumSeries ? labels : .overflow
            if let found = family.series[key] { return found }
            let made = make(state.bounds[label])
            family.series[key] = made
            state.families[name] = family
            return made
        }
    }

    // MARK: Destroying

    /// Takes the series out; what still counts on it is no longer rendered.
    public func destroyCounter(_ handler: any CounterHandler) { remove(handler) }

    /// Takes the series out; what still counts on it is no longer rendered.
    public func destroyFloatingPointCounter(_ handler: any FloatingPointCounterHandler) { remove(handler) }

    /// Takes the series out; what still counts on it is no longer rendered.
    public func destroyMeter(_ handler: any MeterHandler) { remove(handler) }

    /// Takes the series out; what still counts on it is no longer rendered.
    public func destroyRecorder(_ handler: any RecorderHandler) { remove(handler) }

    /// Takes the series out; what still counts on it is no longer rendered.
    public func destroyTimer(_ handler: any TimerHandler) { remove(handler) }

    private func remove(_ handler: AnyObject) {
        let identity = ObjectIdentifier(handler)
        state.withLock { state in
            for (name, family) in state.families {
                guard let key = family.series.first(where: { ObjectIdentifier($0.value.object) == identity })?.key
                else {
                    continue
                }
                state.families[name]?.series[key] = nil
                return
            }
        }
    }
}
