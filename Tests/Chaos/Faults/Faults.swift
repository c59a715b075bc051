// All faults, in the order in which they run.

/// The list.
enum Faults {
    static let all: [any Fault] = processes + power + index + broker + network + target + content + commit

    /// The faults of these names; all where none is given.
    static func named(_ names: [String]) throws(UnknownFault) -> [any Fault] {
        guard !names.isEmpty else { return all }
        var found: [any Fault] = []
        for name in names {
            guard let fault = all.first(where: { $0.name == name }) else {
                throw UnknownFault(name: name, known: all.map(\.name))
            }
            found.append(fault)
        }
        return found
    }
}

/// `FAULTS=` names something that is not there.
struct UnknownFault: Error, CustomStringConvertible {
    let name: String
    let known: [String]

    var description: String { "FAULTS: no fault \(name); there are \(known.joined(separator: ", "))" }
}
