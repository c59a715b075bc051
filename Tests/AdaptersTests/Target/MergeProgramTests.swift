// What the programs of the merge script must do under every shell: only a part's bytes to its place, in the file that
// they began with, whatever they find and whoever meddles.

import Core
import CoreTesting
import Foundation
import Glibc
import Harness
import Testing

@testable import Adapters

/// What is done to the part file between two parts.
enum PartFileTrouble: Hashable, Sendable, CaseIterable {
    case removed, replaced, committed, linked, directoryRemoved, directoryReplaced
}

@Suite struct MergeProgramTests {
    private static let hostile = ".it's a \"$(film)\" `ls` \\ * ; é.part"

    // MARK: In order

    @Test(arguments: MergeShell.available, [true, false])
    func partsComeTogether(shell: MergeShell, flushes: Bool) async throws {
        let place = try MergePlace(shell, name: Self.hostile)
        try place.make()
        let merge = try place.start(flushes: flushes)
        #expect(try await merge.answer(0) == .begun())
        try await merge.place(0..<4)
        try await merge.end(after: 5)
        #expect(place.content == MergePlace.whole)
        #expect(place.record == "{\"next\":4,\"size\":374099}\n")
        #expect(try place.names == [Self.hostile, Self.hostile + "s"])
        let left = try FileManager.default.contentsOfDirectory(atPath: place.parts)
        #expect(left.allSatisfy(PartsDirectory.isOwn), "\(left)")
    }

    @Test(arguments: MergeShell.shells) func theyDoWithoutTheNamesThatLinuxHas(shell: MergeShell) async throws {
        let place = try MergePlace(shell, name: Self.hostile)
        try place.make()
        let merge = try place.start(hidesProc: true)
        try await merge.place(0..<4)
        try await merge.end(after: 5)
        #expect(place.content == MergePlace.whole)
    }

    @Test(arguments: MergeShell.available) func itGoesOnWhereTheRecordSays(shell: MergeShell) async throws {
        let place = try MergePlace(shell)
        // What lies before is not touched, nor what lies behind.
        let before = Bytes([UInt8](repeating: 7, count: 380_000))
        try place.make(before)
        try place.write("{\"next\":2,\"size\":70001}\n", place.path("record"))
        let merge = try place.start()
        #expect(try await merge.answer(0) == .begun(length: 380_000, next: 2, size: 70_001))
        try await merge.place(2..<4)
        try await merge.end(after: 3)
        let whole = MergePlace.whole.array
        #expect(place.content == Bytes(before.array[..<70_001] + whole[70_001...] + before.array[whole.count...]))
        #expect(place.record == "{\"next\":4,\"size\":374099}\n")
    }

    // MARK: What they find

    @Test(
        arguments: MergeShell.available,
        [
            "", "{", #"{"next":007,"size":1}"#, #"{"next":1,"size":01}"#, #"{"next":1e999,"size":1}"#,
            #"{"next":12345678901234567890,"size":1}"#, #"{"next":1,"size":99999999999999999999}"#,
            #"{"next":-1,"size":1}"#, #"{"next":1.5,"size":1}"#, #"{"next":"1","size":1}"#, #"{"next":true,"size":1}"#,
            #"{"next":1,"size":}"#, "[1,2]", "{\"next\":1,\"size\":1}\n{\"next\":2,\"size\":2}\n", "{\"next\":1,\n\"si",
            String(repeating: "[", count: 4_000), "\u{0}", "é", #"{"next":$(date),"size":1}"#,
            #"{"next":1,"size":1}"# + String(repeating: " ", count: 5_000) + "x",
        ]
    )
    func aRecordThatIsNoneSaysNothing(shell: MergeShell, record: String) async throws {
        let place = try MergePlace(shell)
        try place.make(Bytes([1, 2]))
        try place.write(record, place.path("record"))
        let merge = try place.start()
        #expect(try await merge.answer(0) == .begun(length: 2))
        try await merge.place(0..<1)
        try await merge.end(after: 2)
        #expect(place.record == "{\"next\":1,\"size\":70000}\n")
    }

