// FormError: what is wrong with a form.

/// A form that cannot be read, in words for whoever sent it.
struct FormError: Error, Hashable, Sendable, CustomStringConvertible {
    /// What kind of fault it is.
    enum Kind: Hashable, Sendable {
        /// It breaks the rules of its media type, or says a thing twice.
        case malformed
        /// It is larger than any form of ours needs to be.
        case tooLarge
    }

    let kind: Kind
    let description: String

    static func malformed(_ description: String) -> FormError { FormError(kind: .malformed, description: description) }
    static func tooLarge(_ description: String) -> FormError { FormError(kind: .tooLarge, description: description) }
}
