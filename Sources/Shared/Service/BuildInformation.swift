// BuildInformation: which Ferry this is.

/// Which Ferry this is.
public enum BuildInformation {
    /// Version of all programs of this build (Semantic Versioning 2.0.0).
    public static let version = "0.1.0"
}
