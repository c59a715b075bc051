// URLs are read as RabbitMQ's URI specification says, and passwords stay out of texts.

import Testing

@testable import AMQP

@Suite struct AMQPConfigurationTests {
    @Test func fullURL() throws {
        let configuration = try AMQPConfiguration(url: "amqp://us%40er:p%3Aw@broker.example:1234/a%2Fb")
        #expect(configuration.user == "us@er")
        #expect(configuration.password == "p:w")
        #expect(configuration.host == "broker.example")
        #expect(configuration.port == 1_234)
        #expect(configuration.vhost == "a/b")
        #expect(configuration.tls == nil)
    }

    @Test func defaults() throws {
        let plain = try AMQPConfiguration(url: "amqp://h")
        #expect(plain.port == 5_672)
        #expect(plain.vhost == "/")
        #expect(plain.user == "guest")
        let secure = try AMQPConfiguration(url: "amqps://h/")
        #expect(secure.port == 5_671)
        #expect(secure.vhost == "/")
        #expect(secure.tls?.verify == true)
        #expect(try AMQPConfiguration(url: "amqp://[::1]:99/v").host == "::1")
    }

    @Test func separatePasswordWins() throws {
        let configuration = try AMQPConfiguration(url: "amqp://u:one@h/v", password: "two")
        #expect(configuration.password == "two")
    }

    @Test(arguments: [
        "", "h:5672", "http://h", "amqp://", "amqp://:1", "amqp://h:0", "amqp://h:65536", "amqp://h:x",
        "amqp://h/v?x=1",
        "amqp://h/%zz", "amqp://h/%2", "amqp://[::1", "amqp://[::1]x", "amqp://u%00@h", "amqp://h/%ff",
    ])
    func badURLs(url: String) {
        #expect(throws: AMQPConfigurationError.self) { try AMQPConfiguration(url: url) }
    }

    @Test func noPasswordInTexts() throws {
        let configuration = try AMQPConfiguration(url: "amqp://u:secret@h/v")
        var dumped = ""
        dump(configuration, to: &dumped)
        for text in ["\(configuration)", String(reflecting: configuration), dumped] {
            #expect(!text.contains("secret"))
            #expect(text.contains("u@h"))
        }
    }

    @Test func backoffGrowsAndStaysWithinItsBounds() {
        var backoff = Backoff()
        let longest = (0..<12).map { _ in backoff.next(random: 1) }
        #expect(longest.first == .milliseconds(100))
        #expect(longest.last == .seconds(5))
        #expect(zip(longest, longest.dropFirst()).allSatisfy { $0 <= $1 })
        backoff.reset()
        #expect(backoff.next(random: 0) == .milliseconds(50))
    }

    @Test func whatDoesNotFitTheWireIsRefusedBeforeItIsSent() {
        let long = String(repeating: "x", count: 256)
        #expect(throws: AMQPError.self) { try AMQPTopology(queues: [.init(name: long)]).validate() }
        #expect(throws: AMQPError.self) { try AMQPMessage(body: [], messageID: long).validate(sizeLimit: 1) }
        #expect(throws: AMQPError.self) { try AMQPMessage(body: [1, 2]).validate(sizeLimit: 1) }
        let big: AMQPTable = ["a": .string(String(repeating: "x", count: 70_000))]
        #expect(throws: AMQPError.self) { try AMQPMessage(body: [], headers: big).validate(sizeLimit: 1) }
        #expect(throws: AMQPError.self) {
            try AMQPMessage(body: [], headers: ["a": .table([long: true])]).validate(sizeLimit: 1)
        }
    }
}
