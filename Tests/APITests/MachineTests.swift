// The pure parts: the connection's state machine, the body's rate, and the parsers of header fields.

import Core
import CoreTesting
import Foundation
import HTTPTypes
import Testing

@testable import API

struct ConnectionStateMachineTests {
    @Test func aWholeRequestKeepsTheConnection() {
        var machine = ConnectionStateMachine(lingerBytes: 100)
        #expect(machine.receivedHead(length: 10, holdsBack: false) == .forward)
        #expect(machine.expectsBody)
        #expect(!machine.isIdle)
        #expect(machine.receivedBody(10) == .forward)
        #expect(machine.receivedEnd() == .forward)
        #expect(machine.sendingHead(isStream: false) == .forward)
        #expect(machine.sendingBody() == .forward)
        #expect(machine.sendingEnd() == .forward)
        #expect(machine.isIdle && !machine.expectsBody)
    }

    @Test func aLargeRefusedBodyEndsTheConnection() {
        var machine = ConnectionStateMachine(lingerBytes: 100)
        _ = machine.receivedHead(length: 1_000_000, holdsBack: false)
        #expect(machine.sendingHead(isStream: false) == .markClose)
        #expect(machine.receivedBody(50) == .discard)
        #expect(machine.sendingEnd() == .finish)
        #expect(machine.isDiscarding)
        #expect(machine.receivedBody(100) == .discard)
        #expect(machine.receivedBody(1) == .close)
        #expect(machine.sendingHead(isStream: false) == .drop)
    }

    @Test func theEndOfTheRequestOrOfTheInputEndsTheLinger() {
        for isRequest in [true, false] {
            var machine = ConnectionStateMachine(lingerBytes: 100)
            _ = machine.receivedHead(length: nil, holdsBack: false)
            #expect(machine.sendingHead(isStream: false) == .markClose)
            #expect(machine.sendingEnd() == .finish)
            #expect((isRequest ? machine.receivedEnd() : machine.inputClosed()) == .close)
        }
    }

    @Test func aRequestThatEndsWhileItIsRefusedNeedsNoLinger() {
        var machine = ConnectionStateMachine(lingerBytes: 100)
        _ = machine.receivedHead(length: nil, holdsBack: false)
        #expect(machine.sendingHead(isStream: false) == .markClose)
        #expect(machine.receivedEnd() == .discard)
        #expect(machine.sendingEnd() == .close)
    }

    @Test func aBodyThatIsHeldBackIsWelcomedOnce() {
        var machine = ConnectionStateMachine(lingerBytes: 100)
        _ = machine.receivedHead(length: 10, holdsBack: true)
        #expect(!machine.expectsBody)
        #expect(machine.bodyIsWelcome() == true)
        #expect(machine.bodyIsWelcome() == false)
        #expect(machine.expectsBody)
        var refused = ConnectionStateMachine(lingerBytes: 100)
        _ = refused.receivedHead(length: 10, holdsBack: true)
        #expect(refused.sendingHead(isStream: false) == .markClose)
        #expect(refused.bodyIsWelcome() == false)
    }

    @Test func aStreamEndsWithItsClient() {
        var machine = ConnectionStateMachine(lingerBytes: 100)
        _ = machine.receivedHead(length: 0, holdsBack: false)
        _ = machine.receivedEnd()
        #expect(machine.sendingHead(isStream: true) == .forward)
        #expect(machine.inputClosed() == .close)
        var early = ConnectionStateMachine(lingerBytes: 100)
        _ = early.receivedHead(length: 0, holdsBack: false)
        _ = early.receivedEnd()
        #expect(early.inputClosed() == .forward)
        #expect(early.sendingHead(isStream: true) == .close)
    }

    @Test func onlyAnIdleConnectionAnswersNonsense() {
        var machine = ConnectionStateMachine(lingerBytes: 100)
        _ = machine.receivedHead(length: 0, holdsBack: false)
        #expect(machine.answersMalformedRequest() == false)
        _ = machine.receivedEnd()
        #expect(machine.answersMalformedRequest() == false)
        _ = machine.sendingHead(isStream: false)
        _ = machine.sendingEnd()
        #expect(machine.answersMalformedRequest() == true)
        #expect(machine.answersMalformedRequest() == false)
        #expect(machine.sendingEnd() == .finish)
    }
}

