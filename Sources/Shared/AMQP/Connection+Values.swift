// Between Swift's values and the C library's.

internal import CRabbitMQ

extension Connection {
    /// Copies text into the pool.
    func encode(_ text: String) -> amqp_bytes_t {
        var text = text
        return text.withUTF8 { encode(bytes: UnsafeRawBufferPointer($0)) }
    }

    private func encode(bytes: UnsafeRawBufferPointer) -> amqp_bytes_t {
        guard let source = bytes.baseAddress, bytes.count > 0, let copy = amqp_pool_alloc(pool, bytes.count) else {
            return amqp_bytes_t(len: 0, bytes: nil)
        }
        copy.copyMemory(from: source, byteCount: bytes.count)
        return amqp_bytes_t(len: bytes.count, bytes: copy)
    }

    /// Copies a table into the pool.
    func encode(_ table: AMQPTable) -> amqp_table_t {
        let size = table.entries.count * MemoryLayout<amqp_table_entry_t>.stride
        guard size > 0, let memory = amqp_pool_alloc(pool, size) else {
            return amqp_table_t(num_entries: 0, entries: nil)
        }
        let entries = memory.bindMemory(to: amqp_table_entry_t.self, capacity: table.entries.count)
        for (index, (name, value)) in table.entries.enumerated() {
            (entries + index).initialize(to: amqp_table_entry_t(key: encode(name), value: encode(value)))
        }
        return amqp_table_t(num_entries: Int32(table.entries.count), entries: entries)
    }

    private func encode(_ value: AMQPValue) -> amqp_field_value_t {
        var field = amqp_field_value_t()
        func set(_ kind: amqp_field_value_kind_t) { field.kind = UInt8(kind.rawValue) }
        switch value {
        case .string(let text):
            set(AMQP_FIELD_KIND_UTF8)
            field.value.bytes = encode(text)
        case .bytes(let bytes):
            set(AMQP_FIELD_KIND_BYTES)
            field.value.bytes = bytes.withUnsafeBytes { encode(bytes: $0) }
        case .int(let number):
            set(AMQP_FIELD_KIND_I64)
            field.value.i64 = number
        case .bool(let truth):
            set(AMQP_FIELD_KIND_BOOLEAN)
            field.value.boolean = truth ? 1 : 0
        case .double(let number):
            set(AMQP_FIELD_KIND_F64)
            field.value.f64 = number
        case .timestamp(let seconds):
            set(AMQP_FIELD_KIND_TIMESTAMP)
            field.value.u64 = seconds
        case .table(let table):
            set(AMQP_FIELD_KIND_TABLE)
            field.value.table = encode(table)
        case .array(let values):
            set(AMQP_FIELD_KIND_ARRAY)
            field.value.array = encode(values)
        case .void:
            set(AMQP_FIELD_KIND_VOID)
        }
        return field
    }

    private func encode(_ values: [AMQPValue]) -> amqp_array_t {
        let size = values.count * MemoryLayout<amqp_field_value_t>.stride
        guard size > 0, let memory = amqp_pool_alloc(pool, size) else {
            return amqp_array_t(num_entries: 0, entries: nil)
        }
        let entries = memory.bindMemory(to: amqp_field_value_t.self, capacity: values.count)
        for (index, value) in values.enumerated() { (entries + index).initialize(to: encode(value)) }
        return amqp_array_t(num_entries: Int32(values.count), entries: entries)
    }

    func encodeProperties(_ message: AMQPMessage) -> amqp_basic_properties_t {
        var properties = amqp_basic_properties_t()
        var flags = AMQP_BASIC_DELIVERY_MODE_FLAG
        properties.delivery_mode =
            UInt8(message.persistent ? AMQP_DELIVERY_PERSISTENT.rawValue : AMQP_DELIVERY_NONPERSISTENT.rawValue)
        if let value = message.contentType {
            properties.content_type = encode(value)
            flags |= AMQP_BASIC_CONTENT_TYPE_FLAG
        }
        if let value = message.messageID {
            properties.message_id = encode(value)
            flags |= AMQP_BASIC_MESSAGE_ID_FLAG
        }
        if let value = message.correlationID {
            properties.correlation_id = encode(value)
            flags |= AMQP_BASIC_CORRELATION_ID_FLAG
        }
        if let value = message.replyTo {
            properties.reply_to = encode(value)
            flags |= AMQP_BASIC_REPLY_TO_FLAG
        }
        if let value = message.expiration {
            properties.expiration = encode(value)
            flags |= AMQP_BASIC_EXPIRATION_FLAG
        }
        if let value = message.type {
            properties.type = encode(value)
            flags |= AMQP_BASIC_TYPE_FLAG
        }
        if !message.headers.isEmpty {
            properties.headers = encode(message.headers)
            flags |= AMQP_BASIC_HEADERS_FLAG
        }
        properties._flags = amqp_flags_t(flags)
        return properties
    }
}

