// Strangers, owners and workers that meet at a commit.

import Foundation
import Glibc
import Harness

/// A stranger's file is at the path when the rename comes.
struct StrangerCreates: Fault {
    let name = "stranger-creates"
    let words = "a stranger creates the final file between beginCommit and rename; removed, then replayed"

    func inject(_ scene: Scene) async throws {
        var upload = scene.plan(parts: 2)
        upload.tolerated = [Stranger.digest]
        let (identifier, caught) = try await scene.caught(upload, .after, "commit")
        try Stranger.write(scene.onTarget(upload))
        try scene.fleet.member(caught.owner).index.release(caught.hold)
        try await scene.wait(identifier, for: "failed")
        guard FileManager.default.contents(atPath: scene.onTarget(upload)) == Stranger.content else {
            throw HarnessError("the stranger's file was touched")
        }
        try FileManager.default.removeItem(atPath: scene.onTarget(upload))
    }
}

/// A stranger replaces or removes the file just after the rename, and the worker dies before it can tell.
struct StrangerInterferes: Fault {
    let removes: Bool
    var name: String { removes ? "stranger-removes" : "stranger-replaces" }
    var words: String {
        "a stranger \(removes ? "removes" : "replaces") the final file between rename and record, the worker dies; "
            + "a person clears it up and replays"
    }

    func inject(_ scene: Scene) async throws {
        var upload = scene.plan(parts: 2)
        upload.tolerated = [Stranger.digest]
        let (identifier, caught) = try await scene.caught(upload, .before, "finish")
        let path = scene.onTarget(upload)
        try FileManager.default.removeItem(atPath: path)
        if !removes { try Stranger.write(path) }
        let member = try scene.fleet.member(caught.owner)
        try await member.kill()
        try member.start()
        try await scene.wait(identifier, for: "failed", within: .seconds(45))
        let error = try await scene.state(identifier).json["error"] as? [String: Any]
        scene.note("reason \(error?["reason"] as? String ?? "none")")
        if !removes { try FileManager.default.removeItem(atPath: path) }
    }
}

/// A stranger touches the file right after the commit: that is outside the guarantee, but nothing else may suffer.
struct StrangerAfterCommit: Fault {
    let name = "stranger-after-commit"
    let words = "a stranger replaces one and removes another file right after the commit; nothing is delivered again"

    func inject(_ scene: Scene) async throws {
        for removes in [true, false] {
            var upload = scene.plan(parts: 2)
            upload.isStrangers = true
            let (identifier, caught) = try await scene.caught(upload, .before, "finish")
            let path = scene.onTarget(upload)
            try FileManager.default.removeItem(atPath: path)
            if !removes { try Stranger.write(path) }
            try scene.fleet.member(caught.owner).index.release(caught.hold)
            try await scene.wait(identifier, for: "done")
            let expected = removes ? nil : Stranger.content
            guard FileManager.default.contents(atPath: path) == expected else {
                throw HarnessError("the stranger's doing was undone")
            }
        }
    }
}

/// Cancels at every moment around the commit.
struct CancelRacesCommit: Fault {
    let name = "cancel-races-commit"
    let words = "uploads cancelled at every moment around their commit: gone or delivered, as was answered"
    let load = LoadShape(cancelShare: 0)

    func inject(_ scene: Scene) async throws {
        await withTaskGroup(of: Void.self) { group in
            for number in 0..<16 {
                var upload = scene.plan(parts: 1 + number % 2)
                upload.cancel = .afterAcknowledgement(number * scene.draw(5...25))
                group.addTask { [upload] in await scene.send(upload) }
            }
        }
        // And exactly between beginCommit and rename, where it must be too late.
        let upload = scene.plan(parts: 1)
        let (_, caught) = try await scene.caught(upload, .after, "commit")
        try await scene.sender.cancel(upload, scene.client(upload))
        try scene.fleet.member(caught.owner).index.release(caught.hold)
        guard scene.ledger.promise(upload.number)?.cancel == .refused else {
            throw HarnessError("a cancel was accepted after beginCommit")
        }
    }
}

/// The path that a cancelled upload held is taken by another owner at once.
struct SamePathAfterCancel: Fault {
    let name = "same-path-after-cancel"
    let words = "six paths taken by another owner right after a cancel, with a slow worker on the old upload"

    func inject(_ scene: Scene) async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 0..<6 {
                var first = scene.plan(parts: 3)
                let second = scene.plan(parts: 2, path: first.path, owner: .bob)
                first.tolerated = [Digest.sha256Hex(second.bytes)]
                let isComplete = number % 2 == 0
                group.addTask { [first] in
                    let identifier = try await scene.begin(first)
                    if isComplete { try? await scene.complete(first, identifier) }
                    try await scene.sender.cancel(first, scene.client(first))
                    // Refused: the first is delivered, and the second must find the path taken.
                    guard scene.ledger.promise(first.number)?.cancel == .accepted else { return }
                    await scene.send(second)
                }
            }
            try await group.waitForAll()
        }
    }
}

/// Two workers go through the same commit at once.
struct TwoMergers: Fault {
    let name = "two-mergers"
    let words = "two workers merge the same upload at once: one held after beginCommit, its lease taken away"

    func inject(_ scene: Scene) async throws {
        for _ in 0..<3 {
            let upload = scene.plan(parts: 2)
            let identifier = try await scene.begin(upload)
            let trap = scene.fleet.trap("commit", .after, on: scene.fleet.workers, of: identifier)
            let second = scene.fleet.trap("finish", .before, on: scene.fleet.workers, of: identifier)
            try await scene.complete(upload, identifier)
            let first = try await trap.next()
            _ = try await scene.fleet.redis.cli("DEL", "ferry:lease:\(identifier)")
            let job = Fleet.job("merge", identifier)
            try await scene.fleet.publish([job, job, job], to: "merge.\(upload.target)")
            // Another one has renamed and is about to say so; now the first goes on.
            let other = try await second.next()
            try scene.fleet.member(first.owner).index.release(first.hold)
            try await scene.pause(20...200)
            try scene.fleet.member(other.owner).index.release(other.hold)
            try await scene.wait(identifier, for: "done")
        }
    }
}

/// What strangers write.
enum Stranger {
    static let content = Data("not Ferry's\n".utf8)
    static let digest = Digest.sha256Hex(content)

    /// In one step, so that nobody who watches takes half of it for something else.
    static func write(_ path: String) throws {
        let place = URL(fileURLWithPath: path)
        let aside = place.deletingLastPathComponent().appending(path: ".stranger-\(place.lastPathComponent)")
        try content.write(to: aside)
        guard rename(aside.path, path) == 0 else { throw HarnessError("\(path) cannot be written") }
    }
}

extension Faults {
    static let commit: [any Fault] = [
        StrangerCreates(), StrangerInterferes(removes: false), StrangerInterferes(removes: true),
        StrangerAfterCommit(), CancelRacesCommit(), SamePathAfterCancel(), TwoMergers(),
    ]
}
