"""Drives the sandbox's Kafka broker with librdkafka and kafka-python.

Neither is patched: they get addresses and credentials, as anybody would give
them. Run by `tests/interop/run`, which installs both; the binary under test
is named by the environment variable TODOCTL.
"""

import json
import logging
import threading
import time
import traceback
import urllib.request
import uuid

import confluent_kafka as ck
import confluent_kafka.admin as cka
import kafka
import kafka.admin
import kafka.errors

import world
from world import check

USER, PASSWORD = "todo", "a password, with = and ,"


class Sandbox(world.Sandbox):
    """A sandbox with one broker."""

    def start(self):
        super().start()
        broker = {"name": "main", "users": [{"name": USER, "password": PASSWORD}]}
        found = self.control("POST", "/kafka", broker)
        self.addresses, self.ca = found["addresses"], found["ca"]

    def control(self, method, path, body=None):
        request = urllib.request.Request(
            self.info["controlEndpoint"] + path,
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"authorization": "Bearer " + self.info["controlToken"]},
        )
        with urllib.request.urlopen(request, timeout=10) as reply:
            return json.load(reply)

    def fault(self, kind, **fields):
        self.control("POST", "/faults", {"system": "kafka", "kind": kind, **fields})

    def clear(self):
        self.control("DELETE", "/faults")

    def librdkafka(self, mechanism="SCRAM-SHA-256", tls=True, password=PASSWORD, **more):
        where = {
            "bootstrap.servers": self.addresses["saslTls" if tls else "sasl"],
            "security.protocol": "SASL_SSL" if tls else "SASL_PLAINTEXT",
            "sasl.mechanism": mechanism,
            "sasl.username": USER,
            "sasl.password": password,
        }
        if tls:
            where["ssl.ca.location"] = self.ca
        return {**where, **more}

    def python(self, mechanism="SCRAM-SHA-512", tls=True, password=PASSWORD, **more):
        where = {
            "bootstrap_servers": self.addresses["saslTls" if tls else "sasl"],
            "security_protocol": "SASL_SSL" if tls else "SASL_PLAINTEXT",
            "sasl_mechanism": mechanism,
            "sasl_plain_username": USER,
            "sasl_plain_password": password,
        }
        if tls:
            where["ssl_cafile"] = self.ca
        return {**where, **more}


