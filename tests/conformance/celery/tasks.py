"""The tasks of the smoke test: a worker loads them, and the tests call them."""

import os
import time

from celery import Celery

app = Celery("tasks", broker=os.environ["AMQP_URL"], backend="rpc://")
app.conf.worker_hijack_root_logger = False


@app.task
def add(x, y):
    return x + y


@app.task
def now():
    return time.time()


@app.task
def fails():
    raise ValueError("on purpose")


@app.task(bind=True, max_retries=3)
def third_time_lucky(self):
    """Answers how often it was tried."""
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return self.request.retries + 1


@app.task(bind=True, max_retries=1)
def never_lucky(self):
    raise self.retry(countdown=0, exc=ValueError("tried again"))


@app.task(bind=True, acks_late=True, reject_on_worker_lost=True)
def delivery_of(self):
    return self.request.delivery_info["routing_key"]