extension String {
    fileprivate init(_ bytes: amqp_bytes_t) {
        self.init(decoding: UnsafeRawBufferPointer(start: bytes.bytes, count: bytes.len), as: UTF8.self)
    }
}

extension AMQPTable {
    /// Deeper tables are left out: nobody sends them, and recursion must end.
    private static let depthLimit = 8

    init(_ table: amqp_table_t, depth: Int = 0) {
        self.init()
        guard depth < Self.depthLimit, let first = table.entries else { return }
        for entry in UnsafeBufferPointer(start: first, count: Int(table.num_entries)) {
            if let value = AMQPValue(entry.value, depth: depth + 1) { entries[String(entry.key)] = value }
        }
    }
}

extension AMQPValue {
    init?(_ field: amqp_field_value_t, depth: Int) {
        switch UInt32(field.kind) {
        case AMQP_FIELD_KIND_UTF8.rawValue: self = .string(String(field.value.bytes))
        case AMQP_FIELD_KIND_BYTES.rawValue:
            let bytes = field.value.bytes
            self = .bytes(Array(UnsafeRawBufferPointer(start: bytes.bytes, count: bytes.len)))
        case AMQP_FIELD_KIND_BOOLEAN.rawValue: self = .bool(field.value.boolean != 0)
        case AMQP_FIELD_KIND_I8.rawValue: self = .int(Int64(field.value.i8))
        case AMQP_FIELD_KIND_U8.rawValue: self = .int(Int64(field.value.u8))
        case AMQP_FIELD_KIND_I16.rawValue: self = .int(Int64(field.value.i16))
        case AMQP_FIELD_KIND_U16.rawValue: self = .int(Int64(field.value.u16))
        case AMQP_FIELD_KIND_I32.rawValue: self = .int(Int64(field.value.i32))
        case AMQP_FIELD_KIND_U32.rawValue: self = .int(Int64(field.value.u32))
        case AMQP_FIELD_KIND_I64.rawValue: self = .int(field.value.i64)
        case AMQP_FIELD_KIND_U64.rawValue: self = .int(Int64(clamping: field.value.u64))
        case AMQP_FIELD_KIND_F32.rawValue: self = .double(Double(field.value.f32))
        case AMQP_FIELD_KIND_F64.rawValue: self = .double(field.value.f64)
        case AMQP_FIELD_KIND_TIMESTAMP.rawValue: self = .timestamp(field.value.u64)
        case AMQP_FIELD_KIND_TABLE.rawValue: self = .table(AMQPTable(field.value.table, depth: depth))
        case AMQP_FIELD_KIND_ARRAY.rawValue:
            let array = field.value.array
            guard depth < 8, let first = array.entries else {
                self = .array([])
                return
            }
            let fields = UnsafeBufferPointer(start: first, count: Int(array.num_entries))
            self = .array(fields.compactMap { AMQPValue($0, depth: depth + 1) })
        case AMQP_FIELD_KIND_VOID.rawValue: self = .void
        default: return nil
        }
    }
}

extension AMQPMessage {
    fileprivate init(_ properties: amqp_basic_properties_t) {
        func text(_ flag: Int32, _ bytes: amqp_bytes_t) -> String? {
            properties._flags & UInt32(flag) != 0 ? String(bytes) : nil
        }
        self.init(
            body: [],
            persistent: properties._flags & UInt32(AMQP_BASIC_DELIVERY_MODE_FLAG) != 0
                && properties.delivery_mode == UInt8(AMQP_DELIVERY_PERSISTENT.rawValue),
            contentType: text(AMQP_BASIC_CONTENT_TYPE_FLAG, properties.content_type),
            messageID: text(AMQP_BASIC_MESSAGE_ID_FLAG, properties.message_id),
            correlationID: text(AMQP_BASIC_CORRELATION_ID_FLAG, properties.correlation_id),
            replyTo: text(AMQP_BASIC_REPLY_TO_FLAG, properties.reply_to),
            expiration: text(AMQP_BASIC_EXPIRATION_FLAG, properties.expiration),
            type: text(AMQP_BASIC_TYPE_FLAG, properties.type),
            headers: properties._flags & UInt32(AMQP_BASIC_HEADERS_FLAG) != 0 ? AMQPTable(properties.headers) : [:]
        )
    }
}

