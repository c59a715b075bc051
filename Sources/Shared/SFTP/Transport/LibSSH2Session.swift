// Owner of one libssh2 session: handshake, host key, login. Used on one thread.

internal import CLibSSH2
internal import CReadAheadCTR
internal import Glibc
internal import Synchronization

/// libssh2's global state. Its initialisation is not thread-safe, so it happens once, here.
enum LibSSH2Library {
    /// 0, or libssh2's error.
    static let status: CInt = {
        // libssh2 encrypts with OpenSSL, which by default takes its own state down in exit(), under the feet of
        // sessions whose threads still run then.
        OPENSSL_init_crypto(UInt64(OPENSSL_INIT_NO_ATEXIT), nil)
        // Best effort: a third of the time a session takes to encrypt is saved where this works.
        _ = ferry_prefer_ctr_read_ahead()
        return libssh2_init(0)
    }()
}

/// One SSH connection. Every call belongs on the thread that made it; no pointer of libssh2's leaves it.
final class LibSSH2Session {
    let socket: SocketBuffer
    let handle: OpaquePointer
    private(set) var facts = TransportFacts()
    private let configuration: SSHConfiguration
    /// What this side offers in the handshake.
    private var allowed: [AlgorithmMismatch.Kind: [String]] = [:]
    private let thread = pthread_self()

    /// Takes the socket over.
    init(socket descriptor: CInt, configuration: SSHConfiguration) throws(SFTPError) {
        socket = SocketBuffer(descriptor: descriptor)
        self.configuration = configuration
        guard LibSSH2Library.status == 0,
            // libssh2 hands this pointer to the callbacks below; `socket` outlives the session, see `deinit`.
            let handle = libssh2_session_init_ex(nil, nil, nil, Unmanaged.passUnretained(socket).toOpaque())
        else {
            throw .connectFailed(host: configuration.host, port: configuration.port, reason: "libssh2 does not start")
        }
        self.handle = handle
        let sender: SendCallback = { _, bytes, count, _, context in
            guard let context = context?.pointee else { return -Int(EBADF) }
            let socket = Unmanaged<SocketBuffer>.fromOpaque(context).takeUnretainedValue()
            return socket.send(UnsafeRawBufferPointer(start: bytes, count: count))
        }
        let receiver: ReceiveCallback = { _, room, count, _, context in
            guard let context = context?.pointee else { return -Int(EBADF) }
            let socket = Unmanaged<SocketBuffer>.fromOpaque(context).takeUnretainedValue()
            return socket.receive(UnsafeMutableRawBufferPointer(start: room, count: count))
        }
        libssh2_session_callback_set(
            handle,
            LIBSSH2_CALLBACK_SEND,
            unsafeBitCast(sender, to: UnsafeMutableRawPointer.self)
        )
        libssh2_session_callback_set(
            handle,
            LIBSSH2_CALLBACK_RECV,
            unsafeBitCast(receiver, to: UnsafeMutableRawPointer.self)
        )
        libssh2_session_set_blocking(handle, 0)
    }

    private typealias SendCallback =
        @convention(c) (CInt, UnsafeRawPointer?, Int, CInt, UnsafeMutablePointer<UnsafeMutableRawPointer?>?) -> Int
    private typealias ReceiveCallback =
        @convention(c) (CInt, UnsafeMutableRawPointer?, Int, CInt, UnsafeMutablePointer<UnsafeMutableRawPointer?>?) ->
        Int

    deinit {
        // Told that the peer is gone, libssh2 frees its channels without waiting for anybody.
        socket.isFinished = true
        var attempts = 0
        while libssh2_session_free(handle) == LIBSSH2_ERROR_EAGAIN, attempts < 16 { attempts += 1 }
    }

    func assertThread() {
        assert(pthread_equal(thread, pthread_self()) != 0, "a libssh2 session was used on a second thread")
    }

    // MARK: Steps of opening

    /// Handshake, host key, login, in this order: nothing that names the user is sent to an unknown server.
    func open(_ wait: OpeningWait) throws(SFTPError) {
        try setAlgorithms()
        socket.listen()
        let code = try drive(wait, "handshake") { libssh2_session_handshake(handle, socket.descriptor) }
        guard code == 0 else { throw handshakeFailure(code) }
        socket.forgetHeard()
        readFacts()
        try checkHostKey()
        try logIn(wait)
    }

