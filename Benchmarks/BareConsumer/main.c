// Fills a quorum queue, then consumes and acknowledges all of it as fast as librabbitmq can: the broker's own bound.
//
//   BareConsumer PORT COUNT    prints seconds from the first delivery to the last acknowledgement

#include <amqp.h>
#include <amqp_tcp_socket.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

// As a worker's, and as large a prefetch as still helps.
enum { channel = 1, prefetch = 64, window = 1000 };
static const char name[] = "bench.bare";

static void expect(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "BareConsumer: %s\n", what);
    exit(1);
}

static void expect_reply(amqp_rpc_reply_t reply, const char *what) {
    expect(reply.reply_type == AMQP_RESPONSE_NORMAL, what);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static amqp_connection_state_t connected(int port) {
    amqp_connection_state_t connection = amqp_new_connection();
    amqp_socket_t *socket = amqp_tcp_socket_new(connection);
    struct timeval patience = {10, 0};
    expect(socket != NULL, "no socket");
    expect(amqp_socket_open_noblock(socket, "127.0.0.1", port, &patience) == AMQP_STATUS_OK, "no connection");
    expect(amqp_set_rpc_timeout(connection, &patience) == AMQP_STATUS_OK, "no time limit");
    expect_reply(amqp_login(connection, "ferry", 0, 131072, 0, AMQP_SASL_METHOD_PLAIN, "ferry", "ferry"), "login");
    amqp_channel_open(connection, channel);
    expect_reply(amqp_get_rpc_reply(connection), "channel");
    return connection;
}

// Waits until the broker has all messages after `before`, `count` of them. A connection numbers them from 1; confirms
// come in any order, and one may be for all up to its number.
static void await_confirms(amqp_connection_state_t connection, unsigned long before, unsigned long count) {
    unsigned char is_confirmed[window] = {0};
    for (unsigned long left = count; left > 0;) {
        amqp_frame_t frame;
        struct timeval patience = {30, 0};
        expect(amqp_simple_wait_frame_noblock(connection, &frame, &patience) == AMQP_STATUS_OK, "no confirm");
        if (frame.frame_type != AMQP_FRAME_METHOD) continue;
        expect(frame.payload.method.id == AMQP_BASIC_ACK_METHOD, "a message was refused");
        amqp_basic_ack_t *ack = frame.payload.method.decoded;
        unsigned long last = ack->delivery_tag;
        expect(last > before && last <= before + count, "a confirm of what was not sent");
        for (unsigned long tag = ack->multiple ? before + 1 : last; tag <= last; tag++) {
            if (is_confirmed[tag - before - 1]) continue;
            is_confirmed[tag - before - 1] = 1;
            left--;
        }
        amqp_maybe_release_buffers(connection);
    }
}

static void fill(amqp_connection_state_t connection, unsigned long count) {
    amqp_basic_properties_t properties = {0};
    properties._flags = AMQP_BASIC_DELIVERY_MODE_FLAG;
    properties.delivery_mode = AMQP_DELIVERY_PERSISTENT;
    char body[200];
    memset(body, 'x', sizeof body);
    amqp_bytes_t bytes = {sizeof body, body};
    amqp_confirm_select(connection, channel);
    expect_reply(amqp_get_rpc_reply(connection), "confirms");
    amqp_bytes_t queue = amqp_cstring_bytes(name);
    for (unsigned long sent = 0; sent < count;) {
        unsigned long before = sent;
        for (; sent < count && sent < before + window; sent++) {
            int status = amqp_basic_publish(connection, channel, amqp_empty_bytes, queue, 0, 0, &properties, bytes);
            expect(status == AMQP_STATUS_OK, "publish");
        }
        await_confirms(connection, before, sent - before);
    }
}

static double drain(amqp_connection_state_t connection, unsigned long count) {
    amqp_basic_qos(connection, channel, 0, prefetch, 0);
    expect_reply(amqp_get_rpc_reply(connection), "prefetch");
    amqp_bytes_t queue = amqp_cstring_bytes(name);
    amqp_basic_consume(connection, channel, queue, amqp_empty_bytes, 0, 0, 0, amqp_empty_table);
    expect_reply(amqp_get_rpc_reply(connection), "consume");
    double began = now();
    for (unsigned long taken = 0; taken < count; taken++) {
        amqp_envelope_t envelope;
        struct timeval patience = {30, 0};
        amqp_maybe_release_buffers(connection);
        expect_reply(amqp_consume_message(connection, &envelope, &patience, 0), "delivery");
        expect(amqp_basic_ack(connection, channel, envelope.delivery_tag, 0) == AMQP_STATUS_OK, "acknowledgement");
        amqp_destroy_envelope(&envelope);
    }
    return now() - began;
}

int main(int count, char **arguments) {
    expect(count == 3, "usage: BareConsumer PORT COUNT");
    int port = atoi(arguments[1]);
    unsigned long messages = strtoul(arguments[2], NULL, 10);
    amqp_connection_state_t connection = connected(port);
    amqp_table_entry_t entry = {.key = amqp_cstring_bytes("x-queue-type")};
    entry.value.kind = AMQP_FIELD_KIND_UTF8;
    entry.value.value.bytes = amqp_cstring_bytes("quorum");
    amqp_table_t kind = {1, &entry};
    amqp_bytes_t queue = amqp_cstring_bytes(name);
    amqp_queue_declare(connection, channel, queue, 0, 1, 0, 0, kind);
    expect_reply(amqp_get_rpc_reply(connection), "queue");
    fill(connection, messages);
    amqp_destroy_connection(connection);

    // Confirms are switched off only by a connection of its own.
    connection = connected(port);
    printf("%.6f\n", drain(connection, messages));
    amqp_queue_delete(connection, channel, queue, 0, 0);
    expect_reply(amqp_get_rpc_reply(connection), "deletion");
    amqp_destroy_connection(connection);
    return 0;
}
