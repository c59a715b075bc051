// ConnectionGuard: the channel handler that keeps clients from holding a connection by sending or reading too slowly,
// or from sending what was refused; that asks for bodies that are held back, and hands large ones on piece by piece.

import Core
import HTTPTypes
import NIOCore
import NIOHTTP1
import NIOHTTPTypes

/// Sits between the HTTP codec and Hummingbird's own handlers. Belongs to the channel's event loop.
final class ConnectionGuard: ChannelDuplexHandler, RemovableChannelHandler {
    typealias InboundIn = HTTPRequestPart
    typealias InboundOut = HTTPRequestPart
    typealias OutboundIn = HTTPResponsePart
    typealias OutboundOut = HTTPResponsePart

    /// From how many bytes on a piece of a body is handed on by itself.
    private static let largePiece = 131_072

    private let limits: ServerLimits
    private var state: ConnectionStateMachine
    private var rate: BodyRate
    private var waitingSince: NIODeadline?
    private var rateTask: Scheduled<Void>?
    private var closeTask: Scheduled<Void>?
    private var stallTask: Scheduled<Void>?

    init(limits: ServerLimits) {
        self.limits = limits
        state = ConnectionStateMachine(lingerBytes: limits.lingerBytes)
        rate = BodyRate(minimum: limits.minimumRate, window: limits.rateWindow)
    }

