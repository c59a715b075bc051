// The frames a client sends.

internal import CRabbitMQ

extension Connection {
    private func send<Request: BitwiseCopyable>(
        _ channel: UInt16,
        _ method: UInt32,
        _ request: Request,
        _ what: String
    ) throws(AMQPError) {
        var request = request
        let status = withUnsafeMutablePointer(to: &request) { amqp_send_method(handle, channel, method, $0) }
        recycle_amqp_pool(pool)
        try check(status, what)
    }

    func sendChannelOpen(_ channel: UInt16) throws(AMQPError) {
        try send(channel, AMQP_CHANNEL_OPEN_METHOD, amqp_channel_open_t(), "open a channel")
    }

    func sendChannelClose(_ channel: UInt16) throws(AMQPError) {
        let request = amqp_channel_close_t(
            reply_code: UInt16(AMQP_REPLY_SUCCESS),
            reply_text: encode(""),
            class_id: 0,
            method_id: 0
        )
        try send(channel, AMQP_CHANNEL_CLOSE_METHOD, request, "close a channel")
    }

    func sendChannelCloseOk(_ channel: UInt16) throws(AMQPError) {
        try send(channel, AMQP_CHANNEL_CLOSE_OK_METHOD, amqp_channel_close_ok_t(), "agree to close a channel")
    }

    func sendFlowOk(_ channel: UInt16, active: Bool) throws(AMQPError) {
        let request = amqp_channel_flow_ok_t(active: active ? 1 : 0)
        try send(channel, AMQP_CHANNEL_FLOW_OK_METHOD, request, "agree to flow control")
    }

    func sendClose() throws(AMQPError) {
        let request = amqp_connection_close_t(
            reply_code: UInt16(AMQP_REPLY_SUCCESS),
            reply_text: encode(""),
            class_id: 0,
            method_id: 0
        )
        try send(0, AMQP_CONNECTION_CLOSE_METHOD, request, "close the connection")
    }

    /// Best effort: the connection is gone either way.
    func sendCloseOk() {
        try? send(0, AMQP_CONNECTION_CLOSE_OK_METHOD, amqp_connection_close_ok_t(), "agree to close")
    }

    func sendConfirmSelect(_ channel: UInt16) throws(AMQPError) {
        try send(channel, AMQP_CONFIRM_SELECT_METHOD, amqp_confirm_select_t(nowait: 0), "ask for confirms")
    }

    /// Sends one request about the topology.
    func send(_ step: TopologyStep, channel: UInt16) throws(AMQPError) {
        switch step {
        case .exchange(let exchange):
            var request = amqp_exchange_declare_t()
            request.exchange = encode(exchange.name)
            request.type = encode(exchange.kind.rawValue)
            request.durable = exchange.durable ? 1 : 0
            request.arguments = encode(exchange.arguments)
            try send(channel, AMQP_EXCHANGE_DECLARE_METHOD, request, step.description)
        case .queue(let queue):
            var request = amqp_queue_declare_t()
            request.queue = encode(queue.name)
            request.durable = queue.durable ? 1 : 0
            request.exclusive = queue.exclusive ? 1 : 0
            request.auto_delete = queue.autoDelete ? 1 : 0
            request.arguments = encode(queue.arguments)
            try send(channel, AMQP_QUEUE_DECLARE_METHOD, request, step.description)
        case .binding(let binding):
            var request = amqp_queue_bind_t()
            request.queue = encode(binding.queue)
            request.exchange = encode(binding.exchange)
            request.routing_key = encode(binding.routingKey)
            try send(channel, AMQP_QUEUE_BIND_METHOD, request, step.description)
        case .inspect(let queue):
            var request = amqp_queue_declare_t()
            request.queue = encode(queue)
            request.passive = 1
            try send(channel, AMQP_QUEUE_DECLARE_METHOD, request, step.description)
        }
    }

    func sendQos(_ channel: UInt16, prefetch: UInt16) throws(AMQPError) {
        let request = amqp_basic_qos_t(prefetch_size: 0, prefetch_count: prefetch, global: 0)
        try send(channel, AMQP_BASIC_QOS_METHOD, request, "set the prefetch")
    }

    func sendConsume(_ channel: UInt16, queue: String, tag: String, noAck: Bool) throws(AMQPError) {
        var request = amqp_basic_consume_t()
        request.queue = encode(queue)
        request.consumer_tag = encode(tag)
        request.no_ack = noAck ? 1 : 0
        try send(channel, AMQP_BASIC_CONSUME_METHOD, request, "consume from \(queue)")
    }