    @Test(arguments: MergeShell.available, ["record", "record.new"].flatMap { [($0, true), ($0, false)] })
    func whatOnlyBearsTheRecordsNameIsNotWaitedFor(shell: MergeShell, thing: (name: String, isPipe: Bool)) async throws
    {
        let place = try MergePlace(shell)
        try place.make()
        let theirs = place.directory.path("theirs")
        try place.write(#"{"next":1,"size":1}"#, theirs)
        if thing.isPipe {
            #expect(mkfifo(place.path(thing.name), 0o600) == 0)
        } else {
            try FileManager.default.createSymbolicLink(atPath: place.path(thing.name), withDestinationPath: theirs)
        }
        let merge = try place.start()
        #expect(try await merge.answer(0) == .begun())
        try await merge.place(0..<2)
        try await merge.end(after: 3)
        #expect(place.record == "{\"next\":2,\"size\":70001}\n")
        #expect(FileManager.default.contents(atPath: theirs) == Data(#"{"next":1,"size":1}"#.utf8))
    }

    @Test(
        arguments: MergeShell.available,
        [
            "", "port 0 0 1 a 1", "part", "part 0 0 70000 a", "part 0 0 70000 ../a 70000", "part 0 x 70000 a 70000",
            "part 0 0 70000 a 70000 1", "part 08 0 70000 a 70000", "part 0 0 -1 a 70000",
            "part 0 0 99999999999999999999 a 70000", "part 0 0 1 $(date) 1", "part é 0 1 a 1",
        ]
    )
    func whatIsNoRequestIsRefused(shell: MergeShell, line: String) async throws {
        let place = try MergePlace(shell)
        try place.make()
        let merge = try place.start()
        try merge.tell(line)
        try await merge.fails("request", after: 1)
        #expect(place.content?.count == 0)
    }

    @Test(arguments: MergeShell.shells) func aPartThatLiesElsewhereIsRefused(shell: MergeShell) async throws {
        let place = try MergePlace(shell)
        try place.make()
        let merge = try place.start()
        try await merge.place(0..<1)
        try merge.tell(part: 2)
        try await merge.fails("request", after: 2)
        #expect(place.content?.count == 70_000)
    }

    @Test(arguments: MergeShell.available, ["nothing", "link", "pipe", "directory"])
    func whatIsNoPartFileIsNotMadeOne(shell: MergeShell, found: String) async throws {
        let place = try MergePlace(shell)
        try place.make()
        try place.remove(place.part)
        let theirs = place.directory.path("theirs")
        try place.write("theirs", theirs)
        switch found {
        case "link": try FileManager.default.createSymbolicLink(atPath: place.part, withDestinationPath: theirs)
        case "pipe": #expect(mkfifo(place.part, 0o600) == 0)
        case "directory":
            try FileManager.default.createDirectory(atPath: place.part, withIntermediateDirectories: false)
        default: break
        }
        let names = try place.names
        try await place.start().fails("lost", after: 0)
        #expect(try place.names == names)
        #expect(FileManager.default.contents(atPath: theirs) == Data("theirs".utf8))
    }

    @Test(arguments: MergeShell.available) func withoutTheDirectoryThereIsNoGeneration(shell: MergeShell) async throws {
        let place = try MergePlace(shell)
        try place.make(Bytes([1]))
        try place.remove(place.parts)
        try await place.start().fails("lost", after: 0)
        #expect(place.content == Bytes([1]))
    }

    @Test(arguments: MergeShell.available, ["gone", "short", "long", "link", "pipe"])
    func aPartThatIsNotThereIsLost(shell: MergeShell, part: String) async throws {
        let place = try MergePlace(shell)
        try place.make()
        let path = place.path(ofPart: 1)
        try place.remove(path)
        switch part {
        case "short": try place.write("", path)
        case "long": try place.write("two", path)
        case "link":
            try FileManager.default.createSymbolicLink(atPath: path, withDestinationPath: place.path(ofPart: 0))
        case "pipe": #expect(mkfifo(path, 0o600) == 0)
        default: break
        }
        let merge = try place.start()
        try await merge.place(0..<1)
        try merge.tell(part: 1)
        try await merge.fails("lost", after: 2)
        #expect(place.content?.count == 70_000)
    }

    // MARK: What happens meanwhile

    @Test(arguments: MergeShell.available, PartFileTrouble.allCases)
    func whoComesLateTouchesNothing(shell: MergeShell, trouble: PartFileTrouble) async throws {
        let place = try MergePlace(shell)
        try place.make()
        let merge = try place.start()
        try await merge.place(0..<2)
        let manager = FileManager.default
        let (theirs, final) = (Bytes.seeded(9, count: 70_001), place.directory.path("root/film.mov"))
        switch trouble {
        case .removed: try place.remove(place.part)
        case .replaced:
            // Under another inode, as long as the old one is there.
            try place.write(theirs, final)
            try manager.moveItem(atPath: place.part, toPath: place.directory.path("old"))
            try manager.moveItem(atPath: final, toPath: place.part)
        case .committed: try manager.moveItem(atPath: place.part, toPath: final)
        case .linked:
            try manager.moveItem(atPath: place.part, toPath: final)
            try manager.createSymbolicLink(atPath: place.part, withDestinationPath: final)
        case .directoryRemoved: try place.remove(place.parts)
        case .directoryReplaced:
            try manager.moveItem(atPath: place.parts, toPath: place.directory.path("old"))
            try place.make(Bytes(MergePlace.whole.array.prefix(70_001)))
        }
        let names = try place.names
        try merge.tell(part: 2)
        try await merge.fails("lost", after: 3)
        #expect(try place.names == names)
        switch trouble {
        case .removed: #expect(place.content == nil)
        case .replaced: #expect(place.content == theirs)
        case .committed: #expect(manager.contents(atPath: final)?.count == 70_001)
        case .linked, .directoryRemoved, .directoryReplaced: #expect(place.content?.count == 70_001)
        }
    }

    @Test(arguments: MergeShell.shells, [true, false])
    func aPartFileThatGoesWhenItIsOpenedIsNotMadeAnew(shell: MergeShell, goesWhole: Bool) async throws {
        for hidesProc in [true, false] {
            let place = try MergePlace(shell)
            try place.make()
            // Between a look at the names and the opening.
            let removal = goesWhole ? "/bin/rm -rf '\(place.part)' '\(place.parts)'" : "/bin/rm -f '\(place.part)'"
            try place.replace("ls", by: "/bin/ls \"$@\"\n\(removal)")
            try await place.start(hidesProc: hidesProc).fails("lost", after: 0)
            #expect(try place.names == (goesWhole ? [] : [".ferry-1.parts"]))
        }
    }

    @Test(arguments: MergeShell.available) func twoAtOnceMakeOneFile(shell: MergeShell) async throws {
        let place = try MergePlace(shell)
        try place.make()
        // What is no file cannot be locked.
        try FileManager.default.createDirectory(atPath: place.path("lock"), withIntermediateDirectories: false)
        try place.write("", place.path("lock.d"))
        let (first, second) = (try place.start(), try place.start())
        #expect(try await first.answer(0) == .begun())
        #expect(try await second.answer(0) == .begun())
        try await first.place(0..<2)
        // Both at the same parts, without waiting for one another.
        for index in 0..<4 { try second.tell(part: index) }
        for index in 2..<4 { try first.tell(part: index) }
        for index in 0..<4 { #expect(try await second.answer(index + 1).next == Int64(index + 1)) }
        for index in 2..<4 { #expect(try await first.answer(index + 1).next == Int64(index + 1)) }
        try await first.end(after: 5)
        try await second.end(after: 5)
        #expect(place.content == MergePlace.whole)
        #expect(place.record == "{\"next\":4,\"size\":374099}\n")
        #expect(!FileManager.default.fileExists(atPath: place.path("record.new")))
    }
}
