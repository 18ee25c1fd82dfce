"""How long librdkafka takes to read a topic from its beginning to its end."""

import sys
import time

from confluent_kafka import Consumer, TopicPartition

broker, topic, options = sys.argv[1], sys.argv[2], sys.argv[3:]
settings = {
    "bootstrap.servers": broker,
    "group.id": "scan",
    "enable.auto.commit": False,
    **dict(option.split("=", 1) for option in options),
}
before = time.monotonic()
consumer = Consumer(settings)
partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
ends = {}
for partition in partitions:
    first, last = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)
    ends[partition] = (first, last)
wanted = sum(last - first for first, last in ends.values())
consumer.assign([TopicPartition(topic, p, first) for p, (first, _) in ends.items()])
events = size = 0
while events < wanted:
    for message in consumer.consume(10000, timeout=5):
        events += 1
        size += len(message.value()) + len(message.key())
seconds = time.monotonic() - before
with open("/proc/self/status") as status:
    peak = next(line for line in status if line.startswith("VmHWM"))
print(f"{events} events, {size} bytes in {seconds:.2f} s, {peak.strip()}")
consumer.close()