    func sendCancel(_ channel: UInt16, tag: String) throws(AMQPError) {
        let request = amqp_basic_cancel_t(consumer_tag: encode(tag), nowait: 0)
        try send(channel, AMQP_BASIC_CANCEL_METHOD, request, "cancel a consumer")
    }

    func send(_ action: AckBatcher.Action, channel: UInt16) throws(AMQPError) {
        switch action {
        case .ack(let tag, let multiple):
            let request = amqp_basic_ack_t(delivery_tag: tag, multiple: multiple ? 1 : 0)
            try send(channel, AMQP_BASIC_ACK_METHOD, request, "acknowledge")
        case .reject(let tag, let requeue):
            let request = amqp_basic_reject_t(delivery_tag: tag, requeue: requeue ? 1 : 0)
            try send(channel, AMQP_BASIC_REJECT_METHOD, request, "reject")
        }
    }

    /// Publishes one message. May block; run it within `batch`.
    func publish(
        _ message: AMQPMessage,
        channel: UInt16,
        exchange: String,
        routingKey: String,
        mandatory: Bool
    ) throws(AMQPError) {
        var properties = encodeProperties(message)
        let exchangeBytes = encode(exchange)
        let keyBytes = encode(routingKey)
        let status = message.body.withUnsafeBytes { body in
            amqp_basic_publish(
                handle,
                channel,
                exchangeBytes,
                keyBytes,
                mandatory ? 1 : 0,
                0,
                &properties,
                amqp_bytes_t(len: body.count, bytes: UnsafeMutableRawPointer(mutating: body.baseAddress))
            )
        }
        recycle_amqp_pool(pool)
        try check(status, "publish")
    }
}

// MARK: Calls

extension Connection {
    /// Opens a channel, perhaps one of a number that was in use before.
    func openChannel(_ channel: UInt16) throws(AMQPError) {
        forgetFrames(of: channel)
        try call("open a channel", channel: channel) { () throws(AMQPError) in
            try sendChannelOpen(channel)
        } answer: {
            $0 == .channelOpenOk ? () : nil
        }
    }

    func closeChannel(_ channel: UInt16) throws(AMQPError) {
        try call("close a channel", channel: channel) { () throws(AMQPError) in
            try sendChannelClose(channel)
        } answer: {
            $0 == .channelCloseOk ? () : nil
        }
    }

    func selectConfirms(_ channel: UInt16) throws(AMQPError) {
        try call("ask for confirms", channel: channel) { () throws(AMQPError) in
            try sendConfirmSelect(channel)
        } answer: {
            $0 == .confirmSelectOk ? () : nil
        }
    }

    func setPrefetch(_ channel: UInt16, _ prefetch: UInt16) throws(AMQPError) {
        try call("set the prefetch", channel: channel) { () throws(AMQPError) in
            try sendQos(channel, prefetch: prefetch)
        } answer: {
            $0 == .qosOk ? () : nil
        }
    }

    func consume(_ channel: UInt16, queue: String, tag: String, noAck: Bool) throws(AMQPError) {
        try call("consume from \(queue)", channel: channel) { () throws(AMQPError) in
            try sendConsume(channel, queue: queue, tag: tag, noAck: noAck)
        } answer: {
            $0 == .consumeOk ? () : nil
        }
    }

    /// Performs one step and returns the queue's name the broker answered with, if it is about a queue.
    @discardableResult
    func declare(_ step: TopologyStep, channel: UInt16) throws(AMQPError) -> String? {
        try call(step.description, channel: channel) { () throws(AMQPError) in
            try send(step, channel: channel)
        } answer: { method -> String?? in
            switch method {
            case .exchangeDeclareOk, .queueBindOk: .some(nil)
            case .queueDeclareOk(let name, _, _): .some(name)
            default: nil
            }
        }
    }

    /// Declares all of it. A step the broker refuses (other arguments, say) is reported and does not stop the rest:
    /// one wrong queue must not keep all others from working.
    func declare(
        _ topology: AMQPTopology,
        channel: UInt16,
        refused: (TopologyStep, AMQPError) -> Void
    ) throws(AMQPError) {
        for step in topology.steps {
            do {
                try declare(step, channel: channel)
            } catch .channelClosed(let code, let text) {
                refused(step, .channelClosed(code: code, text: text))
                try openChannel(channel)
            }
        }
    }
}
