// Declarations and inspections take turns on their channel, and a refusal hurts only its own.

import Testing

@testable import AMQP

@Suite struct ControlChannelTests {
    private func inspect(_ queue: String) -> (ControlChannel.Operation, Ticket<QueueDepth?>) {
        let ticket = Ticket<QueueDepth?>()
        return (ControlChannel.Operation(steps: [.inspect(queue: queue)], ticket: ticket), ticket)
    }

    private func ready() -> ControlChannel {
        var control = ControlChannel()
        let (first, _) = inspect("warm-up")
        control.add(first)
        #expect(control.next() == .open(channel: 2))
        #expect(control.next() == nil)
        _ = control.receive(.channelOpenOk)
        #expect(control.next() == .send(.inspect(queue: "warm-up"), channel: 2))
        _ = control.receive(.queueDeclareOk(name: "warm-up", messages: 0, consumers: 0))
        return control
    }

    @Test func oneAtATime() async throws {
        var control = ready()
        let (first, firstTicket) = inspect("a")
        let (second, secondTicket) = inspect("b")
        control.add(first)
        control.add(second)
        #expect(control.next() == .send(.inspect(queue: "a"), channel: 2))
        #expect(control.next() == nil)
        _ = control.receive(.queueDeclareOk(name: "a", messages: 3, consumers: 1))
        #expect(control.next() == .send(.inspect(queue: "b"), channel: 2))
        #expect(try await firstTicket.value() == QueueDepth(messages: 3, consumers: 1))
        #expect(!secondTicket.isFinished)
    }

    @Test func missingQueueIsAnAnswerAndTheChannelIsOpenedAgain() async throws {
        var control = ready()
        let (first, ticket) = inspect("a")
        let (second, _) = inspect("b")
        control.add(first)
        control.add(second)
        _ = control.next()
        #expect(control.receive(.channelClose(code: 404, text: "NOT_FOUND")) == .acceptClose(channel: 2))
        #expect(try await ticket.value() == nil)
        #expect(control.next() == .open(channel: 2))
        _ = control.receive(.channelOpenOk)
        #expect(control.next() == .send(.inspect(queue: "b"), channel: 2))
    }

    @Test func refusedDeclarationFailsAlone() async throws {
        var control = ready()
        let ticket = Ticket<QueueDepth?>()
        let queue = AMQPTopology.Queue(name: "q")
        control.add(ControlChannel.Operation(steps: [.queue(queue), .queue(queue)], ticket: ticket))
        _ = control.next()
        _ = control.receive(.channelClose(code: 406, text: "PRECONDITION_FAILED"))
        await #expect(throws: AMQPError.channelClosed(code: 406, text: "PRECONDITION_FAILED")) {
            try await ticket.value()
        }
        #expect(control.next() == nil)
    }

    @Test func anUnansweredChannelIsLeftBehind() {
        var control = ready()
        let (first, ticket) = inspect("a")
        let (second, _) = inspect("b")
        control.add(first)
        control.add(second)
        _ = control.next()
        ticket.finish(.failure(.timedOut("inspect")))
        #expect(control.next() == .open(channel: 3))
    }

    @Test func lossFailsAll() async {
        var control = ready()
        let (operation, ticket) = inspect("a")
        control.add(operation)
        control.lost(.connectionClosed("gone"))
        await #expect(throws: AMQPError.connectionClosed("gone")) { try await ticket.value() }
        #expect(control.next() == nil)
    }
}
