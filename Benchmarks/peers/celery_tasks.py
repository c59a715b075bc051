"""Celery with Ferry's durability: celery_tasks.py URL work | send COUNT (prints the seconds until all are taken)"""
import os
import sys
import time

from celery import Celery

QUEUE = "bench.celery"

app = Celery("celery_tasks", broker=sys.argv[1])
app.conf.update(
    broker_connection_retry_on_startup=True,
    broker_transport_options={"confirm_publish": True},
    task_acks_late=True,
    task_default_queue=QUEUE,
    task_default_queue_type="quorum",
    task_ignore_result=True,
    worker_detect_quorum_queues=True,
    worker_enable_remote_control=False,
    worker_prefetch_multiplier=64 // (os.cpu_count() or 1),
)


@app.task(name="empty")
def empty() -> None:
    """Nothing."""


def send(count: int) -> float:
    began = time.monotonic()
    for _ in range(count):
        empty.delay()
    with app.connection_for_read() as connection, connection.channel() as channel:
        while channel.queue_declare(QUEUE, passive=True).message_count > 0:
            if time.monotonic() - began > 240:
                raise SystemExit("tasks are still in the queue")
            time.sleep(0.005)
    return time.monotonic() - began


if sys.argv[2] == "work":
    options = ["--concurrency", str(os.cpu_count()), "--pool", "prefork", "--loglevel", "WARNING"]
    app.worker_main(["worker", *options, "--without-gossip", "--without-mingle"])
else:
    print(send(int(sys.argv[3])))