    private func setAlgorithms() throws(SFTPError) {
        try prefer(.keyExchange, [LIBSSH2_METHOD_KEX], AlgorithmList.keyExchange)
        try prefer(.hostKey, [LIBSSH2_METHOD_HOSTKEY], AlgorithmList.hostKey)
        let ciphers = configuration.ciphers ?? AlgorithmList.cipher
        try prefer(.cipher, [LIBSSH2_METHOD_CRYPT_CS, LIBSSH2_METHOD_CRYPT_SC], ciphers)
        let macs = configuration.macs ?? AlgorithmList.mac
        try prefer(.mac, [LIBSSH2_METHOD_MAC_CS, LIBSSH2_METHOD_MAC_SC], macs)
        try prefer(.compression, [LIBSSH2_METHOD_COMP_CS, LIBSSH2_METHOD_COMP_SC], ["none"])
    }

    private func prefer(
        _ kind: AlgorithmMismatch.Kind,
        _ methods: [CInt],
        _ wanted: [String]
    ) throws(SFTPError) {
        for method in methods {
            // libssh2 cannot be asked about compression; "none" it always knows.
            let chosen = kind == .compression ? wanted : AlgorithmList.choose(wanted, from: known(method))
            guard !chosen.isEmpty, libssh2_session_method_pref(handle, method, chosen.joined(separator: ",")) == 0
            else {
                let list = wanted.joined(separator: ", ")
                throw .noCommonAlgorithm([], reason: "this libssh2 has no \(kind.rawValue) of \(list); \(Self.advice)")
            }
            allowed[kind] = chosen
        }
    }

    /// What the library has.
    private func known(_ method: CInt) -> [String] {
        var list: UnsafeMutablePointer<UnsafePointer<CChar>?>?
        let count = libssh2_session_supported_algs(handle, method, &list)
        guard let list else { return [] }
        defer { libssh2_free(handle, list) }
        return (0..<max(0, Int(count))).compactMap { list[$0].map { String(cString: $0) } }
    }

    /// The server's offer says more than the library, which has one code for all kinds, or finds the connection closed
    /// by a server that saw first that there is no agreement.
    private func handshakeFailure(_ code: CInt) -> SFTPError {
        let proposal = socket.heard.flatMap(KeyExchangeProposal.init(heard:))
        let mismatches = proposal?.mismatches(with: allowed) ?? []
        let isDisagreement = code == LIBSSH2_ERROR_KEX_FAILURE || code == LIBSSH2_ERROR_METHOD_NONE
        if !mismatches.isEmpty { return .noCommonAlgorithm(mismatches, reason: Self.advice) }
        if isDisagreement, proposal == nil {
            return .noCommonAlgorithm([], reason: "\(lastMessage); \(Self.advice)")
        }
        return .connectFailed(
            host: configuration.host,
            port: configuration.port,
            reason: "SSH handshake: \(lastMessage) (\(code))"
        )
    }

    private static let advice = "libssh2 \(LIBSSH2_VERSION) knows no other; the system's ssh may (transport: openssh)"

    private func readFacts() {
        func method(_ kind: CInt) -> String {
            libssh2_session_methods(handle, kind).map { String(cString: $0) } ?? ""
        }
        facts.serverIdent = libssh2_session_banner_get(handle).map { printable(String(cString: $0)) } ?? ""
        facts.keyExchange = method(LIBSSH2_METHOD_KEX)
        facts.hostKeyAlgorithm = method(LIBSSH2_METHOD_HOSTKEY)
        facts.cipher = method(LIBSSH2_METHOD_CRYPT_CS)
        facts.mac = method(LIBSSH2_METHOD_MAC_CS)
    }

    private func checkHostKey() throws(SFTPError) {
        guard let digest = libssh2_hostkey_hash(handle, LIBSSH2_HOSTKEY_HASH_SHA256) else {
            throw .connectFailed(host: configuration.host, port: configuration.port, reason: "no host key digest")
        }
        let found = Fingerprint.text(sha256: UnsafeRawBufferPointer(start: digest, count: 32))
        facts.hostKeyFingerprint = found
        guard configuration.hostKeys.contains(where: { Fingerprint.normalized($0) == found }) else {
            throw .hostKeyMismatch(expected: configuration.hostKeys, found: found)
        }
    }

