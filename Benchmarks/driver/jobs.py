"""Row jobs: ship jobs that find nothing to do, from the outbox to their acknowledgement, beside Celery."""
from __future__ import annotations

import os
from collections.abc import Callable

from .contest import OURS, Attempt, contest
from .place import BenchError, Place, Settings
from .processes import Background, Meter, run
from .report import Demand, Line, Unit, versus
from .stack import Stack

JOBS = Unit("jobs", 1.0, "ms/job", 1e3)


def measure(place: Place) -> list[Line]:
    """The row."""
    count = place.sizes.pick(20_000, 200)
    celery_count = place.sizes.pick(5_000, 50)
    programs = {name: place.program(name) for name in ("EmptyJobs", "BareConsumer")}
    stack = place.stack(Settings())
    config = ["--config", stack.environment["FERRY_CONFIG"], "--jobs", str(count)]
    prepared = run([programs["EmptyJobs"], "prepare", *config], limit=300, what="EmptyJobs prepare")
    send = [programs["EmptyJobs"], "send", *config, "--upload", prepared.output.strip()]
    bare = [programs["BareConsumer"], stack.port("rabbitmq"), str(count)]
    broker = stack.pid("rabbitmq")
    sides = {OURS: _timed(send, stack.pids(), count)}
    celery = _celery(place, stack)
    try:
        if celery is not None:
            worker, command = celery
            sides["Celery"] = _timed([*command, str(celery_count)], [broker, worker.pid], celery_count)
        sides["librabbitmq"] = _timed(bare, [broker], count)
        results = contest(1, place.sizes, sides, unit="jobs", scale=1)
    finally:
        if celery is not None:
            celery[0].stop()
        stack.renew()
    return [
        versus(
            place,
            "jobs",
            "ship jobs of parts that are shipped already",
            results,
            [Demand(5.0, ("Celery",)), Demand(0.25, ("librabbitmq",))],
            f"Ours: {count:,} jobs, recorded in the outbox before: sent by the relay that API and workers have,"
            " confirmed, taken out of the outbox, consumed by one worker, which reads the index and finds each part"
            " shipped, acknowledged; until the queue is empty. Processor time includes reading all of it into the"
            f" outbox. Celery: {celery_count:,} empty tasks from the first `delay()` until the queue is empty, worker"
            f" with a process a core ({os.cpu_count()}), late acknowledgement, no results, 64 prefetched. librabbitmq:"
            f" {count:,} messages that are in the queue before, consumed and acknowledged one by one in C, 64"
            " prefetched. All: the same RabbitMQ, persistent messages, publisher confirms, quorum queues.",
            JOBS,
        )
    ]


def _timed(command: list[str], servers: list[int], count: int) -> Callable[[], Attempt]:
    """A program that prints the seconds that count."""

    def attempt() -> Attempt:
        with Meter(servers) as meter:
            done = run(command, limit=300, what=os.path.basename(command[0]), meter=meter)
            cpu = meter.cpu()
        try:
            seconds = float(done.output.split()[-1])
        except (ValueError, IndexError) as error:
            raise BenchError(f"{command[0]} printed no time: {done.output[-300:]}") from error
        return Attempt(seconds, cpu, meter.peak_bytes, units=count)

    return attempt


def _celery(place: Place, stack: Stack) -> tuple[Background, list[str]] | None:
    """A worker that runs, and the command that sends and waits."""
    program = place.python()
    if program is None:
        return None
    directory = os.path.join(place.root, "Benchmarks", "peers")
    url = stack.environment["FERRY_AMQP_URL"]
    script = os.path.join(directory, "celery_tasks.py")
    worker = place.serve([program, script, url, "work"], "celery")
    # It answers once it has taken a task.
    try:
        run([program, script, url, "send", "1"], limit=60, what="Celery's first task")
    except BenchError as error:
        worker.stop()
        raise BenchError(f"{error}; its worker: {worker.said()}") from error
    return worker, [program, script, url, "send"]
