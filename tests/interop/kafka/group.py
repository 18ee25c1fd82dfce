"""A consumer group that reads some events, commits how far it is, and leaves."""

import os
import sys

from confluent_kafka import Consumer

topic, wanted = sys.argv[1], int(sys.argv[2])
consumer = Consumer(
    {
        "bootstrap.servers": os.environ["KAFKA_SASL_SSL"],
        "group.id": "todo-backend",
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
        "security.protocol": "SASL_SSL",
        "sasl.mechanisms": "SCRAM-SHA-512",
        "sasl.username": "todo",
        "sasl.password": os.environ["KAFKA_PASSWORD"],
        "ssl.ca.location": os.environ["KAFKA_CA"],
    }
)
consumer.subscribe([topic])
read = []
while len(read) < wanted:
    read += consumer.consume(wanted - len(read), timeout=10)
consumer.commit(asynchronous=False)
consumer.close()
print(f"read {len(read)} of {topic}")
