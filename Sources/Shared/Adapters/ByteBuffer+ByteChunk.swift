// NIO's buffers as the domain's bytes, so that no byte is copied between a socket and a file.

public import Core
public import NIOCore

extension ByteBuffer: ByteChunk {
    /// The readable bytes' number.
    public var count: Int { readableBytes }

    /// Lends the readable bytes.
    public func withUnsafeBytes<Result, Failure: Error>(
        _ body: (UnsafeRawBufferPointer) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        try withUnsafeReadableBytes(body)
    }
}
