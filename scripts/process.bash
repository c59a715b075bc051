# shellcheck shell=bash
# Processes that outlive the script which started them, known by pid and start time. To be sourced; the caller sets
# `run` (directory of pid files) and `logs` (directory of logs).
# shellcheck disable=SC2154

# start_time PID: when the process was started, in clock ticks since boot; nothing if there is none or it has ended
# (a zombie has). With the pid it identifies a process, which the pid alone does not.
start_time() {
    local line
    line=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    local -a fields
    read -r -a fields <<<"${line##*) }"
    [[ ${fields[0]} == Z ]] || echo "${fields[19]}"
}

# pid_of NAME: the pid of the running process; fails if it does not run.
pid_of() {
    local pid started
    [[ -s $run/$1.pid && -s $run/$1.started ]] || return 1
    read -r pid <"$run/$1.pid"
    read -r started <"$run/$1.started"
    [[ $(start_time "$pid") == "$started" ]] || return 1
    echo "$pid"
}

is_running() { pid_of "$1" >/dev/null; }

# launch NAME COMMAND...: starts it in a session of its own, output appended to its log.
launch() {
    local name=$1 pid
    shift
    (
        # What another stack's env file exported must not reach this one's programs.
        for variable in "${!FERRY_@}"; do unset "$variable"; done
        exec 9>&-
        exec setsid "$@"
    ) </dev/null >>"$logs/$name.log" 2>&1 &
    pid=$!
    echo "$pid" >"$run/$name.pid"
    start_time "$pid" >"$run/$name.started"
}

# descendants PID: all of them, one a line.
descendants() {
    local -A children=()
    local file line pid
    local -a fields queue
    for file in /proc/[0-9]*/stat; do
        line=$(cat "$file" 2>/dev/null) || continue
        read -r -a fields <<<"${line##*) }"
        pid=${file#/proc/}
        children[${fields[1]}]+="${pid%/stat} "
    done
    queue=("$1")
    while ((${#queue[@]} > 0)); do
        pid=${queue[0]}
        queue=("${queue[@]:1}")
        # A list of pids, to be split.
        # shellcheck disable=SC2206
        local -a own=(${children[$pid]:-})
        if ((${#own[@]} > 0)); then
            printf '%s\n' "${own[@]}"
            queue+=("${own[@]}")
        fi
    done
}

# wait_until_ended NAME SECONDS: fails if it still runs then.
wait_until_ended() {
    local deadline=$((SECONDS + $2))
    while is_running "$1"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

# end NAME SECONDS: asks it to end, and kills it if it does not in time; its descendants go with it.
end() {
    local name=$1 pid child
    if pid=$(pid_of "$name"); then
        local -A family=()
        while read -r child; do family[$child]=$(start_time "$child"); done < <(descendants "$pid")
        kill -TERM "$pid" 2>/dev/null || true
        kill -CONT "$pid" 2>/dev/null || true
        if ! wait_until_ended "$name" "$2"; then
            echo "$name (pid $pid) did not end within $2 s and is killed" >&2
            while read -r child; do family[$child]=$(start_time "$child"); done < <(descendants "$pid")
            kill -KILL "$pid" 2>/dev/null || true
            wait_until_ended "$name" 10 || echo "$name (pid $pid) could not be killed" >&2
        fi
        for child in "${!family[@]}"; do
            if [[ -n ${family[$child]} && $(start_time "$child") == "${family[$child]}" ]]; then
                kill -KILL "$child" 2>/dev/null || true
            fi
        done
    fi
    rm -f "$run/$name.pid" "$run/$name.started"
}

# crash NAME: kill -9, of the process alone.
crash() {
    local pid
    pid=$(pid_of "$1") || { echo "$1 does not run" >&2; return 1; }
    kill -KILL "$pid"
    wait_until_ended "$1" 10
}
