// What a disk would still have after a power cut, from a trace of the calls that name and flush files.

import Foundation

/// The calls of processes as `strace -f -y` wrote them, all of them in one log, since one may flush what another named: which names were given, and what was flushed.
///
/// A name is durable once the directory that holds it was flushed after the name was given; a file's bytes are durable
/// if the file was flushed before that, under the name that it had then.
struct FlushLog {
    /// What strace is to trace.
    static let calls = "fsync,fdatasync,rename,renameat,renameat2,link,linkat"

    private struct Naming {
        var source: String
        var destination: String
        var isDurable = false
    }

    private var namings: [Naming] = []
    private var flushed: Set<String> = []

    /// Reads a trace. What did not return before it ended has not happened.
    init(_ text: String) {
        // The first half of a call that another thread's line interrupted, by thread.
        var halves: [Substring: Substring] = [:]
        for line in text.split(separator: "\n") {
            guard let blank = line.firstIndex(of: " ") else { continue }
            let thread = line[..<blank]
            let call = line[blank...].drop { $0 == " " }
            if call.hasSuffix("<unfinished ...>") {
                halves[thread] = call
            } else if call.hasPrefix("<... ") {
                if call.hasSuffix("= 0"), let half = halves.removeValue(forKey: thread) { take(half) }
            } else if call.hasSuffix("= 0") {
                take(call)
            }
        }
    }

    private mutating func take(_ call: Substring) {
        let name = call.prefix { $0 != "(" }
        switch name {
        case "fsync", "fdatasync":
            guard let path = call.firstMatch(of: /<([^>]*)>/)?.output.1 else { return }
            flushed.insert(String(path))
            for index in namings.indices where Self.directory(of: namings[index].destination) == path {
                namings[index].isDurable = true
            }
        case "rename", "renameat", "renameat2", "link", "linkat":
            let places = call.matches(of: /(?:<([^>]*)>, )?"([^"]*)"/).map { place in
                place.output.1.map { "\($0)/\(place.output.2)" } ?? String(place.output.2)
            }
            guard places.count == 2 else { return }
            namings.append(Naming(source: places[0], destination: places[1]))
        default: return
        }
    }

    private static func directory(of path: String) -> Substring {
        path.lastIndex(of: "/").map { path[..<$0] } ?? ""
    }

    /// Of the names below a directory that the trace saw given, those that a power cut would take away; `list` answers
    /// the files directly in a directory, nil for a file.
    func lost(below root: String, list: (String) -> [String]?) -> [String] {
        // What was put into a directory after it had its name, as a marker is, is a name of its own.
        let named = Set(namings.map(\.destination))
        return namings.filter { naming in
            guard naming.destination.hasPrefix(root + "/") else { return false }
            guard naming.isDurable else { return true }
            guard let files = list(naming.destination) else { return !flushed.contains(naming.source) }
            return files.contains { file in
                !named.contains("\(naming.destination)/\(file)") && !flushed.contains("\(naming.source)/\(file)")
            }
        }.map(\.destination)
    }
}