struct BodyRateTests {
    private func run(_ slices: [(bytes: Int, waited: Duration)]) -> Int? {
        var rate = BodyRate(minimum: 100, window: .seconds(4))
        for (index, slice) in slices.enumerated() {
            rate.received(slice.bytes)
            rate.waited(slice.waited)
            if rate.tick() { return index }
        }
        return nil
    }

    @Test func aSteadyTrickleIsTooSlow() {
        #expect(run(Array(repeating: (99, .seconds(1)), count: 10)) == 3)
        #expect(run(Array(repeating: (100, .seconds(1)), count: 10)) == nil)
    }

    @Test func aBurstCarriesOverOneWindowOnly() {
        #expect(run([(400, .seconds(1))] + Array(repeating: (0, .seconds(1)), count: 9)) == 4)
    }

    @Test func timeInWhichTheServerDidNotReadDoesNotCount() {
        #expect(run(Array(repeating: (0, .milliseconds(700)), count: 10)) == nil)
        #expect(run(Array(repeating: (0, .milliseconds(800)), count: 10)) == 3)
    }

    @Test func noMinimumMeansNone() {
        var rate = BodyRate(minimum: 0, window: .seconds(4))
        for _ in 1...10 {
            rate.waited(.seconds(1))
            #expect(rate.tick() == false)
        }
    }
}

struct HeaderFieldTests {
    private func digest(_ value: String) throws -> String? {
        var fields = HTTPFields()
        fields[.contentDigest] = value
        return try ContentDigest.sha256(in: fields)?.hex
    }

    @Test func digestsAreRead() throws {
        let digest = SHA256.digest([1, 2, 3])
        let encoded = Data(digest.bytes).base64EncodedString()
        #expect(try self.digest("sha-256=:\(encoded):") == digest.hex)
        #expect(try self.digest("sha-512=:AAAA: ,\tsha-256=:\(encoded):;a=1") == digest.hex)
        let first = Data(SHA256.digest([]).bytes).base64EncodedString()
        #expect(try self.digest("sha-256=:\(first):, sha-256=:\(encoded):") == digest.hex)
        #expect(try self.digest("md5=:AAAA:") == nil)
        #expect(try ContentDigest.sha256(in: [:]) == nil)
    }

    @Test(arguments: [
        "sha-256", "sha-256=", "sha-256=abc", "sha-256=::", "sha-256=:AAAA:", "sha-256=:!:", "sha-256=:AAAA", "=:AAAA:",
        "", ",", "SHA-256=:AAAA:", "sha-256=:AAAA:x",
    ])
    func malformedDigestsAreRefused(_ value: String) {
        #expect(throws: Problem.self) { try digest(value) }
    }

    @Test func tokensAreReadFromTheirScheme() {
        #expect(Authenticator.bearerToken("bearer abc.-_~+/==") == "abc.-_~+/==")
        for value in [
            "Bearer", "Bearer ", "Bearer a b", "Basic abc", "Bearer a=b",
            "Bearer \(String(repeating: "a", count: 513))",
        ] {
            #expect(Authenticator.bearerToken(value) == nil, "\(value)")
        }
    }

    @Test func pathsAreTakenAsTheyWereSent() throws {
        #expect(try BodyRoutes.place("/v1/files/t/a/b") == ("t", "a/b"))
        #expect(try BodyRoutes.place("/v1/files/t//a") == ("t", "/a"))
        #expect(try BodyRoutes.place("/v1/files/t/a%252e") == ("t", "a%2e"))
        #expect(throws: Problem.self) { try BodyRoutes.place("/v1/files/t/\u{FFFD}") }
    }

    @Test func routesMatchByComponents() {
        #expect(Route.putFile.matches(path: "/v1/files/t/a/b"))
        #expect(!Route.putFile.matches(path: "/v1/files/t"))
        #expect(Route.showUpload.matches(path: "/v1/uploads/x") && !Route.showUpload.matches(path: "/v1/uploads"))
    }
}