    // MARK: In

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let action: ConnectionStateMachine.Inbound
        switch unwrapInboundIn(data) {
        case .head(let head):
            let length = head.headerFields[values: .contentLength].first.flatMap { Int64($0) }
            let isChunked = head.headerFields[.transferEncoding] != nil
            let holdsBack = head.headerFields[.expect]?.lowercased() == "100-continue"
            action = state.receivedHead(length: length ?? (isChunked ? nil : 0), holdsBack: holdsBack)
            if action == .forward, isChunked || (length ?? 0) > 0 { watchRate(context) }
        case .body(let buffer):
            rate.received(buffer.readableBytes)
            action = state.receivedBody(buffer.readableBytes)
        case .end:
            stopWatchingRate()
            action = state.receivedEnd()
        }
        switch action {
        case .forward:
            context.fireChannelRead(data)
            // Whoever awaits it has work for a while; the next read need not be over before that begins.
            if case .body(let buffer) = unwrapInboundIn(data), buffer.readableBytes >= Self.largePiece {
                context.fireChannelReadComplete()
            }
        case .discard: break
        case .close: context.close(promise: nil)
        }
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        countWaiting()
        waitingSince = nil
        context.fireChannelReadComplete()
        // Whoever read for the request has stopped; the rest is read only to be thrown away.
        if state.isDiscarding { context.read() }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        let isMalformed =
            error is HTTPParserError || String(reflecting: type(of: error)).hasPrefix("NIOHTTPTypesHTTP1.")
        if state.isDiscarding { return }
        guard isMalformed, context.channel.isActive, state.answersMalformedRequest() else {
            state.bodyFailed()
            context.fireErrorCaught(error)
            return
        }
        answerMalformedRequest(context, error)
    }

    func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
        if case ChannelEvent.inputClosed? = event as? ChannelEvent, state.inputClosed() == .close {
            context.close(promise: nil)
            return
        }
        context.fireUserInboundEventTriggered(event)
    }

    func channelWritabilityChanged(context: ChannelHandlerContext) {
        stallTask?.cancel()
        stallTask = nil
        if !context.channel.isWritable {
            // A reader that takes nothing for so long is gone, or wishes harm.
            stallTask = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(limits.idleTimeout)) {
                context.close(promise: nil)
            }
        }
        context.fireChannelWritabilityChanged()
    }

    func channelInactive(context: ChannelHandlerContext) {
        cancelTasks()
        context.fireChannelInactive()
    }

    func handlerRemoved(context: ChannelHandlerContext) { cancelTasks() }

    // MARK: Out

    func read(context: ChannelHandlerContext) {
        if waitingSince == nil { waitingSince = .now() }
        context.read()
    }

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        switch unwrapOutboundIn(data) {
        case .head(var head):
            let isStream = head.headerFields[.contentType]?.hasPrefix("text/event-stream") ?? false
            switch state.sendingHead(isStream: isStream) {
            case .forward, .finish:
                context.write(data, promise: promise)
            case .markClose:
                head.headerFields[.connection] = "close"
                context.write(wrapOutboundOut(.head(head)), promise: promise)
            case .close:
                promise?.fail(ChannelError.outputClosed)
                context.close(promise: nil)
            case .drop:
                promise?.fail(ChannelError.outputClosed)
            }
        case .body:
            if state.sendingBody() == .forward {
                context.write(data, promise: promise)
            } else {
                promise?.fail(ChannelError.outputClosed)
            }
        case .end:
            switch state.sendingEnd() {
            case .forward, .markClose: context.write(data, promise: promise)
            case .finish: finish(context, data, promise)
            case .close: writeLast(context, data, promise) { $0.close(promise: nil) }
            case .drop: promise?.fail(ChannelError.outputClosed)
            }
        }
    }

    func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
        guard event is BodyWelcome else {
            context.triggerUserOutboundEvent(event, promise: promise)
            return
        }
        if state.bodyIsWelcome() {
            rate.reset()
            if waitingSince != nil { waitingSince = .now() }
            context.writeAndFlush(wrapOutboundOut(.head(HTTPResponse(status: .continue))), promise: nil)
        }
        promise?.succeed(())
    }

    // MARK: Ending

    /// Writes the last bytes, ends the output, and lets the client send on for a bounded time.
    private func finish(_ context: ChannelHandlerContext, _ data: NIOAny, _ promise: EventLoopPromise<Void>?) {
        stopWatchingRate()
        closeTask = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(limits.lingerTime)) {
            context.close(promise: nil)
        }
        writeLast(context, data, promise) { $0.close(mode: .output, promise: nil) }
        context.read()
    }

    private func writeLast(
        _ context: ChannelHandlerContext,
        _ data: NIOAny,
        _ promise: EventLoopPromise<Void>?,
        then end: @escaping (ChannelHandlerContext) -> Void
    ) {
        let written = promise ?? context.eventLoop.makePromise()
        written.futureResult.assumeIsolated().whenComplete { _ in end(context) }
        context.writeAndFlush(data, promise: written)
    }

    /// Nothing above could answer: there is no request. The answer has the same form as every other.
    private func answerMalformedRequest(_ context: ChannelHandlerContext, _ error: any Error) {
        let isTooLarge = error as? HTTPParserError == .headerOverflow
        let problem =
            isTooLarge
            ? Problem(.headerTooLarge, "the header fields are larger than is accepted here")
            : Problem(.malformedRequest, "the bytes are not an HTTP/1.1 request")
        let body = (try? JSON.encode(problem)) ?? ByteBuffer()
        let head = HTTPResponse(
            status: problem.type.status,
            headerFields: [
                .connection: "close", .contentType: "application/problem+json",
                .contentLength: String(body.readableBytes), .requestID: RequestIdentifier.make(),
            ]
        )
        context.write(wrapOutboundOut(.head(head)), promise: nil)
        context.write(wrapOutboundOut(.body(body)), promise: nil)
        let end = wrapOutboundOut(.end(nil))
        switch state.sendingEnd() {
        case .close: writeLast(context, end, nil) { $0.close(promise: nil) }
        default: finish(context, end, nil)
        }
    }

    // MARK: Rate

    private func watchRate(_ context: ChannelHandlerContext) {
        guard limits.minimumRate > 0, rateTask == nil else { return }
        rate.reset()
        scheduleRateTick(context)
    }

    private func scheduleRateTick(_ context: ChannelHandlerContext) {
        rateTask = context.eventLoop.assumeIsolated().scheduleTask(in: TimeAmount(rate.slice)) {
            self.countWaiting()
            guard self.rate.tick(), self.state.expectsBody, !self.state.isDiscarding else {
                self.scheduleRateTick(context)
                return
            }
            self.rateTask = nil
            self.state.bodyFailed()
            context.fireErrorCaught(BodyTooSlow())
        }
    }

    private func stopWatchingRate() {
        rateTask?.cancel()
        rateTask = nil
    }

    /// Counts the time since the server began to wait, if the client is to send.
    private func countWaiting() {
        guard let since = waitingSince else { return }
        let now = NIODeadline.now()
        if state.expectsBody { rate.waited(.nanoseconds((now - since).nanoseconds)) }
        waitingSince = now
    }

    private func cancelTasks() {
        stopWatchingRate()
        closeTask?.cancel()
        stallTask?.cancel()
        closeTask = nil
        stallTask = nil
    }
}

@available(*, unavailable)
extension ConnectionGuard: Sendable {}
