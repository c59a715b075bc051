// Where the programs of this build are: beside the tests.

import Foundation

/// The programs that were built with the running tests.
public enum BuiltPrograms {
    /// The directory that holds them.
    public static let directory: String = {
        var path = (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/exe")) ?? ""
        // Some runners are the test program, some load it.
        for argument in [path] + CommandLine.arguments where argument.contains(".xctest") {
            path = argument
            break
        }
        return path.split(separator: "/").dropLast().reduce(into: "") { $0 += "/" + $1 }
    }()

    /// The path of one, for example `ferry`.
    public static func path(_ name: String) -> String { "\(directory)/\(name)" }
}
