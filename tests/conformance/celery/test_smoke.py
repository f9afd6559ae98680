"""What people use Celery for, with a worker of its own process and results by the `rpc` backend.

The broker is at AMQP_URL; the worker writes its log to WORKER_LOG.
"""

import os
import subprocess
import sys
import time

import pytest
from celery import chain, group

import tasks

PATIENCE = 30


@pytest.fixture(scope="module", autouse=True)
def worker():
    with open(os.environ["WORKER_LOG"], "w") as log:
        command = [sys.executable, "-m", "celery", "-A", "tasks", "worker"]
        command += ["--pool", "threads", "--concurrency", "2", "--loglevel", "INFO"]
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.terminate()
            assert process.wait(PATIENCE) == 0


def test_a_task_is_run_and_its_result_comes_back():
    results = [tasks.add.delay(i, i) for i in range(5)]
    assert [result.get(timeout=PATIENCE) for result in results] == [0, 2, 4, 6, 8]


def test_a_task_that_fails_raises_where_its_result_is_asked_for():
    with pytest.raises(ValueError, match="on purpose"):
        tasks.fails.delay().get(timeout=PATIENCE)


def test_a_task_is_tried_again_until_it_works():
    assert tasks.third_time_lucky.delay().get(timeout=PATIENCE) == 3


def test_a_task_gives_up_after_its_last_try():
    with pytest.raises(ValueError, match="tried again"):
        tasks.never_lucky.delay().get(timeout=PATIENCE)


def test_a_countdown_is_waited_for():
    sent = time.time()
    assert tasks.now.apply_async(countdown=2).get(timeout=PATIENCE) >= sent + 2


def test_a_task_that_has_expired_is_not_run():
    with pytest.raises(Exception, match="revoked|expired"):
        tasks.now.apply_async(countdown=2, expires=1).get(timeout=PATIENCE)


def test_a_group_comes_back_in_order():
    results = group(tasks.add.s(i, 1) for i in range(50))()
    assert results.get(timeout=PATIENCE) == list(range(1, 51))


def test_a_chain_hands_results_on():
    assert chain(tasks.add.s(1, 2), tasks.add.s(3), tasks.add.s(4))().get(timeout=PATIENCE) == 10


def test_a_task_is_acknowledged_late():
    assert tasks.delivery_of.delay().get(timeout=PATIENCE) == "celery"


def test_a_worker_answers_remote_control():
    deadline = time.monotonic() + PATIENCE
    while not (answers := tasks.app.control.ping(timeout=1)):
        assert time.monotonic() < deadline
    assert [list(answer.values()) for answer in answers] == [[{"ok": "pong"}]]