    private func logIn(_ wait: OpeningWait) throws(SFTPError) {
        let user = configuration.user
        let userLength = CUnsignedInt(user.utf8.count)
        let credential = try LoadedCredential(configuration.credentials, user: user)
        let code: CInt
        switch credential {
        case .key(let bytes, let passphrase):
            // The library takes a length and then reads up to a zero byte all the same.
            let terminated = bytes + [0]
            code = try drive(wait, "login") {
                terminated.withUnsafeBytes { key in
                    libssh2_userauth_publickey_frommemory(
                        handle,
                        user,
                        Int(userLength),
                        nil,
                        0,
                        key.baseAddress?.assumingMemoryBound(to: CChar.self),
                        key.count - 1,
                        passphrase ?? ""
                    )
                }
            }
        case .password(let password):
            code = try drive(wait, "login") {
                libssh2_userauth_password_ex(
                    handle,
                    user,
                    userLength,
                    password,
                    CUnsignedInt(password.utf8.count),
                    nil
                )
            }
        }
        guard code != 0 else { return }
        let lost = [
            LIBSSH2_ERROR_SOCKET_DISCONNECT, LIBSSH2_ERROR_SOCKET_RECV, LIBSSH2_ERROR_SOCKET_SEND,
            LIBSSH2_ERROR_TIMEOUT, LIBSSH2_ERROR_SOCKET_TIMEOUT,
        ]
        let reason = lastMessage
        // Without an answer nothing was refused: libssh2 has the same code for both, and other words.
        let isUnanswered = socket.hasEnded || reason.hasPrefix("Waiting for ")
        if lost.contains(code) || isUnanswered { throw disconnected("login") }
        // Asked only now: a login that succeeds needs no answer to it. It lets in whoever needs to prove nothing.
        let methods = (try? methods(user, wait)) ?? []
        if libssh2_userauth_authenticated(handle) != 0 { return }
        throw .authenticationFailed(user: user, methods: methods, reason: reason)
    }

    /// The methods by which a server lets somebody log in; none where it does not say so.
    private func methods(_ user: String, _ wait: OpeningWait) throws(SFTPError) -> [String] {
        var listed: String?
        _ = try drive(wait, "login") {
            listed = libssh2_userauth_list(handle, user, CUnsignedInt(user.utf8.count)).map { String(cString: $0) }
            return listed == nil ? libssh2_session_last_errno(handle) : 0
        }
        return (listed ?? "").split(separator: ",").map { printable(String($0)) }
    }

    /// Repeats a libssh2 call until it no longer says "would block".
    func drive(_ wait: OpeningWait, _ operation: String, _ call: () -> CInt) throws(SFTPError) -> CInt {
        assertThread()
        while true {
            let code = call()
            let isSent = socket.flush()
            if code != LIBSSH2_ERROR_EAGAIN, isSent { return code }
            if socket.failure != nil { return code == LIBSSH2_ERROR_EAGAIN ? LIBSSH2_ERROR_SOCKET_SEND : code }
            // Since sending never stops halfway, "would block" is about input, or about what is kept.
            let events = isSent ? POLLIN : POLLIN | POLLOUT
            guard try wait.poll(socket.descriptor, for: CShort(events)) else {
                throw .connectFailed(
                    host: configuration.host,
                    port: configuration.port,
                    reason: "\(operation): no answer in time"
                )
            }
            if code != LIBSSH2_ERROR_EAGAIN { return code }
        }
    }

    // MARK: Errors

    /// libssh2's words for its last error.
    var lastMessage: String {
        var text: UnsafeMutablePointer<CChar>?
        var length: CInt = 0
        libssh2_session_last_error(handle, &text, &length, 0)
        return text.map { printable(String(cString: $0)) } ?? "unknown error"
    }

    func disconnected(_ operation: String) -> SFTPError {
        let reason =
            socket.failure.map { systemMessage($0) }
            ?? (socket.hasEnded ? "the server closed the connection" : lastMessage)
        return .disconnected(reason: reason, operation: operation)
    }
}
