// A target: an sshd with a root directory, whose helpers can be made to misbehave.

import Foundation
import Harness

/// A real sshd; its SFTP server and its `tail` are wrapped, so that a fault can reach into them at one exact step.
final class TargetServer: Sendable {
    let name: String
    let server: SSHServer
    let root: Mount
    private let directory: String

    init(_ name: String, below base: String) async throws {
        self.name = name
        directory = "\(base)/\(name)"
        root = try await Mount("\(directory)/root")
        let programs = "\(directory)/programs"
        try FileManager.default.createDirectory(atPath: programs, withIntermediateDirectories: true)
        try Self.write(Self.sftpWrapper(directory), to: "\(programs)/sftp")
        try Self.write(Self.tailWrapper(directory), to: "\(programs)/tail")
        let path = ProcessInfo.processInfo.environment["PATH"] ?? "/usr/bin:/bin"
        // A home without start-up files: what this user's shell does at a login is not to be a part of the run.
        server = try await SSHServer.start(
            sftp: .command("\(programs)/sftp"),
            configuration: ["SetEnv HOME=\(programs) PATH=\(programs):\(path)"]
        )
    }

    /// From now on, for new sessions, the SFTP server dies at each unlink: in the middle of a rename that links first.
    func dieAtUnlink(_ isOn: Bool) throws { try set("die-at-unlink", isOn) }

    /// How often it died so.
    var deathsAtUnlink: Int {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.filter { $0.hasPrefix("strace.") }.reduce(0) { count, name in
            let text = (try? String(contentsOfFile: "\(directory)/\(name)", encoding: .utf8)) ?? ""
            return count + (text.contains("killed by SIGKILL") ? 1 : 0)
        }
    }

    /// A byte of the next part is changed after it was written and before it is proven, so many times.
    func damageBeforeProof(times: Int) throws {
        for number in 0..<times { try set("damage-\(number)", true) }
    }

    /// How much of that has not happened yet.
    var damageLeft: Int {
        let names = (try? FileManager.default.contentsOfDirectory(atPath: directory)) ?? []
        return names.count { $0.hasPrefix("damage-") }
    }

    func forgetDamage() throws {
        for name in try FileManager.default.contentsOfDirectory(atPath: directory) where name.hasPrefix("damage-") {
            try? FileManager.default.removeItem(atPath: "\(directory)/\(name)")
        }
    }

    private func set(_ flag: String, _ isOn: Bool) throws {
        let path = "\(directory)/\(flag)"
        if isOn {
            try Data().write(to: URL(fileURLWithPath: path))
        } else if FileManager.default.fileExists(atPath: path) {
            try FileManager.default.removeItem(atPath: path)
        }
    }

    private static func write(_ text: String, to path: String) throws {
        try text.write(toFile: path, atomically: true, encoding: .utf8)
        try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
    }

    private static func sftpWrapper(_ directory: String) -> String {
        """
        #!/bin/sh
        server=/usr/lib/openssh/sftp-server
        if [ -e "\(directory)/die-at-unlink" ]; then
            exec strace -f -qq -o "\(directory)/strace.$$" -e trace=/^unlink -e inject=/^unlink:error=EIO:signal=KILL $server
        fi
        exec $server

        """
    }

    /// The digest helper reads parts through `tail -c +<first byte> <path>`.
    private static func tailWrapper(_ directory: String) -> String {
        """
        #!/bin/sh
        for flag in "\(directory)"/damage-*; do
            [ -e "$flag" ] && rm "$flag" 2>/dev/null || continue
            at=$((${2#+} - 1))
            byte=$(dd if="$3" bs=1 skip="$at" count=1 2>/dev/null | od -An -tu1 | tr -d ' ')
            printf "\\\\$(printf %03o $((byte ^ 255)))" | dd of="$3" bs=1 seek="$at" conv=notrunc 2>/dev/null
            break
        done
        exec /usr/bin/tail "$@"

        """
    }
}
