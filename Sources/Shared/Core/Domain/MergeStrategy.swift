// The five ways in which a final file comes to be out of an upload's parts.

/// How a generation is built on its target. Chosen when the generation begins and recorded with it, so that all its
/// workers do the same, whatever their configuration or a look at the target says later.
///
/// However it is built, what is written lies at its own place in a hidden part file of one generation, and is proven
/// there; so each step can be done again, and by two at once, and the commit is the same for all.
public enum MergeStrategy: String, Hashable, Sendable, CaseIterable {
    /// Every part is written to its place in the part file: the merge copies nothing.
    case inPlace = "in-place"
    /// Parts lie apart; the server copies each to its place by itself (`copy-data`,
    /// draft-ietf-secsh-filexfer-extensions-00 §7).
    case copy
    /// Parts lie apart; a fixed script on the target copies each to its place.
    case script
    /// Parts lie apart; the worker reads each and writes it to its place.
    case relay
    /// Nothing is written before the merge: it writes the parts from staging, one after the other, through one handle.
    case stream

    /// Whether parts are shipped into files of their own, in a hidden directory.
    public var keepsPartsApart: Bool {
        switch self {
        case .copy, .script, .relay: true
        case .inPlace, .stream: false
        }
    }

    /// Whether the bytes travel in the merge, and a ship job only sees to it that the staged part is sound.
    public var shipsInMerge: Bool { self == .stream }
}
