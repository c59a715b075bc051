// Which names a power cut takes away, from traces as strace writes them.

import Testing

@testable import Chaos

@Suite struct FlushLogTests {
    private static let root = "/s"

    private func lost(_ lines: String...) -> [String] {
        FlushLog(lines.joined(separator: "\n")).lost(below: Self.root) { path in
            path.hasSuffix("parts/0") ? ["8-ab"] : nil
        }
    }

    private static let file = "11 fsync(7</s/aa/tmp/x/8-ab>) = 0"
    private static let name = #"11 renameat(5</s/aa/tmp>, "x", 6</s/aa/parts>, "0") = 0"#
    private static let parent = "12 fsync(6</s/aa/parts>) = 0"

    @Test func whatIsFlushedInOrderStays() {
        #expect(lost(Self.file, Self.name, Self.parent).isEmpty)
    }

    @Test func bytesOrANameThatWereNotFlushedAreLost() {
        #expect(lost(Self.name, Self.parent) == ["/s/aa/parts/0"])
        #expect(lost(Self.file, Self.name) == ["/s/aa/parts/0"])
        #expect(lost(Self.file, Self.parent, Self.name) == ["/s/aa/parts/0"])
        #expect(lost(Self.file, Self.name, "12 fsync(6</s/aa/parts>) = -1 EIO (Input/output error)").count == 1)
        #expect(lost(Self.file, Self.name, "12 fsync(6</s/aa/parts> <unfinished ...>").count == 1)
    }

    @Test func aCallThatAnotherLineInterruptsCountsWhenItReturns() {
        let half = "12 fsync(6</s/aa/parts> <unfinished ...>"
        #expect(lost(Self.file, Self.name, half, "11 fsync(9</t>) = 0", "12 <... fsync resumed>) = 0").isEmpty)
        #expect(lost(Self.file, half, Self.name, "12 <... fsync resumed>) = 0").isEmpty)
    }

    @Test func aMarkerIsAFile() {
        let link = #"11 linkat(5</s/aa/tmp>, "m", 6</s/aa>, "complete", 0) = 0"#
        let home = "11 fsync(6</s/aa>) = 0"
        #expect(lost("11 fsync(7</s/aa/tmp/m>) = 0", link, home).isEmpty)
        #expect(lost(link, home) == ["/s/aa/complete"])
    }

    @Test func whatComesIntoADirectoryLaterIsANameOfItsOwn() {
        let record = "11 fsync(7</s/aa/.u.1/upload.json>) = 0"
        let home = [record, #"11 renameat(5</s/aa>, ".u.1", 5</s/aa>, "u") = 0"#, "11 fsync(5</s/aa>) = 0"]
        let marker = [
            "11 fsync(8</s/aa/u/tmp/m>) = 0", #"11 linkat(9</s/aa/u/tmp>, "m", 6</s/aa/u>, "complete", 0) = 0"#,
        ]
        func lost(_ lines: [String]) -> [String] {
            FlushLog(lines.joined(separator: "\n")).lost(below: Self.root) { path in
                path.hasSuffix("/u") ? ["upload.json", "complete"] : nil
            }
        }
        // The marker of an upload whose clients were not answered yet takes no more along than itself.
        #expect(lost(home + marker) == ["/s/aa/u/complete"])
        #expect(lost(home + marker + ["11 fsync(6</s/aa/u>) = 0"]).isEmpty)
        #expect(lost(Array(home.dropFirst()) + marker + ["11 fsync(6</s/aa/u>) = 0"]) == ["/s/aa/u"])
    }

    @Test func otherPlacesDoNotCount() {
        #expect(lost(#"11 rename("/elsewhere/a", "/elsewhere/b") = 0"#).isEmpty)
        #expect(lost(#"11 rename("/s/a", "/s/b") = 0"#) == ["/s/b"])
    }
}
