// docs/guarantees.md names every fault, and no other.

import Foundation
import Harness
import Testing

@testable import Chaos

@Suite struct GuaranteesTests {
    @Test func everyFaultProvesAPromise() throws {
        let text = try String(contentsOfFile: ProjectRoot.path("docs/guarantees.md"), encoding: .utf8)
        let promises = text.split(separator: "\n").filter { $0.firstMatch(of: /^[0-9]+\. \*\*/) != nil }.count
        let rows = text.split(separator: "\n").filter { $0.firstMatch(of: /^\| [0-9]+ \| `/) != nil }
        let named = rows.flatMap { $0.matches(of: /`([a-z-]+)`/).map { String($0.output.1) } }
        #expect(rows.count == promises)
        #expect(promises > 0)
        #expect(Set(named) == Set(Faults.all.map(\.name)))
    }
}
