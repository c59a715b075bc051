// What the harness says when it cannot do its part.

import Glibc

/// A failure of the test set-up, in words.
public struct HarnessError: Error, CustomStringConvertible {
    /// What was being done, and what went wrong.
    public let description: String

    /// An error with this text.
    public init(_ description: String) {
        self.description = description
    }

    /// The failure of a system call, with `errno` in words.
    static func system(_ what: String, _ code: Int32) -> HarnessError {
        var buffer = [CChar](repeating: 0, count: 256)
        guard strerror_r(code, &buffer, buffer.count) == 0 else { return HarnessError("\(what): error \(code)") }
        let text = buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }
        return HarnessError("\(what): \(String(decoding: text, as: UTF8.self))")
    }
}
