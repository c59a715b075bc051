// Which failures leave open whether the command was executed.

import Redis
import Testing

@Suite struct RedisErrorTests {
    @Test(arguments: [
        (RedisError.notConnected(reason: "x"), false),
        (.connectFailed(reason: "x"), false),
        (.queueFull, false),
        (.server(RedisServerError(line: "NOSCRIPT No matching script."), command: "EVALSHA"), false),
        (.server(RedisServerError(line: "LOADING x"), command: "GET"), false),
        (.server(RedisServerError(line: "ERR in the middle of a script"), command: "EVALSHA"), true),
        // A script can run out of memory after its first write.
        (.server(RedisServerError(line: "OOM x"), command: "EVALSHA"), true),
        (.timedOut(command: "GET"), true),
        (.connectionClosed(command: "GET"), true),
        (.protocolViolation("x"), true),
        (.cancelled, true),
        (.unexpectedReply(command: "GET", expected: "x"), true),
    ]) func saysWhetherTheCommandMayHaveBeenExecuted(error: RedisError, expected: Bool) {
        #expect(error.mayHaveBeenExecuted == expected)
        #expect(!error.description.isEmpty)
    }
}
