// TARGET:PATH, as it is given on the command line.

/// Where files go.
struct Destination: Equatable {
    let target: String
    let path: String

    /// Reads `TARGET:PATH`; the path may be empty or end in a slash, and then the file's name is added.
    init(_ text: String) throws(CommandFailure) {
        guard let colon = text.firstIndex(of: ":"), colon != text.startIndex else {
            throw CommandFailure(.usage, "the destination must be TARGET:PATH, but is '\(text)'")
        }
        target = String(text[..<colon])
        path = String(text[text.index(after: colon)...])
    }

    /// The path of one of `count` files.
    func path(of name: String, count: Int) throws(CommandFailure) -> String {
        if path.isEmpty || path.hasSuffix("/") { return path + name }
        guard count == 1 else {
            throw CommandFailure(.usage, "for several files the path must end in '/', but is '\(path)'")
        }
        return path
    }
}
