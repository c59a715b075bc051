// Where the checkout is, so that tests find its scripts wherever they are built from.

import Glibc

/// The directory of the checkout.
public enum ProjectRoot {
    /// Absolute path, without symbolic links; found from this file's own place in the sources.
    public static let path: String = {
        var path = #filePath
        if let resolved = realpath(path, nil) {
            path = String(cString: resolved)
            free(resolved)
        }
        // Tests/Harness/ProjectRoot.swift
        return path.split(separator: "/").dropLast(3).reduce(into: "") { $0 += "/" + $1 }
    }()

    /// The absolute path of something below the root, for example `scripts/servers/redis`.
    public static func path(_ relative: String) -> String {
        path + "/" + relative
    }
}
