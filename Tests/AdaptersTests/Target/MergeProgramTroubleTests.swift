// What the programs of the merge script do where something is missing or does not work: locks, room, flushing, Python.

import Core
import CoreTesting
import Foundation
import Glibc
import Harness
import Testing

@testable import Adapters

@Suite struct MergeProgramTroubleTests {
    private func everything(in place: MergePlace, by merge: RunningMerge) async throws {
        try await merge.place(0..<4)
        try await merge.end(after: 5)
        #expect(place.content == MergePlace.whole)
    }

    /// Takes the lock as another script would; closing the descriptor gives it back.
    private func takeLock(_ place: MergePlace) throws -> Int32 {
        let descriptor = open(place.path("lock"), O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        #expect(descriptor >= 0 && flock(descriptor, LOCK_EX) == 0)
        return descriptor
    }

    // MARK: Locks

    @Test(arguments: MergeShell.available) func aLockThatIsHeldIsWaitedFor(shell: MergeShell) async throws {
        let place = try MergePlace(shell)
        try place.make()
        if shell != .python { try place.add("flock") }
        let lock = try takeLock(place)
        defer { close(lock) }
        let start = ContinuousClock.now
        let merge = try place.start()
        try merge.tell(part: 0)
        try await merge.fails("busy", after: 0, within: .seconds(30))
        #expect(ContinuousClock.now - start >= .seconds(9))
        #expect(place.content?.count == 0)
    }

    @Test(arguments: MergeShell.available) func aLockThatIsGivenBackIsTaken(shell: MergeShell) async throws {
        let place = try MergePlace(shell)
        try place.make()
        if shell != .python { try place.add("flock") }
        let lock = try takeLock(place)
        let merge = try place.start()
        // It has the file open: it waits, or is about to.
        try place.write("", place.path("lock"))
        close(lock)
        try await everything(in: place, by: merge)
        // And it is gone with its owner.
        let again = try takeLock(place)
        close(again)
    }

    @Test(arguments: MergeShell.available, ["directory", "pipe", "dangling"])
    func whatCannotBeLockedIsDoneWithout(shell: MergeShell, thing: String) async throws {
        let place = try MergePlace(shell)
        try place.make()
        if shell != .python { try place.add("flock") }
        switch thing {
        case "pipe": #expect(mkfifo(place.path("lock"), 0o600) == 0)
        case "directory":
            try FileManager.default.createDirectory(atPath: place.path("lock"), withIntermediateDirectories: false)
        default:
            try FileManager.default.createSymbolicLink(
                atPath: place.path("lock"),
                withDestinationPath: "/nowhere/at/all"
            )
        }
        try await everything(in: place, by: try place.start())
    }

    @Test(arguments: MergeShell.shells) func aFileSystemWithoutLocksIsDoneWithout(shell: MergeShell) async throws {
        let place = try MergePlace(shell)
        try place.make()
        try place.replace("flock", by: "echo 'flock: 9: No locks available' >&2; exit 1")
        try await everything(in: place, by: try place.start())
    }

    /// Without flock, a directory is the lock.
    @Test(arguments: MergeShell.shells, ["", "old and not empty", "no directory", "no find, no sleep"])
    func aLockThatWasLeftHoldsNobodyUp(shell: MergeShell, state: String) async throws {
        let place = try MergePlace(shell)
        try place.make()
        let lock = place.path("lock.d")
        if state == "no directory" {
            try place.write("", lock)
        } else {
            try FileManager.default.createDirectory(atPath: lock, withIntermediateDirectories: false)
        }
        if state == "old and not empty" {
            try place.write("", lock + "/theirs")
            try FileManager.default.setAttributes(
                [.modificationDate: Date(timeIntervalSinceNow: -200)],
                ofItemAtPath: lock
            )
        }
        if state == "no find, no sleep" {
            for command in ["find", "sleep"] { try place.remove("\(place.bin)/\(command)") }
        }
        let start = ContinuousClock.now
        let merge = try place.start()
        #expect(try await merge.answer(0, within: .seconds(30)) == .begun())
        #expect((ContinuousClock.now - start < .seconds(8)) == !state.isEmpty)
        try await everything(in: place, by: merge)
        // It is nobody's now, but what is not ours stays.
        let isLeft = state == "old and not empty" || state == "no directory"
        #expect(FileManager.default.fileExists(atPath: lock) == isLeft)
    }

    @Test(arguments: MergeShell.shells) func theLockOfOneThatIsEndedIsGivenBack(shell: MergeShell) async throws {
        let place = try MergePlace(shell)
        try place.make()
        let merge = try place.start()
        try await merge.place(0..<1)
        #expect(FileManager.default.fileExists(atPath: place.path("lock.d")))
        try merge.tell("part")
        try await merge.fails("request", after: 2)
        #expect(!FileManager.default.fileExists(atPath: place.path("lock.d")))
    }

    // MARK: Room

    /// Runs a test on a small file system; not where nothing may be mounted.
    private func onFileSystem(_ options: String, _ body: (String) async throws -> Void) async throws {
        let directory = try TemporaryDirectory("small")
        let mount = ["-t", "tmpfs", "-o", options, "tmpfs", directory.path]
        guard try await ChildProcess.run("mount", mount).isSuccess else { return }
        do {
            try await body(directory.path)
        } catch {
            _ = try await ChildProcess.run("umount", ["-l", directory.path])
            throw error
        }
        #expect(try await ChildProcess.run("umount", ["-l", directory.path]).isSuccess)
    }

    @Test(arguments: MergeShell.available, [true, false])
    func noRoomForARecordIsAFullDisk(shell: MergeShell, hasFlock: Bool) async throws {
        // The root, two directories' worth of ours, the part file and four parts: nothing more can be made.
        try await onFileSystem("nr_inodes=7,size=4m") { root async throws in
            let place = try MergePlace(shell, root: root)
            if hasFlock, shell != .python { try place.add("flock") }
            try place.make()
            #expect(mkdir(place.path("more"), 0o700) == -1 && errno == ENOSPC)
            let merge = try place.start()
            #expect(try await merge.answer(0) == .begun())
            try merge.tell(part: 0)
            try await merge.fails("full", after: 1)
        }
    }

    @Test(arguments: MergeShell.available) func noRoomForAPartIsAFullDisk(shell: MergeShell) async throws {
        try await onFileSystem("size=600k") { root async throws in
            let place = try MergePlace(shell, root: root)
            try place.make()
            let merge = try place.start()
            try await merge.place(0..<2)
            try merge.tell(part: 2)
            try await merge.fails("full", after: 3)
            // What is freed is used by the next.
            try place.remove(place.path(ofPart: 0))
            let next = try place.start()
            #expect(try await next.answer(0).next == 2)
        }
    }

    @Test(
        arguments: MergeShell.shells,
        [("No space left on device", "full"), ("Disk quota exceeded", "quota"), ("Input/output error", "write")]
    )
    func theWordsOfACommandAreUnderstood(shell: MergeShell, words: (said: String, meant: String)) async throws {
        for command in ["cat", "mv", "dd"] {
            let place = try MergePlace(shell)
            try place.make()
            let merge = try place.start()
            try await merge.place(0..<1)
            try place.replace(command, by: "echo \"\(command): error writing '\\$x': \(words.said)\" >&2; exit 1")
            try merge.tell(part: 1)
            try await merge.fails(words.meant, after: 2)
        }
    }

    // MARK: Flushing

    /// What is flushed, as far as commands do it.
    @Test(arguments: MergeShell.shells) func whatCannotBeFlushedIsNotDone(shell: MergeShell) async throws {
        let place = try MergePlace(shell)
        try place.make()
        let merge = try place.start()
        try await merge.place(0..<1)
        // A sync does not help where a file's own flush tells of what is lost.
        try place.replace("sync", by: "exit 0")
        try place.replace(
            "dd",
            by: """
                case $* in *fsync*) echo "dd: fsync failed for 'standard output': Input/output error" >&2; exit 1 ;; esac
                exec /bin/dd "$@"
                """
        )
        try merge.tell(part: 1)
        try await merge.fails("write", after: 2)
        #expect(place.record == "{\"next\":1,\"size\":70000}\n")
    }

    @Test(arguments: MergeShell.shells, [true, false])
    func whereNoFileCanBeFlushedAllAre(shell: MergeShell, works: Bool) async throws {
        let place = try MergePlace(shell)
        try place.make()
        let synced = place.directory.path("synced")
        try place.replace(
            "dd",
            by: "case $* in *fsync*) echo 'dd: unknown conversion' >&2; exit 1 ;; esac\nexec /bin/dd \"$@\""
        )
        try place.replace("sync", by: works ? "echo . >>'\(synced)'" : "exit 1")
        let merge = try place.start()
        guard works else {
            try merge.tell(part: 0)
            return try await merge.fails("write", after: 1)
        }
        try await everything(in: place, by: merge)
        #expect(FileManager.default.contents(atPath: synced)?.count == 8)
    }

    @Test(arguments: MergeShell.shells) func whatNeedNotBeFlushedIsNot(shell: MergeShell) async throws {
        let place = try MergePlace(shell)
        try place.make()
        try place.replace("dd", by: "case $* in *fsync*) exit 1 ;; esac\nexec /bin/dd \"$@\"")
        try place.replace("sync", by: "exit 1")
        try await everything(in: place, by: try place.start(flushes: false))
    }

    // MARK: Python

    @Test(arguments: MergeShell.shells, ["exit 1", "exit 0", "echo Python was not found", "cat"])
    func whatIsCalledPythonAndIsNotIsLeftAlone(shell: MergeShell, stub: String) async throws {
        let place = try MergePlace(shell)
        try place.make()
        try place.replace("python3", by: stub == "cat" ? "exec /bin/cat \"$@\"" : stub)
        try await everything(in: place, by: try place.start())
    }
}