extension InboundFrame {
    /// Copies a frame; nil for a heartbeat, which the library answers for.
    init?(_ frame: amqp_frame_t) throws(AMQPError) {
        switch Int32(frame.frame_type) {
        case AMQP_FRAME_METHOD:
            self = .method(channel: frame.channel, Method(frame.payload.method))
        case AMQP_FRAME_HEADER:
            let header = frame.payload.properties
            guard header.class_id == UInt16(AMQP_BASIC_CLASS), let decoded = header.decoded else {
                throw .protocolViolation("content of class \(header.class_id)")
            }
            let properties = decoded.assumingMemoryBound(to: amqp_basic_properties_t.self).pointee
            self = .header(channel: frame.channel, bodySize: header.body_size, AMQPMessage(properties))
        case AMQP_FRAME_BODY:
            let fragment = frame.payload.body_fragment
            let bytes = UnsafeRawBufferPointer(start: fragment.bytes, count: fragment.len)
            self = .body(channel: frame.channel, Array(bytes))
        default:
            return nil
        }
    }
}

extension InboundFrame.Method {
    init(_ method: amqp_method_t) {
        // The library's decoder chose the structure by the same number.
        func read<Decoded, Value>(_: Decoded.Type, _ body: (Decoded) -> Value) -> Value? {
            method.decoded.map { body($0.assumingMemoryBound(to: Decoded.self).pointee) }
        }
        let known: Self? =
            switch method.id {
            case AMQP_BASIC_DELIVER_METHOD:
                read(amqp_basic_deliver_t.self) {
                    .deliver(
                        InboundFrame.Deliver(
                            consumerTag: String($0.consumer_tag),
                            tag: $0.delivery_tag,
                            redelivered: $0.redelivered != 0,
                            exchange: String($0.exchange),
                            routingKey: String($0.routing_key)
                        )
                    )
                }
            case AMQP_BASIC_ACK_METHOD:
                read(amqp_basic_ack_t.self) { .ack(tag: $0.delivery_tag, multiple: $0.multiple != 0) }
            case AMQP_BASIC_NACK_METHOD:
                read(amqp_basic_nack_t.self) { .nack(tag: $0.delivery_tag, multiple: $0.multiple != 0) }
            case AMQP_BASIC_RETURN_METHOD:
                read(amqp_basic_return_t.self) {
                    .returned(
                        code: Int($0.reply_code),
                        text: String($0.reply_text),
                        exchange: String($0.exchange),
                        routingKey: String($0.routing_key)
                    )
                }
            case AMQP_BASIC_CANCEL_METHOD:
                read(amqp_basic_cancel_t.self) { .cancel(consumerTag: String($0.consumer_tag)) }
            case AMQP_CHANNEL_CLOSE_METHOD:
                read(amqp_channel_close_t.self) {
                    .channelClose(code: Int($0.reply_code), text: String($0.reply_text))
                }
            case AMQP_CONNECTION_CLOSE_METHOD:
                read(amqp_connection_close_t.self) {
                    .connectionClose(code: Int($0.reply_code), text: String($0.reply_text))
                }
            case AMQP_CONNECTION_BLOCKED_METHOD:
                read(amqp_connection_blocked_t.self) { .blocked(reason: String($0.reason)) }
            case AMQP_QUEUE_DECLARE_OK_METHOD:
                read(amqp_queue_declare_ok_t.self) {
                    .queueDeclareOk(
                        name: String($0.queue),
                        messages: Int($0.message_count),
                        consumers: Int($0.consumer_count)
                    )
                }
            case AMQP_CHANNEL_FLOW_METHOD:
                read(amqp_channel_flow_t.self) { .flow(active: $0.active != 0) }
            case AMQP_BASIC_CANCEL_OK_METHOD: .cancelOk
            case AMQP_BASIC_CONSUME_OK_METHOD: .consumeOk
            case AMQP_BASIC_QOS_OK_METHOD: .qosOk
            case AMQP_CHANNEL_OPEN_OK_METHOD: .channelOpenOk
            case AMQP_CHANNEL_CLOSE_OK_METHOD: .channelCloseOk
            case AMQP_CONFIRM_SELECT_OK_METHOD: .confirmSelectOk
            case AMQP_EXCHANGE_DECLARE_OK_METHOD: .exchangeDeclareOk
            case AMQP_QUEUE_BIND_OK_METHOD: .queueBindOk
            case AMQP_CONNECTION_CLOSE_OK_METHOD: .connectionCloseOk
            case AMQP_CONNECTION_UNBLOCKED_METHOD: .unblocked
            default: nil
            }
        self = known ?? .other(id: method.id)
    }
}
