/* Reads a topic from its beginning to its end with librdkafka, in batches and
 * without anything done to an event but looking at its sizes.
 *
 *   scan BROKER TOPIC [NAME=VALUE]...    settings of librdkafka
 *
 * Prints events, bytes, seconds, CPU seconds and peak memory in KiB. The
 * functions are declared here, as librdkafka documents them, because packages
 * for Python bring the library without its header. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum { BATCH = 10000, PARTITIONS = 3, WAIT_MS = 5000 };

struct message {
    int err;
    void *topic;
    int32_t partition;
    void *payload;
    size_t len;
    void *key;
    size_t key_len;
    int64_t offset;
    void *private;
};

void *rd_kafka_conf_new(void);
int rd_kafka_conf_set(void *, const char *, const char *, char *, size_t);
void *rd_kafka_new(int type, void *conf, char *, size_t);
int rd_kafka_query_watermark_offsets(void *, const char *, int32_t, int64_t *, int64_t *, int);
void *rd_kafka_topic_partition_list_new(int);
void *rd_kafka_topic_partition_list_add(void *, const char *, int32_t);
int rd_kafka_topic_partition_list_set_offset(void *, const char *, int32_t, int64_t);
int rd_kafka_assign(void *, const void *);
int rd_kafka_poll_set_consumer(void *);
void *rd_kafka_queue_get_consumer(void *);
ssize_t rd_kafka_consume_batch_queue(void *, int, struct message **, size_t);
void rd_kafka_message_destroy(struct message *);

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static long peak(void) {
    char line[256];
    long kib = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status && fgets(line, sizeof line, status))
        sscanf(line, "VmHWM: %ld", &kib);
    return kib;
}

int main(int argc, char **argv) {
    static struct message *batch[BATCH];
    char why[512];
    if (argc < 3)
        fail("scan BROKER TOPIC [NAME=VALUE]...");
    double begun = now();
    const char *topic = argv[2];
    void *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], why, sizeof why);
    rd_kafka_conf_set(conf, "group.id", "scan", why, sizeof why);
    rd_kafka_conf_set(conf, "enable.auto.commit", "false", why, sizeof why);
    for (int i = 3; i < argc; i++) {
        char *equals = strchr(argv[i], '=');
        if (!equals)
            fail(argv[i]);
        *equals = 0;
        if (rd_kafka_conf_set(conf, argv[i], equals + 1, why, sizeof why))
            fail(why);
    }
    void *consumer = rd_kafka_new(1, conf, why, sizeof why);
    if (!consumer)
        fail(why);
    rd_kafka_poll_set_consumer(consumer);

    void *places = rd_kafka_topic_partition_list_new(PARTITIONS);
    int64_t wanted = 0;
    for (int32_t p = 0; p < PARTITIONS; p++) {
        int64_t first, last;
        if (rd_kafka_query_watermark_offsets(consumer, topic, p, &first, &last, 30000))
            fail("no offsets");
        wanted += last - first;
        rd_kafka_topic_partition_list_add(places, topic, p);
        rd_kafka_topic_partition_list_set_offset(places, topic, p, first);
    }
    if (rd_kafka_assign(consumer, places))
        fail("no assignment");

    void *queue = rd_kafka_queue_get_consumer(consumer);
    int64_t events = 0, bytes = 0;
    while (events < wanted) {
        ssize_t count = rd_kafka_consume_batch_queue(queue, WAIT_MS, batch, BATCH);
        if (count <= 0)
            fail("nothing came");
        for (ssize_t i = 0; i < count; i++) {
            if (!batch[i]->err) {
                events++;
                bytes += batch[i]->len + batch[i]->key_len;
            }
            rd_kafka_message_destroy(batch[i]);
        }
    }
    double seconds = now() - begun;
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    double cpu = used.ru_utime.tv_sec + used.ru_stime.tv_sec +
                 (used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
    printf("%ld %ld %.4f %.4f %ld\n", (long)events, (long)bytes, seconds, cpu, peak());
    return 0;
}