class CapturedLog(logging.Handler):
    """What kafka-python says meanwhile."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())

    def __enter__(self):
        logging.getLogger("kafka").addHandler(self)
        return self

    def __exit__(self, *_):
        logging.getLogger("kafka").removeHandler(self)


def produce(config, topic, values, **where):
    """Produces with librdkafka and waits for every acknowledgement."""
    producer, outcome = ck.Producer(config), []
    for value in values:
        producer.produce(
            topic, value, callback=lambda error, message: outcome.append((error, message)), **where
        )
    producer.flush(20)
    return outcome


def read(config, topic, count, start=ck.OFFSET_BEGINNING, partitions=(0, 1, 2)):
    """The first `count` messages of some partitions."""
    consumer = ck.Consumer({**config, "group.id": "reader", "enable.auto.commit": False})
    consumer.assign([ck.TopicPartition(topic, p, start) for p in partitions])
    found, deadline = [], time.monotonic() + 20
    while len(found) < count and time.monotonic() < deadline:
        found += [m for m in consumer.consume(1000, 0.2) if not m.error()]
    consumer.close()
    return found


def topics(box):
    admin = cka.AdminClient(box.librdkafka())
    names = ["task-events", "task-updates", "reminders"]
    wanted = [cka.NewTopic(n, 3, 1, config={"retention.ms": "604800000"}) for n in names]
    for name, future in admin.create_topics(wanted).items():
        check(f"create {name}", future.result() is None)
    again = admin.create_topics([cka.NewTopic("task-events", 3, 1)])["task-events"]
    try:
        again.result()
        check("a topic is not made twice", False)
    except ck.KafkaException as error:
        code = error.args[0].code()
        check("a topic is not made twice", code == ck.KafkaError.TOPIC_ALREADY_EXISTS, error)
    held = admin.list_topics(timeout=10).topics
    check("topics are listed", set(names) <= set(held), list(held))
    check("with three partitions", len(held["task-events"].partitions) == 3)
    resource = cka.ConfigResource(cka.ResourceType.TOPIC, "task-events")
    configs = admin.describe_configs([resource])[resource].result()
    check("configuration", configs["retention.ms"].value == "604800000", configs)
    entry = cka.ConfigEntry(
        "retention.ms", "1000", incremental_operation=cka.AlterConfigOpType.SET
    )
    change = cka.ConfigResource(
        cka.ResourceType.TOPIC, "reminders", incremental_configs=[entry]
    )
    check("alter", admin.incremental_alter_configs([change])[change].result() is None)
    grown = admin.create_partitions([cka.NewPartitions("reminders", 4)])
    check("grow", grown["reminders"].result() is None)
    partitions = admin.list_topics("reminders", timeout=10).topics["reminders"].partitions
    check("grown", len(partitions) == 4)
    try:
        admin.create_topics([cka.NewTopic("bad", 1, 3)])["bad"].result()
        check("three replicas are refused", False)
    except ck.KafkaException as error:
        code = error.args[0].code()
        check("replicas", code == ck.KafkaError.INVALID_REPLICATION_FACTOR, error)

    python = kafka.admin.KafkaAdminClient(**box.python())
    check("kafka-python lists topics", set(names) <= set(python.list_topics()))
    python.create_topics([kafka.admin.NewTopic("from-python", 2, 1)])
    check("kafka-python creates", "from-python" in python.list_topics())
    python.delete_topics(["from-python"])
    check("kafka-python deletes", "from-python" not in python.list_topics())
    python.close()


def events(box):
    sent = [json.dumps({"id": str(uuid.uuid4()), "n": n}) for n in range(500)]
    for name, config in {
        "plain text": box.librdkafka("PLAIN", tls=False),
        "SCRAM-256 over TLS": box.librdkafka(),
        "SCRAM-512 over TLS": box.librdkafka("SCRAM-SHA-512"),
        "idempotent": box.librdkafka(**{"enable.idempotence": True}),
        "gzip": box.librdkafka(**{"compression.type": "gzip"}),
        "lz4": box.librdkafka(**{"compression.type": "lz4"}),
        "without acknowledgement": box.librdkafka(acks=0),
    }.items():
        admin = cka.AdminClient(box.librdkafka())
        topic = "t-" + uuid.uuid4().hex
        admin.create_topics([cka.NewTopic(topic, 3, 1)])[topic].result()
        outcome = produce(config, topic, sent)
        check(f"{name}: acknowledged", [e for e, _ in outcome] == [None] * 500, outcome[:2])
        found = read(box.librdkafka(), topic, 500)
        check(f"{name}: byte for byte", sorted(m.value().decode() for m in found) == sorted(sent))
        admin.delete_topics([topic])[topic].result()

    headers = [("traceparent", b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")]
    produce(box.librdkafka(), "task-updates", ["first"], key="k", headers=headers, partition=1,
            timestamp=1_000_000)
    produce(box.librdkafka(), "task-updates", ["second"], partition=1, timestamp=2_000_000)
    found = read(box.librdkafka(), "task-updates", 2, partitions=(1,))
    check("keys and headers", found and found[0].key() == b"k" and found[0].headers() == headers)

    consumer = kafka.KafkaConsumer(**box.python(), group_id=None)
    one = kafka.TopicPartition("task-updates", 1)
    consumer.assign([one])
    check("end offset", consumer.end_offsets([one]) == {one: 2})
    times = {time: consumer.offsets_for_times({one: time})[one] for time in (0, 1_500_000, 3_000_000)}
    check("offset of an early time", times[0].offset == 0 and times[0].timestamp == 1_000_000)
    check("offset of a time between", times[1_500_000].offset == 1)
    check("offset of a late time", times[3_000_000] is None, times)
    consumer.seek(one, 1)
    batch = consumer.poll(timeout_ms=5000)
    check("kafka-python reads", [m.value for m in batch.get(one, [])] == [b"second"], batch)
    consumer.close()

    for mechanism, tls in [("PLAIN", False), ("SCRAM-SHA-256", True), ("SCRAM-SHA-512", True)]:
        producer = kafka.KafkaProducer(**box.python(mechanism, tls))
        place = producer.send("task-events", b"from python", partition=2).get(timeout=10)
        check(f"kafka-python produces, {mechanism}", place.partition == 2)
        producer.close()


def group(box, make, poll, assigned, close, name):
    """Two members share three partitions; one goes, the other has all."""
    first = make()
    deadline = time.monotonic() + 30
    while len(assigned(first)) != 3 and time.monotonic() < deadline:
        poll(first)
    check(f"{name}: the first has all", len(assigned(first)) == 3, assigned(first))
    second = make()
    # A busy machine takes its time for heartbeats and joins.
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        poll(first), poll(second)
        sizes = sorted([len(assigned(first)), len(assigned(second))])
        if sizes == [1, 2]:
            break
    check(f"{name}: two share", sizes == [1, 2], sizes)
    admin = cka.AdminClient(box.librdkafka())
    listed = [g.group_id for g in admin.list_consumer_groups().result().valid]
    check(f"{name}: listed", f"todo-{name}" in listed, listed)
    seen = admin.describe_consumer_groups([f"todo-{name}"])[f"todo-{name}"].result()
    check(f"{name}: described", len(seen.members) == 2, seen.members)
    close(second)
    while len(assigned(first)) != 3 and time.monotonic() < deadline:
        poll(first)
    check(f"{name}: the one left has all", len(assigned(first)) == 3)
    close(first)


def groups(box):
    def librdkafka():
        config = {"group.id": "todo-librdkafka", "auto.offset.reset": "earliest"}
        consumer = ck.Consumer(box.librdkafka(**config))
        consumer.subscribe(["task-events"])
        return consumer

    group(box, librdkafka, lambda c: c.poll(0.1), lambda c: c.assignment(),
          lambda c: c.close(), "librdkafka")

    def python():
        return kafka.KafkaConsumer("task-events", **box.python(group_id="todo-python"))

    group(box, python, lambda c: c.poll(100), lambda c: c.assignment(),
          lambda c: c.close(), "python")

    produce(box.librdkafka(), "task-events", ["x"] * 10, partition=0)
    config = box.librdkafka(**{"group.id": "todo-lag", "auto.offset.reset": "earliest",
                               "enable.auto.commit": False})
    consumer = ck.Consumer(config)
    consumer.subscribe(["task-events"])
    deadline, found = time.monotonic() + 20, 0
    while found < 10 and time.monotonic() < deadline:
        found += consumer.poll(0.2) is not None
    consumer.commit(asynchronous=False)
    committed = consumer.committed([ck.TopicPartition("task-events", 0)], timeout=10)
    check("committed", committed[0].offset > 0, committed)
    consumer.close()
    again = ck.Consumer(config)
    held = again.committed([ck.TopicPartition("task-events", 0)], timeout=10)
    check("offsets outlive the consumer", held[0].offset == committed[0].offset)
    again.close()


def refusals(box):
    said = []
    admin = cka.AdminClient(
        box.librdkafka(password="wrong", error_cb=lambda error: said.append(error.code()))
    )
    started = time.monotonic()
    while time.monotonic() < started + 5 and ck.KafkaError._AUTHENTICATION not in said:
        admin.poll(0.05)
    check("librdkafka hears of a wrong password within 2 s",
          ck.KafkaError._AUTHENTICATION in said and time.monotonic() - started < 2, said)
    try:
        # It tries again until its own patience ends, and notes why in its log.
        with CapturedLog() as log:
            kafka.KafkaConsumer(**box.python(password="wrong", bootstrap_timeout_ms=1500))
        check("kafka-python does not get in with a wrong password", False)
    except kafka.errors.KafkaError:
        said = "\n".join(log.lines)
        check("kafka-python hears of a wrong password", "SaslAuthenticationFailed" in said, said)


def faults(box):
    def send(value):
        config = box.librdkafka(**{"message.timeout.ms": 2000, "partitioner": "random"})
        return produce(config, "task-events", [value], partition=0)

    box.fault("leaderless", arg="task-events/0")
    check("without a leader nothing is written", send("a")[0][0] is not None)
    box.clear()
    check("with one it is", send("a")[0][0] is None)
    box.fault("topic-missing", arg="task-events")
    held = cka.AdminClient(box.librdkafka()).list_topics("task-events", timeout=10)
    check("missing", held.topics["task-events"].error is not None)
    box.clear()
    box.fault("auth-refused")
    try:
        kafka.KafkaProducer(**box.python(bootstrap_timeout_ms=1500))
        check("refused", False)
    except kafka.errors.KafkaError:
        check("refused", True)
    box.clear()
    before = kafka.KafkaConsumer(**box.python())
    one = kafka.TopicPartition("task-events", 0)
    end = before.end_offsets([one])[one]
    for kind, more in [("lose-record", 0), ("double-record", 2)]:
        box.fault(kind, arg="task-events", times=1)
        check(f"{kind}: acknowledged", send(kind)[0][0] is None)
        box.clear()
        now = before.end_offsets([one])[one]
        check(kind, now - end == more, now - end)
        end = now
    before.close()
    # 600 s at 600 times the speed: one second, while a producer tries.
    box.fault("away", arg="600s")
    started = time.monotonic()
    outcome = produce(box.librdkafka(**{"message.timeout.ms": 15000}), "task-events", ["back"])
    check("what was sent meanwhile arrives", outcome[0][0] is None, outcome)
    check("after the time away", time.monotonic() - started > 0.8)
    box.clear()


def kill(box):
    """Whatever was acknowledged before a kill is there after it."""
    acknowledged = []
    producer = ck.Producer(box.librdkafka(**{"message.timeout.ms": 5000, "linger.ms": 0}))
    stop = time.monotonic() + 1.5
    threading.Timer(1.0, box.kill).start()
    n = 0
    while time.monotonic() < stop:
        # A fast machine would fill the producer's own queue.
        if len(producer) > 10_000:
            producer.poll(0.01)
            continue
        producer.produce(
            "task-events", f"kill-{n}", partition=1,
            callback=lambda e, m: acknowledged.append(m.value().decode()) if e is None else None,
        )
        producer.poll(0.0005)
        n += 1
    producer.purge()
    producer.flush(1)
    box.start()
    consumer = ck.Consumer(box.librdkafka(**{"group.id": "reader"}))
    place = ck.TopicPartition("task-events", 1)
    start, end = consumer.get_watermark_offsets(place, timeout=10)
    consumer.close()
    held = read(box.librdkafka(), "task-events", end - start, partitions=(1,))
    found = {message.value().decode() for message in held}
    check("some were acknowledged", len(acknowledged) > 50, len(acknowledged))
    lost = [value for value in acknowledged if value not in found]
    check("a kill loses nothing", not lost, lost[:3])


def main():
    box = Sandbox()
    try:
        for part in (topics, events, groups, refusals, faults, kill):
            started = time.monotonic()
            try:
                part(box)
            except Exception:
                traceback.print_exc()
                check(part.__name__, False)
            print(f"{part.__name__}: {time.monotonic() - started:.1f} s")
    finally:
        box.close()
    world.finish()


if __name__ == "__main__":
    main()
