// PrometheusRegistryTests: golden text, hostile names and labels, bounds, and counting from many threads.

import CoreMetrics
import Foundation
import Testing

@testable import Service

// Foundation has a Timer too.
private typealias Timer = CoreMetrics.Timer

struct PrometheusRegistryTests {
    private let registry = PrometheusRegistry(maximumSeries: 3, processMetrics: false)

    @Test func golden() {
        registry.describe("ferry_parts_received", help: "Parts stored in staging.\nBy \\ target.")
        registry.describe("ferry_ship", help: "Time to write one part.", bounds: [1, 0.5, 1, .infinity])
        let parts = Counter(
            label: "ferry_parts_received",
            dimensions: [("target", "web"), ("kind", "a")],
            factory: registry
        )
        parts.increment(by: 41)
        Counter(label: "ferry_parts_received", dimensions: [("kind", "a"), ("target", "web")], factory: registry)
            .increment()
        Counter(label: "ferry_parts_received", dimensions: [("target", "db")], factory: registry).increment(by: -5)
        FloatingPointCounter(label: "ferry.waited", factory: registry).increment(by: 0.25)
        let gauge = Meter(label: "ferry_sessions", factory: registry)
        gauge.set(7)
        gauge.increment(by: 0.5)
        gauge.decrement()
        Gauge(label: "ferry_free", factory: registry).record(1e18)
        let timer = Timer(label: "ferry_ship", factory: registry)
        timer.recordMilliseconds(500)
        timer.recordMilliseconds(501)
        timer.recordSeconds(9)
        let sizes = Recorder(label: "ferry_size", dimensions: [("target", "web")], factory: registry)
        sizes.record(17)
        #expect(
            registry.render() == """
                # HELP ferry_free ferry_free
                # TYPE ferry_free gauge
                ferry_free 1e+18
                # HELP ferry_parts_received_total Parts stored in staging.\\nBy \\\\ target.
                # TYPE ferry_parts_received_total counter
                ferry_parts_received_total{kind="a",target="web"} 42
                ferry_parts_received_total{target="db"} 0
                # HELP ferry_sessions ferry_sessions
                # TYPE ferry_sessions gauge
                ferry_sessions 6.5
                # HELP ferry_ship_seconds Time to write one part.
                # TYPE ferry_ship_seconds histogram
                ferry_ship_seconds_bucket{le="0.5"} 1
                ferry_ship_seconds_bucket{le="1"} 2
                ferry_ship_seconds_bucket{le="+Inf"} 3
                ferry_ship_seconds_sum 10.001
                ferry_ship_seconds_count 3
                # HELP ferry_size ferry_size
                # TYPE ferry_size histogram
                ferry_size_bucket{target="web",le="1"} 0
                ferry_size_bucket{target="web",le="4"} 0
                ferry_size_bucket{target="web",le="16"} 0

                """ + (3...15).map { "ferry_size_bucket{target=\"web\",le=\"\(1 << (2 * $0))\"} 1\n" }.joined() + """
                    ferry_size_bucket{target="web",le="+Inf"} 1
                    ferry_size_sum{target="web"} 17
                    ferry_size_count{target="web"} 1
                    # HELP ferry_waited_total ferry.waited
                    # TYPE ferry_waited_total counter
                    ferry_waited_total 0.25

                    """
        )
    }

    @Test(arguments: [
        ("a", "a"), ("http.requests", "http_requests"), ("1a", "_1a"), ("", "_"), ("a b\n{}\"", "a_b____"), ("ä", "__"),
        ("a:b", "a_b"), (String(repeating: "x", count: 500), String(repeating: "x", count: 200)),
    ])
    func metricName(label: String, name: String) {
        #expect(PrometheusText.metricName(label) == name)
    }

    @Test(arguments: [
        ("a", "a"), ("le", "exported_le"), ("quantile", "exported_quantile"), ("__name__", "label__name__"),
        ("a-b", "a_b"),
        ("1", "_1"),
    ])
    func labelName(name: String, valid: String) {
        #expect(PrometheusText.labelName(name) == valid)
    }

    @Test(arguments: [
        ("a", "a"), ("a\"b\\c\nd", "a\\\"b\\\\c\\nd"), ("\r\u{0}", "\u{FFFD}\u{FFFD}"), ("é😀", "é😀"),
        (String(repeating: "é", count: 500), String(repeating: "é", count: 128)),
    ])
    func labelValue(value: String, escaped: String) {
        #expect(PrometheusText.labelValue(value) == escaped)
    }

    @Test(
        arguments: [
            (0, "0"), (-0.5, "-0.5"), (3, "3"), (1e15, "1000000000000000"), (1e16, "1e+16"), (0.0001, "0.0001"),
            (1e-7, "1e-07"),
            (.infinity, "+Inf"),
            (-.infinity, "-Inf"), (.nan, "NaN"),
        ] as [(Double, String)]
    )
    func number(value: Double, text: String) {
        #expect(PrometheusText.number(value) == text)
    }

    @Test func labelValuesCannotForgeSeries() {
        Counter(label: "c", dimensions: [("p", "x\"} 1\nforged 2\n#")], factory: registry).increment()
        let lines = registry.render().split(separator: "\n")
        #expect(lines.count == 3)
        #expect(lines.last == #"c_total{p="x\"} 1\nforged 2\n#"} 1"#)
    }

    @Test func seriesAreBounded() {
        for number in 0..<100 {
            Counter(label: "c", dimensions: [("path", "\(number)")], factory: registry).increment()
        }
        #expect(
            registry.render().split(separator: "\n").dropFirst(2) == [
                #"c_total{overflow="true"} 97"#, #"c_total{path="0"} 1"#, #"c_total{path="1"} 1"#,
                #"c_total{path="2"} 1"#,
            ]
        )
    }

    @Test func metricsAreBounded() {
        for number in 0..<2_100 { Counter(label: "c\(number)", factory: registry).increment() }
        #expect(registry.render().split(separator: "\n").filter { !$0.hasPrefix("#") }.count == 2_000)
    }

    @Test func oneNameTwoTypes() {
        Counter(label: "x_total", factory: registry).increment()
        Meter(label: "x_total", factory: registry).set(5)
        Meter(label: "x_total", factory: registry).increment(by: 1)
        FloatingPointCounter(label: "x", factory: registry).increment(by: 0.5)
        let lines = registry.render().split(separator: "\n").filter { !$0.hasPrefix("#") }
        #expect(lines == ["x_total 1", "x_total_floatingcounter 0.5", "x_total_gauge 6"])
    }

    @Test func destroyedSeriesAreGone() {
        let gauge = Meter(label: "g", dimensions: [("t", "a")], factory: registry)
        gauge.set(1)
        let timer = Timer(label: "t", factory: registry)
        timer.recordSeconds(1)
        gauge.destroy()
        timer.destroy()
        #expect(registry.render() == "")
        Meter(label: "g", dimensions: [("t", "a")], factory: registry).set(2)
        #expect(registry.render().hasSuffix("g{t=\"a\"} 2\n"))
    }

    @Test func oddValuesAreDropped() {
        let counter = FloatingPointCounter(label: "f", factory: registry)
        for value in [-1, .nan, .infinity, 0.5] as [Double] { counter.increment(by: value) }
        let recorder = Recorder(label: "r", factory: registry)
        for value in [.nan, 1] as [Double] { recorder.record(value) }
        #expect(registry.render().contains("f_total 0.5\n"))
        #expect(registry.render().contains("r_count 1\n"))
        counter.reset()
        #expect(registry.render().contains("f_total 0\n"))
    }

    @Test func nothingIsLostBetweenThreads() async {
        let registry = registry
        await withTaskGroup { group in
            for _ in 0..<8 {
                group.addTask {
                    for _ in 0..<5_000 {
                        Counter(label: "c", dimensions: [("a", "b")], factory: registry).increment()
                        FloatingPointCounter(label: "f", factory: registry).increment(by: 0.5)
                        Meter(label: "m", factory: registry).increment()
                        Timer(label: "t", factory: registry).recordSeconds(1)
                    }
                }
            }
            group.addTask { for _ in 0..<50 { _ = registry.render() } }
        }
        let text = registry.render()
        for line in [
            "c_total{a=\"b\"} 40000", "f_total 20000", "m 40000", "t_seconds_bucket{le=\"1\"} 40000",
            "t_seconds_sum 40000",
            "t_seconds_bucket{le=\"0.5\"} 0", "t_seconds_count 40000",
        ] {
            #expect(text.contains("\n\(line)\n"), "\(line)")
        }
    }

    @Test func processIsMeasured() throws {
        let text = PrometheusRegistry().render()
        func value(_ name: String) throws -> Double {
            let line = try #require(text.split(separator: "\n").first { $0.hasPrefix("\(name) ") })
            return try #require(Double(line.dropFirst(name.utf8.count + 1)))
        }
        #expect(try value("process_resident_memory_bytes") > 1_048_576)
        let descriptors = try value("process_open_fds")
        #expect(descriptors >= 3)
        #expect(try value("process_max_fds") >= descriptors)
        #expect(try value("process_cpu_seconds_total") > 0)
        let start = try value("process_start_time_seconds")
        let now = Date().timeIntervalSince1970
        #expect(start < now + 5)
        #expect(start > now - 7 * 86_400)
    }

    private static let promtool = "/usr/bin/promtool"

    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: promtool), "promtool is not installed"))
    func promtoolAccepts() throws {
        let registry = PrometheusRegistry()
        for label in ["ferry_parts", "ferry_ship"] { registry.describe(label, help: "Something.") }
        registry.describe("ferry_hostile", help: "A \"help\"\nwith \\ everything.")
        Counter(label: "ferry_parts", dimensions: [("target", "web")], factory: registry).increment()
        Timer(label: "ferry_ship", dimensions: [("target", "web")], factory: registry).recordSeconds(1)
        Meter(label: "ferry_hostile", dimensions: [("p", "x\"}\n\\\r"), ("le", "1"), ("__x", "é")], factory: registry)
            .set(Double.nan)
        FloatingPointCounter(label: "ferry_waited", factory: registry).increment(by: 1e-9)
        Recorder(label: "ferry_depth", factory: registry).record(-Double.infinity)

        let directory = try TemporaryDirectory()
        let input = try directory.write(registry.render().utf8, to: "metrics")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: Self.promtool)
        process.arguments = ["check", "metrics"]
        process.standardInput = try FileHandle(forReadingFrom: URL(fileURLWithPath: input))
        let output = Pipe()
        process.standardOutput = output
        process.standardError = output
        try process.run()
        let said = try output.fileHandleForReading.readToEnd() ?? Data()
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(String(decoding: said, as: UTF8.self))")
        #expect(said.isEmpty, "\(String(decoding: said, as: UTF8.self))")
    }
}
