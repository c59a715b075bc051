// ProcessMetrics: memory, processor time and descriptors of this process, by the names Prometheus' clients agreed on.

internal import Glibc

/// What Linux says of this process in /proc (proc(5)).
enum ProcessMetrics {
    /// The metrics that can be read; those that cannot are left out.
    static func render() -> String {
        var text = ""
        func append(_ name: String, _ type: String, _ help: String, _ value: Double?) {
            guard let value else { return }
            text += "# HELP \(name) \(help)\n# TYPE \(name) \(type)\n\(name) \(PrometheusText.number(value))\n"
        }
        let stat = processStat()
        let ticks = Double(max(1, sysconf(Int32(_SC_CLK_TCK))))
        append(
            "process_cpu_seconds_total",
            "counter",
            "User and system time spent in seconds.",
            stat.map {
                Double($0.processorTicks) / ticks
            }
        )
        append("process_max_fds", "gauge", "Largest number of open file descriptors.", maximumDescriptors())
        append("process_open_fds", "gauge", "Number of open file descriptors.", openDescriptors())
        append(
            "process_resident_memory_bytes",
            "gauge",
            "Resident memory in bytes.",
            stat.map {
                Double($0.residentPages) * Double(sysconf(Int32(_SC_PAGESIZE)))
            }
        )
        let start = stat.flatMap { stat in bootTime.map { $0 + Double(stat.startTicks) / ticks } }
        append("process_start_time_seconds", "gauge", "Start of the process in seconds since 1970.", start)
        return text
    }

    private struct Stat {
        var processorTicks: UInt64
        var startTicks: UInt64
        var residentPages: UInt64
    }

    private static func processStat() -> Stat? {
        // The second field is the program's name in parentheses and may hold anything; count from behind it.
        guard let text = contents("/proc/self/stat"), let end = text.lastIndex(of: ")") else { return nil }
        let fields = text[text.index(after: end)...].split(separator: " ")
        // The first of these is field 3: utime is 14, stime 15, starttime 22, rss 24.
        guard fields.count > 21, let user = UInt64(fields[11]), let system = UInt64(fields[12]),
            let start = UInt64(fields[19]), let resident = UInt64(fields[21])
        else { return nil }
        return Stat(processorTicks: user + system, startTicks: start, residentPages: resident)
    }

    private static let bootTime: Double? = {
        let line = contents("/proc/stat")?.split(separator: "\n").first { $0.hasPrefix("btime ") }
        return line.flatMap { Double($0.dropFirst(6)) }
    }()

    private static func contents(_ path: String) -> String? {
        guard let (bytes, _) = try? readFile(path, limit: 4 << 20, expecting: "process information") else { return nil }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func openDescriptors() -> Double? {
        guard let directory = opendir("/proc/self/fd") else { return nil }
        defer { closedir(directory) }
        var count = 0
        while let entry = readdir(directory) {
            if entry.pointee.d_name.0 != CChar(UInt8(ascii: ".")) { count += 1 }
        }
        // Without the one that is open for counting.
        return Double(count - 1)
    }

    private static func maximumDescriptors() -> Double? {
        var limit = rlimit()
        guard getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 else { return nil }
        return Double(limit.rlim_cur)
    }
}
