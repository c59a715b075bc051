# shellcheck shell=bash
# Free ports on loopback, below the range from which the kernel takes the ports of outgoing connections (32768 and up),
# so that nobody gets one between its choice and its use. To be sourced.

# port_is_free PORT: nothing answers on it.
port_is_free() {
    ! (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# free_port: prints one.
free_port() {
    local port attempt
    for ((attempt = 0; attempt < 200; attempt++)); do
        port=$((20000 + (RANDOM * 32768 + RANDOM) % 12000))
        if port_is_free "$port"; then
            echo "$port"
            return 0
        fi
    done
    echo "no free port found on 127.0.0.1" >&2
    return 1
}

# keep_port FILE: prints the port in FILE; the first time chooses one that is free and in no other file beside it.
keep_port() {
    local port directory
    directory=$(dirname "$1")
    if [[ ! -s $1 ]]; then
        port=$(free_port)
        while grep -qsx "$port" "$directory"/*; do port=$(free_port); done
        echo "$port" >"$1"
    fi
    read -r port <"$1"
    echo "$port"
}
